"""The table that the OpenAPI document is made of: each method of each path, and what it takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from hurnet_schemas.base import ContextName
from hurnet_schemas.places import NAME, TOPIC
from hurnet_schemas.text import MAX_KEY
from hurnet_stream.gateway.asking import QUESTIONS_MOST
from hurnet_stream.gateway.contexts import ENTRIES_MOST
from hurnet_stream.gateway.corrections import WAIT_MS_MOST
from hurnet_stream.gateway.files import STYLES
from hurnet_stream.gateway.openapi_schemas import FREE, NUMBER, STRING, Json, fields, listed, ref
from hurnet_stream.gateway.requests import KEY
from hurnet_stream.gateway.teaching import TEXTS_MOST
from hurnet_stream.gateway.watching import LETTERS_MOST

_TEXT: Final = {"text": "I forgot my password", "answer": "reset-password", "context": "support"}
_ASKS: Final = {"text": "how do I get in again?", "context": "support", "top_k": 3}
_FEEDBACK: Final = {"question": "how do I get in again?", "verdict": "wrong", "answer": "reset-password"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path. `right` is None if every key may use it."""

    path: str
    method: str
    summary: str
    right: str | None
    result: Json
    status: int = 200
    body: Json | None = None
    parameters: tuple[Json, ...] = ()
    more: tuple[int, ...] = ()
    """Further statuses."""


def as_json(schema: Json, example: Json | None = None) -> Json:
    return {"content": {"application/json": {"schema": schema} | ({"example": example} if example else {})}}


def _asked(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _number(name: str, least: int, most: int, description: str) -> Json:
    return _asked(name, {"type": "integer", "minimum": least, "maximum": most}, description)


def _header(name: str, pattern: str, description: str) -> Json:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "schema": schema, "description": description}


def _one_or_many(name: str, many: str, most: int, example: Json) -> Json:
    batch = fields(**{many: listed(ref(name), most)})
    return as_json({"anyOf": [ref(name), batch]}, example)["content"]  # type: ignore[no-any-return]


_MARK: Final = rf"({TOPIC}/)?[0-9]{{1,9}}=[0-9]{{1,18}}"
_AFTER: Final = _header(
    "Hurnet-After", f"^{_MARK}(,{_MARK})*$", "Answer only after these watermarks: 0=41,tickets/3=39."
)
_ONCE: Final = _header(
    "Idempotency-Key", f"^{KEY}$", "The same value and body again: nothing is written twice."
)
CONTEXT: Final = TypeAdapter[str](ContextName).json_schema()
_CONTEXT: Final = _asked("context", CONTEXT, "The context of rows that name none, or of the key.")
_RECORD_KEY: Final = _asked(
    "key", {"type": "string", "minLength": 1, "maxLength": MAX_KEY}, "The record key."
) | {"required": True}
_EXAMPLES: Final = {"csv": "text,answer\nhi,hello\n", "jsonl": '{"text": "hi", "answer": "hello"}\n'}
_FILE: Final = {kind: {"schema": STRING, "example": _EXAMPLES[style]} for kind, style in STYLES.items()}

OPERATIONS: Final = (
    Operation(
        "/v1/ask",
        "post",
        "A question and its reply, or up to 64",
        "ask",
        {"anyOf": [ref("Reply"), fields(replies=listed(ref("Reply")))]},
        body=_one_or_many("Query", "questions", QUESTIONS_MOST, _ASKS),
        parameters=(_AFTER,),
        more=(504,),
    ),
    Operation(
        "/v1/texts",
        "post",
        "Teach a text, or up to 1,000 together",
        "teach",
        ref("Accepted"),
        202,
        _one_or_many("KeyedText", "texts", TEXTS_MOST, _TEXT),
        (_ONCE,),
        (409, 504),
    ),
    Operation(
        "/v1/texts",
        "delete",
        "Delete all entries of a record key in a context",
        "forget",
        ref("Accepted"),
        202,
        parameters=(_RECORD_KEY, _CONTEXT, _ONCE),
        more=(409, 504),
    ),
    Operation(
        "/v1/texts/{partition}/{offset}",
        "delete",
        "Delete an entry",
        "forget",
        ref("Accepted"),
        202,
        parameters=(_ONCE,),
        more=(409, 504),
    ),
    Operation(
        "/v1/texts/{topic}/{partition}/{offset}",
        "delete",
        "Delete the entries of a record of any topic that may be written to",
        "forget",
        ref("Accepted"),
        202,
        parameters=(_ONCE,),
        more=(409, 504),
    ),
    Operation(
        "/v1/corrections",
        "post",
        "Say what was right or wrong, and see it take effect",
        "teach",
        ref("Corrected"),
        202,
        as_json(ref("Feedback"), _FEEDBACK)["content"],
        (_number("wait_ms", 0, WAIT_MS_MOST, "Longest wait for the effect."), _ONCE),
        (409, 504),
    ),
    Operation(
        "/v1/deletions/{partition}/{offset}",
        "get",
        "Whether a deletion is done, and its audit",
        "forget",
        fields(record=STRING, done={"type": "boolean"}, taken_in={"type": "boolean"}),
    ),
    Operation(
        "/v1/deletions/{topic}/{partition}/{offset}",
        "get",
        "The same of a record of any topic",
        "forget",
        fields(record=STRING, done={"type": "boolean"}, taken_in={"type": "boolean"}),
    ),
    Operation(
        "/v1/contexts", "get", "What each context holds", "ask", fields(contexts=listed(ref("ContextSize")))
    ),
    Operation("/v1/contexts/{name}", "get", "What a context holds", "ask", ref("ContextSize")),
    Operation(
        "/v1/contexts/{name}/entries",
        "get",
        "Its entries, page by page",
        "ask",
        fields(entries=listed(FREE), next={"type": ["string", "null"]}),
        parameters=(
            _number("limit", 1, ENTRIES_MOST, "How many at most."),
            _asked("after", {"type": "string", "pattern": NAME}, "The last page's `next`."),
        ),
    ),
    Operation(
        "/v1/contexts/{name}/answers",
        "get",
        "Its answers, the most frequent first",
        "ask",
        fields(answers=listed(fields(answer=STRING, entries=NUMBER)), complete={"type": "boolean"}),
    ),
    Operation(
        "/v1/receipts/{topic}/{partition}/{offset}",
        "get",
        "An answer that was given",
        "ask",
        ref("Reply"),
        more=(410,),
    ),
    Operation(
        "/v1/receipts/{topic}/{partition}/{offset}/replay",
        "post",
        "Ask it again, as of then",
        "ask",
        FREE,
        parameters=(_asked("now", {"enum": ["0", "1", "false", "true"]}, "As of now instead."),),
        more=(410, 504),
    ),
    Operation(
        "/v1/rehearsals",
        "post",
        "What a file would teach, and how well",
        "teach",
        {"type": "object", "required": ["rows", "rejects", "accuracy"]},
        body=_FILE,
        parameters=(_CONTEXT,),
        more=(504,),
    ),
    Operation(
        "/v1/files",
        "post",
        "Teach a file",
        "teach",
        ref("TaughtFile"),
        202,
        _FILE,
        (_CONTEXT, _ONCE),
        (409, 504),
    ),
    Operation("/v1/status", "get", "How far everything has come", "watch", FREE),
    Operation(
        "/v1/events",
        "get",
        "The same once a second, as server-sent events",
        "watch",
        {"content": {"text/event-stream": {"schema": STRING}}},
    ),
    Operation(
        "/v1/dead-letters",
        "get",
        "What was put aside, and why",
        "watch",
        fields(dead_letters=listed(FREE)),
        parameters=(_number("limit", 1, LETTERS_MOST, "How many at most."),),
    ),
    Operation("/v1/me", "get", "Who asks, and what they may do", None, ref("Me")),
    Operation("/v1/schemas", "get", "The JSON Schema of each message", None, FREE),
    Operation("/v1/openapi.json", "get", "This document", None, FREE),
    Operation("/v1/asyncapi.json", "get", "The same for Kafka", None, FREE),
)

PARAMETERS: Final = {
    (each.path, each.method.upper()): frozenset(p["name"] for p in each.parameters if p["in"] == "query")
    for each in OPERATIONS
}
"""The names of the query parameters of each method of each path."""
