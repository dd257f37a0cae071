"""The AsyncAPI document: every reference leads somewhere, and what is sent is what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator

from hurnet_schemas import MESSAGES, Feedback, Message, Query, TextEvent
from hurnet_schemas.places import Place
from hurnet_stream.command_line import hurnet
from hurnet_stream.feedback.lessons import lesson
from hurnet_stream.operations.asyncapi import document
from hurnet_stream.operations.deletion_requests import Deletable
from hurnet_stream.places import Places
from hurnet_stream.ports import CORRELATION_ID, REPLY_TO, Headers, Outgoing, new_trace
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.terminal.deleting import Reach, drop_request, entry_request, key_request
from tests.unit.test_schemas import BAD, GOLDEN
from tests.worlds.responder import PAIRS, World, turn

KAFKA = KafkaSettings(texts="faq.texts", answers="faq.answers", bootstrap="k1.example:9092,k2.example:9092")
DOCUMENT = document(KAFKA, "0.1.0")
KINDS = {message.__name__ for message in MESSAGES}


def parts(value: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    """Everything in the document, with its place."""
    yield path, value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from parts(each, f"{path}/{key}")


def at(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def errors(schema: dict[str, Any], value: object) -> list[str]:
    """What is wrong with a value. The references in the schema lead into the document."""
    validator = Draft7Validator({**schema, "components": DOCUMENT["components"]})
    return [error.message for error in validator.iter_errors(value)]


def check(kind: str, value: bytes | None, headers: Headers = ()) -> None:
    message = DOCUMENT["components"]["messages"][kind]
    payload = None if value is None else json.loads(value)
    assert errors(message["payload"], payload) == []
    known = message["headers"]["properties"]
    assert {name for name, _ in headers} <= known.keys()
    assert errors(message["headers"], {name: (raw or b"").decode() for name, raw in headers}) == []


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    for path, value in parts(DOCUMENT):
        if path.endswith("/$ref"):
            assert at(value), path
        # AsyncAPI has another form of it than OpenAPI.
        assert not (path.endswith("/discriminator") and isinstance(value, dict)), path
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["components"]["schemas"].keys() > KINDS


def test_topics_are_those_of_the_settings_and_secrets_are_none_of_it() -> None:
    settings = KAFKA.model_copy(update={"username": "me", "security_protocol": "SASL_SSL"})
    made = document(settings, "0.1.0")
    assert {name: channel["address"] for name, channel in made["channels"].items()} == {
        "texts": "faq.texts",
        "queries": "queries",
        "answers": "faq.answers",
        "replies": None,
        "feedback": "feedback",
        "deadLetters": "dead-letters",
        "audit": None,
    }
    assert made["servers"]["kafka"]["host"] == "k1.example:9092"
    assert made["servers"]["kafka"]["protocol"] == "kafka-secure"
    assert "servers" not in document(settings, "0.1.0", server=False)


def test_each_operation_takes_messages_of_its_own_channel_and_an_answer_goes_where_the_query_says() -> None:
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        assert operation["messages"]
        assert all(each["$ref"].startswith(f"{channel}/messages/") for each in operation["messages"])
    reply = DOCUMENT["operations"]["answer"]["reply"]
    assert reply["address"]["location"] == f"$message.header#/{REPLY_TO}"
    assert at(reply["channel"]["$ref"])["address"] is None  # else the address would contradict it
    query = DOCUMENT["components"]["messages"]["Query"]
    assert query["correlationId"]["location"].endswith(f"#/{CORRELATION_ID}")
    sent = {
        at(at(each["$ref"])["$ref"])["name"]
        for o in DOCUMENT["operations"].values()
        for each in o["messages"]
    }
    assert sent == KINDS | {"Deletion"}


@pytest.mark.parametrize(("kind", "raw"), GOLDEN)
def test_golden_messages_are_what_the_document_says(kind: type[Message], raw: str) -> None:
    check(kind.__name__, raw.encode())


def test_what_is_no_message_is_none_by_the_document_either() -> None:
    texts = DOCUMENT["components"]["messages"]["TextEvent"]["payload"]
    for raw, reason in BAD:
        if (
            reason in ("invalid-message", "too-long")
            and b"nul" not in (raw or b"")
            and b"\\n" not in (raw or b"")
        ):
            assert errors(texts, json.loads(raw or b"null")), raw


def test_what_the_responder_writes_is_what_the_document_says() -> None:
    world = World()
    world.teach(*PAIRS)
    world.solve()
    headers: Headers = ((CORRELATION_ID, b"1"), (REPLY_TO, b"answers-mine"), new_trace().header)
    queries = Query(text="turn the light on", top_k=3), Query(text="zzz", context="empty", id="q")
    for query in queries:
        check("Query", query.encode(), headers)
    world.ask(*queries, headers=headers)
    world.ask(Query(text="the light", min_watermarks={0: 10**6}, timeout_ms=1), b"garbage")
    turn(world.responder(wait=0.1), times=60)
    answers = [*world.kafka.records("answers"), *world.kafka.records("answers-mine")]
    assert len(answers) >= 3
    for record in answers:
        check("Answer", record.value, record.headers)
    (letter,) = world.kafka.records("dead-letters")
    check("DeadLetter", letter.value, letter.headers)


def written_to_texts() -> Iterator[Outgoing]:
    wrong = Feedback(question="lights pls", verdict="wrong", given="off")
    for feedback in (wrong, Feedback(question="lights pls", verdict="right", answer="on")):
        check("Feedback", feedback.encode())
        yield from lesson(feedback, "feedback/0/3", "texts")
    within = Reach(Places.only("texts"), Deletable("texts"), lambda _topic: {0: 9, 1: 9})
    requests = (
        entry_request(within, Place(None, 1, 4)),
        key_request(within, "customer-7", "support"),
        drop_request(within, "trial"),
    )
    for request in requests:
        yield from request.messages
    yield Outgoing("texts", TextEvent(text="hi", answer="hello", metadata={"lang": "en"}, weight=5).encode())


def test_texts_and_deletions_that_the_code_writes_are_what_the_document_says() -> None:
    kinds = set()
    for message in written_to_texts():
        kind = "Deletion" if message.value is None else "TextEvent"
        check(kind, message.value, message.headers)
        kinds.add(kind)
    assert kinds == {"Deletion", "TextEvent"}


def test_the_command_prints_it_with_the_topics_as_they_are_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HURNET_KAFKA_TEXTS", "mine")
    printed = json.loads(CliRunner().invoke(hurnet, ["schemas", "--asyncapi"]).output)
    assert printed["channels"]["texts"]["address"] == "mine"
    CliRunner().invoke(hurnet, ["schemas", "--asyncapi", "--out", str(tmp_path)])
    assert json.loads((tmp_path / "asyncapi.json").read_text("utf-8")) == printed
