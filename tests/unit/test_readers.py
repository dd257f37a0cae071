"""Readers: what records of any shape are taken for, and what is told if one is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import InvalidMessage
from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import Deletion, key_digest
from hurnet_stream.ports import Record, Taught
from hurnet_stream.ports.record import Headers
from hurnet_stream.readers.expressions import Expression
from hurnet_stream.readers.making import Making
from hurnet_stream.readers.values import milliseconds_of, text_of, weight_of
from hurnet_stream.records import TextReader
from hurnet_stream.settings.expressions import parsed
from hurnet_stream.settings.settings import Settings, TopicSettings


def record(
    value: Any, key: bytes | None = b"7", headers: Headers = (), offset: int = 5, number: int = 1
) -> Record:
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Record("tickets", 3, offset, 1_700_000_000_000, key, raw, headers, number=number)


def reader(**table: Any) -> Any:
    return Making(Settings()).reader("tickets", TopicSettings(**{"text": "value.subject", **table}))


def entry(value: Any, key: bytes | None = b"7", headers: Headers = (), **table: Any) -> Any:
    said = reader(**table).read(record(value, key, headers))
    assert isinstance(said, Taught)
    (only,) = said.entries
    return only


TICKET = {
    "id": 41,
    "subject": "I can't log in",
    "resolution": {"text": "Reset the password"},
    "votes": 3,
    "product": {"name": "Portal"},
    "tags": ["web", "new"],
    "updated_at": "2026-11-28T12:00:00Z",
    "open": False,
    "unknown": [None, {"deep": 1e300}],
}


def test_each_part_of_an_entry_is_found_by_its_expression() -> None:
    said = reader(
        answer="value.resolution.text",
        context="'support'",
        key="value.id",
        weight="value.votes",
        timestamp="value.updated_at",
        metadata={"product": "value.product.name", "open": "value.open", "none": "value.nothing"},
    ).read(record(TICKET))
    (only,) = said.entries
    assert (only.text, only.answer, only.context) == ("I can't log in", "Reset the password", "support")
    assert (only.copies, only.timestamp_ms) == (3, 1_795_867_200_000)
    assert only.metadata == {"product": "Portal", "open": "false"}
    assert only.offset == 5 * 1_024
    assert (said.key, said.replaces) == (b"41", True)


def test_without_expressions_an_entry_has_the_records_own_key_and_time() -> None:
    said = reader(keys="append").read(record(TICKET))
    assert (said.key, said.replaces) == (b"7", False)
    assert said.entries[0].timestamp_ms == 1_700_000_000_000
    assert said.entries[0].context == "default"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("join(' ', value.tags)", "web new"),
        ("value.tags[0]", "web"),
        ("value.votes", "3"),
        ("value.open", "false"),
        ("value.missing || value.subject", "I can't log in"),
        ("join(': ', [value.product.name, value.subject])", "Portal: I can't log in"),
        ("lower(value.product.name)", "portal"),
        ("headers.lang", "pt"),
        ("key", "7"),
        ("topic", "tickets"),
        ("value.{a: id} | to_string(@)", '{"a":41}'),
    ],
)
def test_an_expression_may_look_anywhere_in_a_record(expression: str, text: str) -> None:
    assert entry(TICKET, headers=(("lang", b"pt"),), text=expression).text == text


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("subject", "'subject' is none of value, key"),
        ("value.subject.", "ends too early"),
        ("value..subject", "column 7: '.' is not expected"),
        ("joined(' ', value.tags)", "there is no function joined(); did you mean join()?"),
        ("join(value.tags)", "join() takes 2 arguments, and not 1"),
        ("clamp(value.votes)", "clamp() takes 3 arguments"),
        ("value.votes * 2", "column"),
        ("'open", "column"),
        ("value.tags[?x == y", "ends too early"),
        ("value[?joined(@)]", "no function joined"),
        ("(" * 1_900, "nested too deeply"),
        ("!value.open", "write !(value.x)"),
        ("value.a && other.b", "'other' is none of"),
    ],
)
def test_a_wrong_expression_is_told_at_the_start(expression: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parsed(expression)


@pytest.mark.parametrize(
    ("table", "value", "reason", "told"),
    [
        ({}, {"subject": ["a", "b"]}, "invalid-message", "text = value.subject: a list of 2"),
        ({}, {"subject": {"en": "a"}}, "invalid-message", "an object with the fields en"),
        ({}, {"subjekt": "a"}, "blank-text", "no text is there. Records that have none"),
        ({}, {"subject": " "}, "blank-text", 'left out by `when`, as in when = "value.subject"'),
        ({}, {"subject": "a\0b"}, "invalid-message", "control character U+0000"),
        ({}, {"subject": "a" * 16_385}, "too-long", "chunk = N cuts texts"),
        ({}, b"\xff", "not-utf8", "byte 0 of 1 is not UTF-8"),
        ({}, b"{", "not-json", "the value is no JSON"),
        ({}, b"\0\0\0\0\x07{}", "not-json", "format is then avro, protobuf or json-schema"),
        ({}, b"[" * 100_000, "not-json", "recursion limit"),
        ({}, b"1" * 100_000, "not-json", "number out of range"),
        (
            {"text": "join(' ', value.lines)"},
            {},
            "invalid-message",
            "join() takes array-string, and this is null",
        ),
        (
            {"context": "value.c"},
            {"subject": "a", "c": "Über"},
            "invalid-message",
            "slug(...) makes such a name",
        ),
        ({"weight": "value.w"}, {"subject": "a", "w": 0}, "invalid-message", "weight = value.w: not one of"),
        (
            {"weight": "value.w"},
            {"subject": "a", "w": "x"},
            "invalid-message",
            "a text, and must be a number",
        ),
        ({"weight": "value.w"}, b'{"subject": "a", "w": NaN}', "invalid-message", "must be a number"),
        (
            {"timestamp": "value.t"},
            {"subject": "a", "t": "28/11/2026"},
            "invalid-message",
            "no time: it must be",
        ),
        ({"timestamp": "value.t"}, {"subject": "a", "t": -1}, "invalid-message", "before 1970"),
        (
            {"metadata": {"p": "value.p"}},
            {"subject": "a", "p": "x" * 1_025},
            "too-long",
            "metadata.p = value.p",
        ),
        (
            {"metadata": {"p": "value.p"}},
            {"subject": "a", "p": [1]},
            "invalid-message",
            "metadata.p = value.p",
        ),
        ({"answer": "value.a"}, {"subject": "a", "a": {}}, "invalid-message", "an object without fields"),
        ({"key": "value.k"}, {"subject": "a", "k": [1]}, "invalid-message", "key = value.k: a list of 1"),
        ({"text": "sort(value.x)[0]"}, {"x": [1, "a"]}, "invalid-message", "sort() takes"),
        ({"format": "text", "text": ""}, b"\xc3", "not-utf8", "byte 0"),
    ],
)
def test_what_is_wrong_with_a_record_is_told_with_its_place(
    table: dict[str, Any], value: Any, reason: str, told: str
) -> None:
    with pytest.raises(InvalidMessage) as raised:
        reader(**table).read(record(value))
    assert raised.value.reason == reason
    assert told in raised.value.detail


@pytest.mark.parametrize("secret", [["s3cret"], {"a": "s3cret"}, {"s": ["s3cret"]}])
def test_a_dead_letter_never_repeats_a_value(secret: Any) -> None:
    for table in ({}, {"text": "lower(value.subject)"}, {"text": "value.t", "context": "value.subject"}):
        with pytest.raises(InvalidMessage) as raised:
            reader(**table).read(record({"subject": secret, "t": "x"}))
        assert "s3cret" not in raised.value.detail


def test_a_record_that_is_not_taken_deletes_what_its_key_held() -> None:
    chosen = {"when": "value.open", "text": "value.subject"}
    said = reader(**chosen).read(record(TICKET))
    assert isinstance(said, Deletion)
    assert (said.key, said.offset) == (key_digest(b"7"), places.last_position(places.shard_of(1, 3), 5))
    assert reader(**chosen, keys="append").read(record(TICKET)) == Taught(())
    assert reader(**chosen).read(record(TICKET, key=None)) == Taught(())
    assert reader(when="!(value.open)").read(record(TICKET)).entries


def test_a_record_without_a_value_deletes_by_its_key() -> None:
    said = reader().read(record(None))
    assert (said.key, said.context) == (key_digest(b"7"), None)
    by_key = reader(key="key.id").read(record(None, key=b'{"id": 41}'))
    assert by_key.key == key_digest(b"41")


@pytest.mark.parametrize(
    ("table", "key", "told"),
    [({}, None, "has no key that says what"), ({"key": "value.id"}, b"7", "as in key.id")],
)
def test_a_record_that_does_not_say_what_it_deletes_is_told(
    table: dict[str, str], key: bytes | None, told: str
) -> None:
    with pytest.raises(InvalidMessage) as raised:
        reader(**table).read(record(None, key=key))
    assert raised.value.reason == "tombstone"
    assert told in raised.value.detail


def test_a_deletion_of_one_record_is_one_in_any_topic() -> None:
    said = reader(key="value.id").read(record(None, headers=(("forget", b"4"),)))
    shard = places.shard_of(1, 3)
    first, last = places.first_position(shard, 4), places.last_position(shard, 4)
    assert said.targets == tuple(range(first, last + 1))


def test_a_long_text_is_as_many_entries_as_it_has_chunks() -> None:
    table = TopicSettings(text="value.subject", answer="value.page", key="value.page", chunk=20)
    value = {"subject": "The first sentence. The second one.", "page": "help"}
    said = Making(Settings()).reader("pages", table).read(record(value))
    assert isinstance(said, Taught)
    assert said.key == b"help"
    assert [(e.offset, e.text, e.answer) for e in said.entries] == [
        (5_120, "The first sentence.", "help"),
        (5_121, "The second one.", "help"),
    ]


def test_a_chunk_of_a_text_without_an_answer_is_its_own() -> None:
    table = TopicSettings(text="value.subject", chunk=20)
    said = (
        Making(Settings()).reader("pages", table).read(record({"subject": "The first one. The second one."}))
    )
    assert isinstance(said, Taught)
    assert [entry.answer for entry in said.entries] == [None, None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a " * 2_000, "too-long"), ("a" * 30 + "\0", "invalid-message"), (" \n" * 30, "blank-text")],
)
def test_what_can_not_be_cut_is_rejected(text: str, reason: str) -> None:
    table = TopicSettings(text="value.subject", chunk=1)
    with pytest.raises(InvalidMessage) as raised:
        Making(Settings()).reader("pages", table).read(record({"subject": text}))
    assert raised.value.reason == reason


def row(operation: str, before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    return {"op": operation, "before": before, "after": after, "source": {"table": "faq"}, "ts_ms": 1, **more}


FAQ = {"id": 41, "subject": "How?", "answer": "So."}


@pytest.mark.parametrize("operation", ["c", "r", "u"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_row_of_debezium_is_the_value(operation: str, wrapped: bool) -> None:
    change = row(operation, after=FAQ)
    value = {"schema": {"type": "struct"}, "payload": change} if wrapped else change
    table: dict[str, Any] = {
        "envelope": "debezium",
        "context": "envelope.source.table",
        "answer": "value.answer",
    }
    found = entry(value, **table)
    assert (found.text, found.answer, found.context) == ("How?", "So.", "faq")


def test_a_deleted_row_deletes_by_the_records_key_or_by_the_expression() -> None:
    gone = row("d", before=FAQ)
    assert reader(envelope="debezium").read(record(gone)).key == key_digest(b"7")
    assert reader(envelope="debezium", key="value.id").read(record(gone)).key == key_digest(b"41")
    key = b'{"schema": {}, "payload": {"id": 41}}'
    assert reader(envelope="debezium", key="key.id").read(record(gone, key=key)).key == key_digest(b"41")
    assert reader(envelope="debezium").read(record(None)).key == key_digest(b"7")


@pytest.mark.parametrize(
    "service",
    [
        {"ts_ms": 1},
        {"status": "BEGIN", "id": "571:53195829", "event_count": None, "data_collections": None},
        {"source": {}, "databaseName": "a", "ddl": "CREATE TABLE", "tableChanges": []},
        row("m", message={}),
    ],
)
def test_debezium_says_some_things_that_are_nothing_to_remember(service: Any) -> None:
    assert reader(envelope="debezium").read(record(service)) == Taught(())
    assert reader(envelope="debezium").read(record({"schema": {}, "payload": service})) == Taught(())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (row("t"), "the table was emptied"),
        (row("x", after=FAQ), "op is unknown"),
        (row("c"), "op is c, and `after` is null"),
        (row("u", after=[FAQ]), "`after` is a list of 1"),
        (FAQ, "if the connector unwraps rows (ExtractNewRecordState), leave envelope out"),
        ([1], "it is a list of 1"),
        ({"schema": {}, "payload": None}, "it is null"),
        ({"op": 3}, "op is a number"),
        ("text", "it is a text"),
        (row("c", after={"id": 1}), "text = value.subject: no text is there"),
        (b"nothing", "no JSON"),
    ],
)
def test_what_is_no_change_of_debezium_is_told(value: Any, told: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        reader(envelope="debezium").read(record(value))
    assert told in raised.value.detail


CE: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/a"), ("ce_type", b"ticket"))
EVENT = {"specversion": "1.0", "id": "1", "source": "/a", "type": "ticket", "data": {"subject": "Hi"}}


def test_the_data_of_a_cloudevent_is_the_value_in_either_mode() -> None:
    table: dict[str, Any] = {"envelope": "cloudevents", "context": "envelope.type"}
    assert entry({"subject": "Hi"}, headers=CE, **table).context == "ticket"
    assert entry(EVENT, **table).text == "Hi"
    encoded = {**EVENT, "data_base64": "eyJzdWJqZWN0IjogIkhpIn0="}
    assert entry(encoded, headers=(("content-type", b"application/cloudevents+json"),), **table).text == "Hi"
    as_text = {**EVENT, "data": "Hi"}
    assert entry(as_text, envelope="cloudevents", format="text", text="").text == "Hi"


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in EVENT.items() if key != name}


@pytest.mark.parametrize(
    ("value", "headers", "told"),
    [
        (_without("specversion"), (), 'specversion, "1.0", is missing'),
        ({**EVENT, "specversion": "0.3"}, (), "specversion must be 1.0"),
        (_without("id"), (), "id is missing"),
        (_without("type"), (), "type is missing"),
        ({**EVENT, "source": ""}, (), "source is missing"),
        ({"subject": "Hi"}, CE[:3], "the header ce_type is missing"),
        ({"subject": "Hi"}, CE[1:], "the header ce_specversion"),
        ([EVENT], (), "no CloudEvent"),
        ([EVENT], (("content-type", b"application/cloudevents-batch+json"),), "one event a record"),
        ({**EVENT, "data_base64": "%"}, (), "data_base64 is no base64"),
        ({**EVENT, "data_base64": 3}, (), "data_base64 is no base64"),
        ({**EVENT, "data": None}, (), "text = value.subject: no text is there"),
        (b"{", (), "no JSON"),
    ],
)
def test_what_is_no_cloudevent_is_told(value: Any, headers: Headers, told: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        reader(envelope="cloudevents").read(record(value, headers=headers))
    assert told in raised.value.detail


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (3, "3"), (2.5, "2.5"), (True, "true"), (None, None), (" ", None), (10**30, "1" + "0" * 30)],
)
def test_numbers_and_booleans_are_texts_as_json_writes_them(value: Any, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "moment_ms"),
    [
        (1_795_867_200, 1_795_867_200_000),
        (1_795_867_200_000, 1_795_867_200_000),
        ("1795867200000.0", 1_795_867_200_000),
        (1_795_867_200_000_000, 1_795_867_200_000),
        (1_795_867_200_000_000_000, 1_795_867_200_000),
        (1_795_867_200.5, 1_795_867_200_500),
        ("2026-11-28T12:00:00Z", 1_795_867_200_000),
        ("2026-11-28T13:00:00.000+01:00", 1_795_867_200_000),
        ("2026-11-28 12:00:00", 1_795_867_200_000),
        ("2026-11-28", 1_795_824_000_000),
        (None, None),
        ("", None),
    ],
)
def test_a_time_is_a_number_of_any_unit_or_as_iso_8601_has_it(value: Any, moment_ms: int | None) -> None:
    assert milliseconds_of(value) == moment_ms


def test_a_weight_is_a_whole_number_or_spells_one() -> None:
    assert [weight_of(value) for value in (3, "3", 3.0, None, "")] == [3, 3, 3, None, None]
    assert Expression("weight", "clamp(value.votes, `1`, `1000`)").find({"value": {}}) == 1


def test_hurnets_own_messages_may_come_by_another_topic() -> None:
    own = Making(Settings()).reader("more", TopicSettings(format="hurnet"))
    assert isinstance(own, TextReader)
    said = own.read(record({"text": "hi"}))
    assert isinstance(said, Taught)
    assert (said.entries[0].offset, said.replaces) == (5_120, True)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
ALL = {
    "answer": "value.answer || value",
    "context": "value.context",
    "key": "value.id || key.id",
    "weight": "value.votes",
    "timestamp": "value.at || timestamp",
    "metadata": {"a": "sort(value.list)[0]", "b": "headers.x"},
    "when": "value || `true`",
}


@given(
    value=st.binary() | ANY_JSON.map(json.dumps).map(str.encode),
    key=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.sampled_from([n for n, _ in CE] + ["x"]), st.none() | st.binary())),
    form=st.sampled_from(["json", "text"]),
    envelope=st.sampled_from(["", "cloudevents", "debezium"]),
)
def test_whatever_a_record_holds_it_is_read_or_refused(
    value: bytes, key: bytes | None, headers: list[Any], form: str, envelope: str
) -> None:
    topic = reader(format=form, envelope=envelope, **ALL)
    try:
        said = topic.read(record(value, key, tuple(headers)))
    except InvalidMessage:
        return
    assert isinstance(said, Taught | Deletion)


@given(
    value=st.dictionaries(
        st.sampled_from(["subject", "answer", "context", "id", "votes", "at", "list"]), ANY_JSON
    )
)
def test_whatever_its_fields_hold_a_record_is_read_or_refused(value: dict[str, Any]) -> None:
    try:
        said = reader(**ALL).read(record(json.dumps(value).encode()))
    except InvalidMessage:
        return
    assert isinstance(said, Taught | Deletion)
