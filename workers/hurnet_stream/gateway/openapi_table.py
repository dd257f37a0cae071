"""The table that the OpenAPI document is made of: each method of each path, and what it takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hurnet_schemas.detail import DETAILS
from hurnet_stream.gateway.asking import QUESTIONS_MOST
from hurnet_stream.gateway.files import STYLES
from hurnet_stream.gateway.keys import RIGHTS
from hurnet_stream.gateway.teaching import TEXTS_MOST

Json = dict[str, Any]

REF: Final = "#/components/schemas/"
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


def _header(name: str, description: str) -> Json:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _ref(name: str) -> Json:
    return {"$ref": REF + name}


def _list(schema: Json, most: int | None = None) -> Json:
    return {"type": "array", "items": schema} | ({"minItems": 1, "maxItems": most} if most else {})


def _one_or_many(name: str, many: str, most: int, example: Json) -> Json:
    batch = _object(**{many: _list(_ref(name), most)})
    return as_json({"anyOf": [_ref(name), batch]}, example)["content"]  # type: ignore[no-any-return]


_NUMBER: Final = {"type": "integer"}
_STRING: Final = {"type": "string"}
_FREE: Final = {"type": "object"}
_MARKS: Final = {"type": "object", "additionalProperties": _NUMBER}
SCHEMAS: Final[Json] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": _STRING,
            "title": _STRING,
            "status": _NUMBER,
            "detail": _STRING,
            "where": _STRING,
            "errors": _list(_object(where=_STRING, message=_STRING)),
        },
    },
    "Accepted": {
        "type": "object",
        "description": "Kafka has it: the header Hurnet-After of a question takes the watermarks.",
        "required": ["watermarks"],
        "properties": {"watermarks": _MARKS, "records": _list(_STRING)},
    },
    "ContextSize": {
        "type": "object",
        "required": ["name", "entries", "bytes"],
        "properties": {
            "name": _STRING,
            **dict.fromkeys(("entries", "bytes", "pairs", "answers", "weights"), _NUMBER),
        },
    },
    "Me": _object(
        name=_STRING,
        rights=_list({"enum": list(RIGHTS)}),
        contexts=_list(_STRING),
        detail={"enum": list(DETAILS)},
        open={"type": "boolean"},
    ),
}
_ONCE: Final = _header("Idempotency-Key", "The same value and body again: nothing is written twice.")
_CONTEXT: Final = _asked("context", _STRING, "The context of rows that name none, or of the key.")
_EXAMPLES: Final = {"csv": "text,answer\nhi,hello\n", "jsonl": '{"text": "hi", "answer": "hello"}\n'}
_FILE: Final = {kind: {"schema": _STRING, "example": _EXAMPLES[style]} for kind, style in STYLES.items()}
_LIMIT: Final = _asked("limit", {"type": "integer", "minimum": 1}, "How many at most.")

OPERATIONS: Final = (
    Operation(
        "/v1/ask",
        "post",
        "A question and its reply, or up to 64",
        "ask",
        {"anyOf": [_ref("Reply"), _object(replies=_list(_ref("Reply")))]},
        body=_one_or_many("Query", "questions", QUESTIONS_MOST, _ASKS),
        parameters=(_header("Hurnet-After", "Answer only after these watermarks: 0=41,tickets/3=39."),),
        more=(504,),
    ),
    Operation(
        "/v1/texts",
        "post",
        "Teach a text, or up to 1,000 together",
        "teach",
        _ref("Accepted"),
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
        _ref("Accepted"),
        202,
        parameters=(_asked("key", _STRING, "The record key."), _CONTEXT, _ONCE),
        more=(409, 504),
    ),
    Operation(
        "/v1/texts/{partition}/{offset}",
        "delete",
        "Delete an entry",
        "forget",
        _ref("Accepted"),
        202,
        parameters=(_ONCE,),
        more=(409, 504),
    ),
    Operation(
        "/v1/texts/{topic}/{partition}/{offset}",
        "delete",
        "Delete the entries of a record of any topic that may be written to",
        "forget",
        _ref("Accepted"),
        202,
        parameters=(_ONCE,),
        more=(409, 504),
    ),
    Operation(
        "/v1/corrections",
        "post",
        "Say what was right or wrong, and see it take effect",
        "teach",
        _ref("Accepted"),
        202,
        as_json(_ref("Feedback"), _FEEDBACK)["content"],
        (_asked("wait_ms", {"type": "integer", "minimum": 0}, "Longest wait for the effect."), _ONCE),
        (409, 504),
    ),
    Operation(
        "/v1/deletions/{partition}/{offset}",
        "get",
        "Whether a deletion is done, and its audit",
        "forget",
        _object(record=_STRING, done={"type": "boolean"}, taken_in={"type": "boolean"}),
    ),
    Operation(
        "/v1/deletions/{topic}/{partition}/{offset}",
        "get",
        "The same of a record of any topic",
        "forget",
        _object(record=_STRING, done={"type": "boolean"}, taken_in={"type": "boolean"}),
    ),
    Operation(
        "/v1/contexts", "get", "What each context holds", "ask", _object(contexts=_list(_ref("ContextSize")))
    ),
    Operation("/v1/contexts/{name}", "get", "What a context holds", "ask", _ref("ContextSize")),
    Operation(
        "/v1/contexts/{name}/entries",
        "get",
        "Its entries, page by page",
        "ask",
        _object(entries=_list(_FREE), next={"type": ["string", "null"]}),
        parameters=(_LIMIT, _asked("after", _STRING, "The last page's `next`.")),
    ),
    Operation(
        "/v1/contexts/{name}/answers",
        "get",
        "Its answers, the most frequent first",
        "ask",
        _object(answers=_list(_object(answer=_STRING, entries=_NUMBER)), complete={"type": "boolean"}),
    ),
    Operation(
        "/v1/receipts/{topic}/{partition}/{offset}",
        "get",
        "An answer that was given",
        "ask",
        _ref("Reply"),
        more=(410,),
    ),
    Operation(
        "/v1/receipts/{topic}/{partition}/{offset}/replay",
        "post",
        "Ask it again, as of then",
        "ask",
        _FREE,
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
        _ref("Accepted"),
        202,
        _FILE,
        (_CONTEXT, _ONCE),
        (409, 504),
    ),
    Operation("/v1/status", "get", "How far everything has come", "watch", _FREE),
    Operation(
        "/v1/events",
        "get",
        "The same once a second, as server-sent events",
        "watch",
        {"content": {"text/event-stream": {"schema": _STRING}}},
    ),
    Operation(
        "/v1/dead-letters",
        "get",
        "What was put aside, and why",
        "watch",
        _object(dead_letters=_list(_FREE)),
        parameters=(_LIMIT,),
    ),
    Operation("/v1/me", "get", "Who asks, and what they may do", None, _ref("Me")),
    Operation("/v1/schemas", "get", "The JSON Schema of each message", None, _FREE),
    Operation("/v1/openapi.json", "get", "This document", None, _FREE),
    Operation("/v1/asyncapi.json", "get", "The same for Kafka", None, _FREE),
)
