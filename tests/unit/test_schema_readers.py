"""Values by a schema: what is read, and what hostile bytes and schemas can't do."""

from __future__ import annotations

import io
import json
import struct
import time
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import InvalidMessage
from hurnet_stream.adapters.registry import Protoc
from hurnet_stream.errors import ConfigurationError, RegistryFailing
from hurnet_stream.ports import Record, Schema, Taught
from hurnet_stream.readers import avro, json_schema, protobuf, wire
from hurnet_stream.readers.making import Making
from hurnet_stream.readers.schemas import BySchema
from hurnet_stream.settings.settings import Settings, TopicSettings


class Shelf:
    """Schemas in memory, which may be away."""

    def __init__(self, *schemas: Schema) -> None:
        self.schemas = dict(enumerate(schemas))
        self.asked: list[int] = []
        self.away = False

    def schema(self, schema_id: int) -> Schema:
        self.asked.append(schema_id)
        if self.away:
            raise RegistryFailing("away")
        if schema_id not in self.schemas:
            raise InvalidMessage("invalid-message", f"no schema {schema_id}")
        return self.schemas[schema_id]


def framed(raw: bytes, schema_id: int = 0) -> bytes:
    return struct.pack(">bI", 0, schema_id) + raw


def encoded(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return framed(out.getvalue())


def avro_of(schema: Any, **references: Any) -> Any:
    others = {name: json.dumps(text) for name, text in references.items()}
    return avro.compiled(Schema("AVRO", json.dumps(schema), others))


NODE = {
    "type": "record",
    "name": "x.Node",
    "fields": [
        {"name": "body", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["P", "Q"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
        {"name": "raw", "type": {"type": "fixed", "name": "Two", "size": 2}},
        {"name": "next", "type": ["null", "Node"]},
    ],
}
VALUE: dict[str, Any] = {
    "body": "hi",
    "at": datetime(2026, 11, 28, tzinfo=UTC),
    "price": Decimal("1.25"),
    "kind": "Q",
    "tags": ["a", "b"],
    "counts": {"k": 1},
    "raw": b"ab",
    "next": None,
}
PLAIN = {**VALUE, "at": "2026-11-28T00:00:00+00:00", "price": "1.25", "raw": "YWI="}


def test_each_type_of_avro_becomes_what_json_would_have() -> None:
    value = {**VALUE, "next": VALUE}
    assert avro_of(NODE)(encoded(NODE, value)) == {**PLAIN, "next": PLAIN}


@pytest.mark.parametrize(
    ("schema", "before"), [('"x.Node"', b""), ('["null", "x.Node"]', b"\x02")], ids=["a name", "a union"]
)
def test_a_schema_may_be_only_the_name_of_another(schema: str, before: bytes) -> None:
    raw = encoded(NODE, VALUE)[5:]
    read = avro.compiled(Schema("AVRO", schema, {"x.Node": json.dumps(NODE)}))
    assert read(framed(before + raw)) == PLAIN


BOMB = {
    f"R{level}": {
        "type": "record",
        "name": f"R{level}",
        "fields": [{"name": f"f{i}", "type": f"R{level - 1}" if level else "null"} for i in range(10)],
    }
    for level in range(12)
}
ENDLESS = {"type": "record", "name": "A", "fields": [{"name": "a", "type": "A"}]}
CHAIN = {"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "A"]}]}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 10**6, "scale": 0}


@pytest.mark.parametrize(
    ("schema", "raw", "told"),
    [
        ({"type": "array", "items": "null"}, b"\x80\x80\x80\x80\x80\x40\x00", "more than 100,000 values"),
        (ENDLESS, b"", "more than 100 levels deep"),
        (CHAIN, b"\x02" * 100_000, "more than 100 levels deep"),
        ("string", b"\x80\x80\x80\x80\x80\x40", "the value ends within a text"),
        ("string", b"\x01", "its length is wrong"),
        ("long", b"\xff" * 20, "within a number"),
        ("long", b"", "within a number"),
        (["null", "string"], b"\x08", "a union has no branch 4"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x01", "an enum has no branch -1"),
        ("int", b"\x02\x02", "1 bytes are left behind"),
        ("string", b"\x02\xff", "UnicodeDecodeError"),
        ({"type": "long", "logicalType": "timestamp-millis"}, b"\xff" * 9 + b"\x01", "OverflowError"),
        (DECIMAL, encoded("bytes", b"\x7f" * 10**6)[5:], "a decimal has 1,000,000 bytes"),
        ({"type": "fixed", "name": "F", "size": "x"}, b"abc", "TypeError"),
        ({"type": "map", "values": "int"}, b"\x02\x02a", "within a number"),
    ],
)
def test_bytes_that_don_t_fit_avros_schema_are_told_at_once(schema: Any, raw: bytes, told: str) -> None:
    read = avro_of(schema)
    began = time.process_time()
    with pytest.raises(InvalidMessage) as raised:
        read(framed(raw))
    assert told in raised.value.detail
    assert time.process_time() - began < 2


def test_a_schema_that_doubles_at_each_level_is_refused_at_once() -> None:
    *below, (_, top) = BOMB.items()
    with pytest.raises(InvalidMessage, match="more than 100,000 values"):
        avro_of(top, **dict(below))(framed(b""))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "3",
        '"nope"',
        '{"type": "record"}',
        '{"type": "array"}',
        "[" * 5_000 + "]" * 5_000,
        "{}",
        "null",
        '{"type": "enum", "name": "E", "symbols": 5}',
        '{"type": "record", "name": "A", "fields": [3]}',
    ],
)
def test_what_is_no_schema_of_avro_is_told(text: str) -> None:
    with pytest.raises(InvalidMessage):
        avro.compiled(Schema("AVRO", text))(framed(b""))


@given(raw=st.binary(max_size=200))
def test_whatever_bytes_come_avro_is_read_or_refused(raw: bytes) -> None:
    try:
        _node()(framed(raw))
    except InvalidMessage:
        return


@given(place=st.integers(0), byte=st.integers(0, 255))
def test_a_byte_that_is_changed_is_read_or_refused(place: int, byte: int) -> None:
    raw = bytearray(encoded(NODE, {**VALUE, "next": VALUE}))
    raw[5 + place % (len(raw) - 5)] = byte
    try:
        _node()(bytes(raw))
    except InvalidMessage:
        return


@cache
def _node() -> Any:
    return avro_of(NODE)


PROTO = """syntax = "proto3"; package t;
import "common.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/any.proto";
message Outer { message T {
  string subject = 1; c.P p = 2; google.protobuf.Timestamp at = 3; map<string, int32> counts = 4;
  repeated string tags = 5; enum E {U = 0; V = 1;} E e = 6; bytes raw = 7; optional string maybe = 8;
  google.protobuf.Any any = 9; google.protobuf.Struct free = 10; int64 votes = 11;
  google.protobuf.StringValue wrapped = 12; oneof one { string left = 13; int32 right = 14; }
  map<bool, c.P> named = 15; repeated c.P list = 16;
} }"""
COMMON = 'syntax = "proto3"; package c; message P { string name = 1; P child = 2; }'


@cache
def _proto() -> Any:
    return protobuf.compiled(Protoc().compiled(Schema("PROTOBUF", PROTO, {"common.proto": COMMON})))


def proto(raw: bytes, indexes: bytes = b"\x04\x00\x00") -> Any:
    return _proto()(framed(indexes + raw))


def test_each_type_of_protobuf_becomes_what_json_would_have() -> None:
    assert proto(b"") == {
        "subject": "",
        "counts": {},
        "tags": [],
        "e": "U",
        "raw": "",
        "votes": 0,
        "named": {},
        "list": [],
    }
    raw = (
        b"\x0a\x02hi"
        + b"\x12\x03\x0a\x01n"
        + b"\x1a\x06\x08\x80\x80\x80\x80\x06"
        + b"\x22\x05\x0a\x01k\x10\x05"
    )
    raw += b"\x2a\x01a" + b"\x30\x01" + b"\x3a\x02ab" + b"\x42\x00" + b"\x62\x03\x0a\x01w" + b"\x70\x00"
    raw += b"\x52\x0a\x0a\x08\x0a\x01f\x12\x03\x1a\x01s" + b"\x7a\x07\x08\x01\x12\x03\x0a\x01m"
    read = proto(raw)
    assert (read["subject"], read["p"], read["counts"], read["e"]) == ("hi", {"name": "n"}, {"k": 5}, "V")
    assert (read["raw"], read["maybe"], read["wrapped"], read["right"]) == ("YWI=", "", "w", 0)
    assert (read["free"], read["named"], read["at"]) == (
        {"f": "s"},
        {"true": {"name": "m"}},
        "2021-01-14T08:25:36Z",
    )


@pytest.mark.parametrize(
    ("raw", "indexes", "told"),
    [
        (b"", b"\x02\x08", "it has no message [4]: there are 1 of them"),
        (b"", b"\x02", "which message of its schema the value is can't be read"),
        (b"", b"\x01", "-1 indexes of messages"),
        (b"", b"\xff\xff\xff\xff\x0f", "indexes of messages"),
        (b"", b"\x04\x00\x05", "it has no message [0, -3]"),
        (b"\xff\xff", b"\x04\x00\x00", "the bytes are no message t.Outer.T"),
        (b"\x0a\xff\xff\xff\x7f", b"\x04\x00\x00", "the bytes are no message"),
        (b"\x82\x01\x00" * 300_000, b"\x04\x00\x00", "more than 100,000 values"),
        (b"\x0a\x01\xff", b"\x04\x00\x00", "the bytes are no message"),
        (b"\x12\x80\x80\x80\x80\x80", b"\x04\x00\x00", "the bytes are no message"),
    ],
)
def test_bytes_that_don_t_fit_protobufs_schema_are_told(raw: bytes, indexes: bytes, told: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        proto(raw, indexes)
    assert told in raised.value.detail


@given(raw=st.binary(max_size=300), indexes=st.binary(max_size=3) | st.just(b"\x04\x00\x00"))
def test_whatever_bytes_come_protobuf_is_read_or_refused(raw: bytes, indexes: bytes) -> None:
    try:
        proto(raw, indexes)
    except InvalidMessage:
        return


@pytest.mark.parametrize(
    ("text", "references", "told"),
    [
        ("message {", {}, "it:1:9: Expected message name"),
        ('import "nope.proto";', {}, "nope.proto: File not found"),
        ('import "/etc/passwd";', {}, 'Import "/etc/passwd" was not found'),
        ('import "../x.proto";', {"../x.proto": ""}, "which is no name of a .proto file"),
        ("", {"a/../../x": ""}, "which is no name of a .proto file"),
        ("", {"/etc/x": ""}, "which is no name of a .proto file"),
        ('syntax = "proto3";' + "message A {" * 5_000 + "}" * 5_000, {}, "maximum recursion limit"),
        ('import "hurnet_value.proto";', {}, "recursively imports itself"),
        ("\ud800", {}, "can't be written"),
        ("message A { B b = 1; }", {}, "it:1:1"),
    ],
)
def test_what_does_not_compile_as_a_proto_file_is_told(text: str, references: Any, told: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        Protoc().compiled(Schema("PROTOBUF", text, references))
    assert told in raised.value.detail
    assert "/hurnet-" not in raised.value.detail  # the folder it was compiled in


def checked(schema: Any, value: Any, **references: Any) -> Any:
    others = {f"{name}.json": json.dumps(text) for name, text in references.items()}
    read = json_schema.compiled(Schema("JSON", json.dumps(schema), others))
    return read(framed(value if isinstance(value, bytes) else json.dumps(value).encode()))


def doubling(**more: Any) -> Any:
    levels = {f"a{i}": {"allOf": [{"$ref": f"#/definitions/a{i + 1}"}] * 2, **more} for i in range(40)}
    return {"definitions": {**levels, "a40": {}}, "$ref": "#/definitions/a0"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "x"),
        (True, 3),
        ({"$ref": "other.json"}, "x"),
        ({"pattern": "(?=a)a"}, "b"),
        ({"properties": {"a": {"type": "string"}}, "additionalProperties": False}, {"a": "b"}),
        ({"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False}, {"xa": "b"}),
        ({"format": "date"}, "no date"),
        ({"uniqueItems": True}, [1, 2]),
    ],
)
def test_json_that_keeps_to_its_schema_is_read(schema: Any, value: Any) -> None:
    assert checked(schema, value, other={"type": "string"}) == value


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"type": "string"}, 3, "the value breaks it at its top: type"),
        ({"properties": {"a": {"items": {"type": "string"}}}}, {"a": ["x", 3]}, "breaks it at a/1: type"),
        ({"required": ["a"]}, {}, "required"),
        ({"additionalProperties": False}, {"a": 1}, "nothing is allowed there"),
        ({"pattern": "^(a+)+$"}, "a" * 100_000 + "!", "pattern"),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"xa": 1}, "breaks it at xa: type"),
        ({"$ref": "other.json"}, 3, "type"),
        ({"$ref": "#"}, 3, "it refers to itself without end"),
        ({"$ref": "http://127.0.0.1:1/x.json"}, 3, "'http://127.0.0.1:1/x.json', which is not registered"),
        (doubling(), 3, "more than 50,000 steps"),
        (doubling(**{"$schema": "http://json-schema.org/draft-07/schema#"}), 3, "more than 50,000 steps"),
        ({"type": "strin"}, 3, "it is no JSON Schema"),
        ([1], 3, "it is no JSON Schema"),
        (3, 3, "it is no JSON Schema"),
        ({"multipleOf": 1e-300}, 1e300, "multipleOf"),
        ({}, b"{", "no JSON"),
        ({}, b"\xff", "not UTF-8"),
        (
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "null"}]},
            [3],
            "0",
        ),
    ],
)
def test_json_that_breaks_its_schema_and_schemas_that_are_none_are_told(
    schema: Any, value: Any, told: str
) -> None:
    with pytest.raises(InvalidMessage) as raised:
        checked(schema, value, other={"type": "string"})
    assert told in raised.value.detail


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"body": "x"}', "looks like JSON without a schema's id"),
        (b"", "has 0 bytes"),
        (b"\0\0\0", "has 3 bytes"),
        (b"\x01" + bytes(16), "a schema by its GUID"),
        (b"Obj\x01" + bytes(10), "a file of Avro"),
        (b"\x02\x04hello", "Is the id in a header"),
        (b"\0\xff\xff\xff\xff\x02", "has no schema's id"),
    ],
)
def test_a_value_without_the_id_of_a_schema_is_told(raw: bytes, told: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        wire.schema_id(raw)
    assert told in raised.value.detail


def test_schemas_are_asked_for_once_and_bad_ones_are_remembered_too() -> None:
    shelf = Shelf(Schema("AVRO", '"string"'), Schema("AVRO", "{"), Schema("JSON", "{}"))
    reader = BySchema("AVRO", shelf, avro.compiled, kept=10)
    for _ in range(3):
        assert reader.decode(framed(b"\x04hi")) == "hi"
        with pytest.raises(InvalidMessage, match="schema 1 can't be used: it is no schema of Avro"):
            reader.decode(framed(b"", 1))
        with pytest.raises(InvalidMessage, match="schema 2 is of json-schema, and `format` is avro"):
            reader.decode(framed(b"", 2))
    assert shelf.asked == [0, 1, 2]


def test_of_many_schemas_the_newest_ones_are_kept() -> None:
    shelf = Shelf(*[Schema("AVRO", '"string"')] * 5)
    reader = BySchema("AVRO", shelf, avro.compiled, kept=2)
    for number in (0, 1, 0, 2, 0, 1):
        reader.decode(framed(b"\x04hi", number))
    assert shelf.asked == [0, 1, 2, 1]


def test_a_registry_that_is_away_makes_no_dead_letter() -> None:
    shelf = Shelf(Schema("AVRO", json.dumps(NODE)))
    shelf.away = True
    reader = Making(Settings(), shelf, Protoc()).reader("t", TopicSettings(format="avro", text="value.body"))
    record = Record("t", 0, 1, 1_000, b"\0\0\0\0\x09\x02", encoded(NODE, VALUE), number=1)
    with pytest.raises(RegistryFailing):
        reader.read(record)
    shelf.away = False
    assert isinstance(reader.read(record), Taught)
    shelf.away = True
    assert isinstance(reader.read(record), Taught)


def test_a_format_by_schema_needs_a_registry() -> None:
    for form in ("avro", "protobuf", "json-schema"):
        with pytest.raises(ConfigurationError, match="needs HURNET_REGISTRY_URL"):
            Making(Settings()).reader("t", TopicSettings(format=form, text="value.body"))
