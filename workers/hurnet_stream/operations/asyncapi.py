"""The AsyncAPI 3 document: what this system reads from Kafka and writes to it, for tools and generators.

Everything in it comes from where it holds: payloads from the messages' models, topics from the settings,
headers from the names that the code reads.

    channels      texts, queries, feedback         what clients write
                  answers, deadLetters, audit      what clients read
                  replies                          a topic that the header reply-to of a query names
    operations    remember, forget, learn          receive: hurnet reads it
                  answer                           receive a query, and reply to it
                  putAside, audit                  send: hurnet writes it

"receive" and "send" are said from hurnet's side, as AsyncAPI 3 has it: a client does the opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hurnet_schemas import Answer, Asked, DeadLetter, Feedback, Message, Query, TextEvent
from hurnet_schemas.feedback import SOURCE
from hurnet_stream.ports import CORRELATION_ID, REPLY_TO
from hurnet_stream.ports.tracing import TRACEPARENT
from hurnet_stream.records import CONTEXT, DROP, EVERY, FORGET
from hurnet_stream.responder.pending import MAX_CORRELATION_BYTES
from hurnet_stream.settings.settings import KafkaSettings

Json = dict[str, Any]

VERSION = "3.0.0"
_KAFKA_BINDING = "0.5.0"
_DELETION = "Deletion"
_SCHEMAS = "#/components/schemas/"

_TRACE = {
    "type": "string",
    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
    "description": "W3C Trace Context: the message's place in a trace.",
}
_CORRELATION = {
    "type": "string",
    "description": f"What tells a client its answer, at most {MAX_CORRELATION_BYTES} bytes. The answer "
    "has the same header.",
}
_SOURCE = {
    "type": "string",
    "description": "topic/partition/offset of the feedback that it comes of. The feedback worker writes it.",
}
_HEADERS: Mapping[str, Json] = {
    "TextEvent": {TRACEPARENT: _TRACE, SOURCE: _SOURCE},
    _DELETION: {
        FORGET: {
            "type": "string",
            "pattern": "^[0-9]{1,19}$",
            "description": "Delete the entry at this earlier offset of the same partition.",
        },
        DROP: {"type": "string", "description": "Delete all earlier entries of this context."},
        CONTEXT: {
            "type": "string",
            "description": "Beside a key: the only context in which the key's entries are deleted. "
            f"{EVERY}, or no such header: all contexts.",
        },
        SOURCE: _SOURCE,
    },
    "Query": {
        REPLY_TO: {
            "type": "string",
            "description": "The topic that the answer goes to. It must exist and match "
            "HURNET_RESPONDER_REPLY_TOPICS. Default: the topic of answers.",
        },
        CORRELATION_ID: _CORRELATION,
        TRACEPARENT: _TRACE,
    },
    "Answer": {CORRELATION_ID: _CORRELATION, TRACEPARENT: _TRACE},
    "Feedback": {},
    "DeadLetter": {},
    "Asked": {},
}
_KEYS: Mapping[str, str] = {
    "TextEvent": "Yours. Texts of one key stay in one shard, and a record with this key and no value deletes "
    "them.",
    _DELETION: "The key whose entries are deleted, unless a header says what to delete.",
    "Query": "Yours, at most 1 kB. It comes back as the key of the answer.",
    "Answer": "The query's key.",
    "Feedback": "The question, so that the last feedback on it is the last in its partition.",
    "DeadLetter": "topic/partition/offset of the record that was put aside. A second letter with the same "
    "key is a copy.",
    "Asked": "topic/partition/offset of the question's record.",
}
_MESSAGES: tuple[type[Message], ...] = (TextEvent, Query, Answer, Feedback, DeadLetter, Asked)


def document(kafka: KafkaSettings, release: str, *, server: bool = True) -> Json:
    """The document as a JSON object. `release` is the version of hurnet. `server`: with the brokers' address,
    which is nobody's business who does not talk to Kafka."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "hurnet-stream",
            "version": release,
            "description": "Texts are remembered, questions are answered from them, and corrections are "
            "taught. Answers are committed: read them with isolation.level=read_committed.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        **({"servers": {"kafka": _server(kafka)}} if server else {}),
        "channels": dict(_channels(kafka)),
        "operations": dict(_operations()),
        "components": {"messages": dict(_messages()), "schemas": _schemas()},
    }


def _server(kafka: KafkaSettings) -> Json:
    encrypted = kafka.security_protocol.endswith("SSL")
    return {
        "host": kafka.bootstrap.split(",")[0].strip(),
        "protocol": "kafka-secure" if encrypted else "kafka",
        "description": f"Apache Kafka, reached by {kafka.security_protocol}. Other brokers are learned "
        "from this one.",
    }


def _channels(kafka: KafkaSettings) -> Iterator[tuple[str, Json]]:
    known: Sequence[tuple[str, str | None, str, tuple[str, ...]]] = (
        (
            "texts",
            kafka.texts,
            "What is to be remembered, and what is to be deleted.",
            ("TextEvent", _DELETION),
        ),
        ("queries", kafka.queries, "Questions.", ("Query",)),
        ("answers", kafka.answers, "Answers to queries without the header reply-to.", ("Answer",)),
        ("replies", None, "The topic that the header reply-to of the query names.", ("Answer",)),
        ("feedback", kafka.feedback, "What people say of answers.", ("Feedback",)),
        ("deadLetters", kafka.dead_letters, "Records that were put aside, and why.", ("DeadLetter",)),
        ("audit", kafka.audit or None, "Who asked, if HURNET_KAFKA_AUDIT names a topic.", ("Asked",)),
    )
    for name, topic, description, messages in known:
        channel: Json = {
            "address": topic,
            "description": description,
            "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in messages},
        }
        if topic:
            channel["bindings"] = {"kafka": {"topic": topic, "bindingVersion": _KAFKA_BINDING}}
        yield name, channel


def _operations() -> Iterator[tuple[str, Json]]:
    yield "remember", _operation("receive", "texts", "TextEvent", "A text is validated, and remembered.")
    yield "forget", _operation("receive", "texts", _DELETION, "Entries are deleted, and unlearned exactly.")
    yield "learn", _operation("receive", "feedback", "Feedback", "A verdict on an answer is taught.")
    answer = _operation("receive", "queries", "Query", "A question is answered, exactly once.")
    answer["reply"] = {
        "address": {
            "location": f"$message.header#/{REPLY_TO}",
            "description": "Without this header the answer goes to the channel `answers`.",
        },
        "channel": {"$ref": "#/channels/replies"},
        "messages": [{"$ref": "#/channels/replies/messages/Answer"}],
    }
    yield "answer", answer
    yield (
        "answerByDefault",
        _operation("send", "answers", "Answer", "The answer to a query without reply-to."),
    )
    yield "putAside", _operation("send", "deadLetters", "DeadLetter", "A record could not be processed.")
    yield "audit", _operation("send", "audit", "Asked", "A question was asked, and by whom.")


def _operation(action: str, channel: str, message: str, summary: str) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _messages() -> Iterator[tuple[str, Json]]:
    for model in _MESSAGES:
        described: Json = _message(model.__name__, _first_sentence(model))
        described["payload"] = {"$ref": f"{_SCHEMAS}{model.__name__}"}
        if CORRELATION_ID in _HEADERS[model.__name__]:
            described["correlationId"] = {"location": f"$message.header#/{CORRELATION_ID}"}
        yield model.__name__, described
    deletion = _message(_DELETION, "A record without a value deletes what came earlier in its partition.")
    yield _DELETION, {**deletion, "payload": {"type": "null"}}


def _message(name: str, summary: str) -> Json:
    key = {"type": "string", "description": _KEYS[name]}
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "headers": {"type": "object", "properties": dict(_HEADERS[name])},
        "bindings": {"kafka": {"key": key, "bindingVersion": _KAFKA_BINDING}},
    }


def _first_sentence(model: type[Message]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0].split(". ")[0].removesuffix(".") + "."


def _schemas() -> Json:
    """The JSON Schemas of all messages, and of the parts that they are made of, by name."""
    schemas: Json = {}
    for model in _MESSAGES:
        schema = model.model_json_schema(ref_template=_SCHEMAS + "{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    return schemas
