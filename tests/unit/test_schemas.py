"""The wire formats: golden messages that must keep decoding, and every kind of bad input."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hurnet_schemas import (
    MESSAGES,
    Answer,
    Asked,
    DeadLetter,
    Feedback,
    InvalidMessage,
    Message,
    Query,
    TextEvent,
)
from hurnet_schemas.base import MAX_TEXT, MAX_WEIGHT

# Messages as they were written by the first version. A change that no longer reads them needs a new version.
GOLDEN: list[tuple[type[Message], str]] = [
    (TextEvent, '{"v":1,"text":"turn on the light"}'),
    (
        TextEvent,
        '{"v":1,"text":"acenda a luz","answer":"HassTurnOn","context":"home","metadata":{"lang":"pt-BR"}}',
    ),
    (TextEvent, '{"text":"without a version it is version 1"}'),
    (TextEvent, '{"v":1,"text":"the office is closed on Friday","weight":5}'),
    (
        Query,
        '{"v":1,"text":"lights on","id":"q-1","context":"home","top_k":3,"min_watermarks":{"0":17},'
        '"timeout_ms":500,"exclude":{"partition":0,"offset":4}}',
    ),
    (
        Query,
        '{"v":1,"text":"lights on","neighbours":5,"filter":{"and":[{"key":"lang","in":["en","pt"]},{"or":['
        '{"key":"room","is":"hall"},{"not":{"key":"room","exists":true}}]},{"key":"price","at_least":10,'
        '"below":20.5},{"key":"since","above":"2026-01","at_most":"2026-11-28"}]}}',
    ),
    (
        Answer,
        '{"v":1,"id":"q-1","outcome":"answered","answer":"HassTurnOn","candidates":[{"answer":"HassTurnOn",'
        '"scores":{"combined":0.9,"meaning":0.9,"spelling":0.8,"memory":0.95,"lexical":0.4,'
        '"words":0.7,"weights":0.8},'
        '"entry":{"partition":0,"offset":17},"text":"turn on the light","metadata":{}}],'
        '"receipt":{"query":"queries/0/3","context":"home","rows":12,"embedder":"use+hash512",'
        '"fingerprint":"ab","watermarks":{"0":17},"weights":{"version":2,"watermarks":{"0":17},"count":12,'
        '"ridge":0.1,"condition_number":40.0,"residual":0.2},"threshold":0.3,"margin":0.5,'
        '"runner_up":"HassTurnOff","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","seconds":0.004}}',
    ),
    (
        Answer,
        '{"v":1,"id":"q-4","outcome":"abstained","reason":"no entry meets the filter","neighbours":[{"entry":'
        '{"partition":0,"offset":17},"text":"turn on the light","answer":"HassTurnOn","similarity":0.9,'
        '"metadata":{"lang":"en"}}],"receipt":{"query":"queries/0/4","context":"home","rows":12,'
        '"rows_of_context":40,"filter":"{\\"is\\":\\"en\\",\\"key\\":\\"lang\\"}","embedder":"use+hash512",'
        '"fingerprint":"ab","watermarks":{"0":17},"threshold":0.3,"seconds":0.004}}',
    ),
    (Answer, '{"v":1,"id":"q-2","outcome":"abstained","reason":"empty context"}'),
    (
        Answer,
        '{"v":1,"id":"q-3","outcome":"abstained","reason":"the best is right with probability 0.60",'
        '"receipt":{"query":"queries/0/4","context":"home","rows":12,"embedder":"use+hash512",'
        '"fingerprint":"ab","watermarks":{"0":17},"threshold":0.3,"probability":0.6,"rehearsed":720,'
        '"decided_by":"error-rate","error_rate":0.05,"lowest_probability":0.87,"seconds":0.004}}',
    ),
    (Feedback, '{"v":1,"question":"lights pls","verdict":"right","answer":"HassTurnOn","context":"home"}'),
    (Feedback, '{"question":"lights pls","verdict":"wrong","given":"HassTurnOff","query":"queries/0/3"}'),
    (Feedback, '{"question":"lights pls","verdict":"wrong","answer":"HassTurnOn","given":"HassTurnOff"}'),
    (Feedback, '{"question":"lights pls","verdict":"retracted"}'),
    (Feedback, '{"question":"lights pls","verdict":"right","answer":"HassTurnOn","metadata":{"lang":"en"}}'),
    (
        DeadLetter,
        '{"v":1,"reason":"not-json","detail":"expected value","worker":"ingest","topic":"texts",'
        '"partition":0,"offset":5,"timestamp_ms":1700000000000,"excerpt":"e30=","size":2,"sha256":"00"}',
    ),
    (
        Asked,
        '{"v":1,"query":"queries/0/4","id":"q-1","who":"shop","asked_ms":1700000000000,"outcome":"answered",'
        '"context":"home","receipt":{"query":"queries/0/4","context":"home","rows":12,"embedder":"use+hash512",'
        '"fingerprint":"ab","watermarks":{"0":17},"threshold":0.3,"seconds":0.004}}',
    ),
]


def test_records_are_read_as_they_always_were_whatever_http_asks_for() -> None:
    query = Query.decode(b'{"text": "hi", "top_k": "3", "neighbours": true, "min_watermarks": {"0": "41"}}')
    assert (query.top_k, query.neighbours, query.min_watermarks) == (3, 1, {0: 41})
    assert TextEvent.decode(b'{"text": "hi", "answer": "yo", "refutes": "true"}').refutes


@pytest.mark.parametrize(("kind", "raw"), GOLDEN)
def test_golden_messages_keep_decoding(kind: type[Message], raw: str) -> None:
    message = kind.decode(raw.encode())
    again = kind.decode(message.encode())
    assert again == message
    given_fields = json.loads(raw)
    assert {key: json.loads(message.encode())[key] for key in given_fields} == given_fields


BAD = [
    (None, "tombstone"),
    (b"", "not-json"),
    (b"turn on the light", "not-json"),
    (b"[]", "not-json"),
    (b"[" * 100_000, "not-json"),
    (b'{"text": "\xff"}', "not-utf8"),
    (b'{"text": "\\ud800"}', "not-json"),
    (b'{"v": 2, "text": "hi"}', "unknown-version"),
    (b'{"v": "1", "text": "hi"}', "unknown-version"),
    (b'{"v": true, "text": "hi"}', "unknown-version"),
    (b"{}", "invalid-message"),
    (b'{"text": 1}', "invalid-message"),
    (b'{"text": null}', "invalid-message"),
    (b'{"text": "hi", "extra": 1}', "invalid-message"),
    (b'{"text": "nul \\u0000"}', "invalid-message"),
    (b'{"text": "hi", "context": "Not A Name"}', "invalid-message"),
    (b'{"text": "hi", "context": "../up"}', "invalid-message"),
    (b'{"text": "hi", "context": "line\\n"}', "invalid-message"),
    (b'{"text": "hi", "metadata": {"k": 1}}', "invalid-message"),
    (b'{"text": ""}', "blank-text"),
    (b'{"text": " \\n\\t\\u3000"}', "blank-text"),
    (b'{"text": "hi", "answer": " "}', "blank-text"),
    (b'{"text": "' + b"a" * (MAX_TEXT + 1) + b'"}', "too-long"),
    (b'{"text": "' + b"a" * 5_000_000 + b'"}', "too-long"),
]


@pytest.mark.parametrize(("raw", "reason"), BAD, ids=range(len(BAD)))
def test_bad_text_events_are_refused_with_their_reason(raw: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        TextEvent.decode(raw)
    assert caught.value.reason == reason
    assert 0 < len(caught.value.detail) < 1_000


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": 0},
        {"top_k": 101},
        {"timeout_ms": 0},
        {"min_watermarks": {"x": 1}},
        {"min_watermarks": {"0": -1}},
    ],
)
def test_queries_are_bounded(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage, match=next(iter(fields))):
        Query.decode(json.dumps({"text": "hi", **fields}).encode())


@pytest.mark.parametrize("weight", [0, -1, MAX_WEIGHT + 1, 1.5, True, "2"])
def test_a_weight_is_a_number_of_copies(weight: object) -> None:
    with pytest.raises(InvalidMessage, match="weight"):
        TextEvent.decode(json.dumps({"text": "hi", "weight": weight}).encode())


@given(st.binary())
def test_any_bytes_decode_or_are_refused(raw: bytes) -> None:
    for kind in MESSAGES:
        with contextlib.suppress(InvalidMessage):
            assert isinstance(kind.decode(raw), kind)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_any_text_survives_the_wire(text: str) -> None:
    assert TextEvent.decode(TextEvent(text=text).encode()).text == text


def test_every_message_exports_its_json_schema() -> None:
    for kind in MESSAGES:
        schema = kind.model_json_schema()
        assert schema["properties"]["v"]["const"] == 1
        closed = {part.get("additionalProperties") for part in (schema, *schema.get("$defs", {}).values())}
        assert closed == ({None} if kind in (Answer, Asked, DeadLetter) else {False})


def test_every_field_of_every_message_says_in_a_sentence_what_it_is() -> None:
    for kind in MESSAGES:
        schema = kind.model_json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            assert part["description"].endswith("."), part["title"]
            for name, field in part.get("properties", {}).items():
                assert field.get("description", "").endswith("."), f"{part['title']}.{name}"


def newer(value: object) -> object:
    """With another field in each object that is a part of the message."""
    if isinstance(value, list):
        return [newer(item) for item in value]
    if isinstance(value, dict) and not all(key.isdigit() for key in value):
        return {key: newer(item) for key, item in value.items()} | {"a_new_field": {"of": ["any", 1]}}
    return value


@pytest.mark.parametrize(
    ("kind", "raw"), [(kind, raw) for kind, raw in GOLDEN if kind in (Answer, Asked, DeadLetter)]
)
def test_what_hurnet_writes_is_read_without_what_a_newer_one_added(kind: type[Message], raw: str) -> None:
    added = newer(json.loads(raw))
    assert isinstance(added, dict)
    for candidate in added.get("candidates", []) + added.get("neighbours", []):
        candidate["metadata"].pop("a_new_field", None)  # its fields are the producer's
    assert kind.decode(json.dumps(added).encode()) == kind.decode(raw.encode())


@pytest.mark.parametrize(("kind", "raw"), [(kind, raw) for kind, raw in GOLDEN if kind in (TextEvent, Query)])
def test_a_field_that_a_client_misspells_is_told(kind: type[Message], raw: str) -> None:
    with pytest.raises(InvalidMessage, match="a_new_field"):
        kind.decode(json.dumps(json.loads(raw) | {"a_new_field": 1}).encode())


def test_a_newer_reason_or_outcome_is_read_as_it_is() -> None:
    letter = json.loads(next(raw for kind, raw in GOLDEN if kind is DeadLetter)) | {"reason": "by-the-moon"}
    assert DeadLetter.decode(json.dumps(letter).encode()).reason == "by-the-moon"
    assert Answer.decode(b'{"id":"1","outcome":"postponed"}').outcome == "postponed"


def test_fields_that_hurnet_itself_misspells_are_errors() -> None:
    with pytest.raises(ValidationError):
        Answer.model_validate({"id": "1", "outcome": "answered", "anwser": "x"})
