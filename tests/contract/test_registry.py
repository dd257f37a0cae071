"""The registry's client: against a real registry, with the bytes that Confluent's own serialisers write, and
against servers that are slow, closed, or none of a registry."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema as ConfluentSchema
from confluent_kafka.schema_registry import SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from hurnet_schemas import InvalidMessage
from hurnet_stream.adapters.registry import Protoc, Registry, client
from hurnet_stream.errors import RegistryFailing
from hurnet_stream.ports import Record, Schema, Taught
from hurnet_stream.readers.making import Making
from hurnet_stream.settings.settings import RegistrySettings, Settings, TopicSettings
from tests.acceptance.system import system_is_busy
from tests.registry import ApicurioServer
from tests.secured import Authority


@pytest.fixture(scope="module")
def registry() -> Iterator[ApicurioServer]:
    with ApicurioServer() as server:
        yield server


def taught(registry: ApicurioServer, value: bytes, with_key: bytes | None = None, **table: Any) -> Taught:
    settings = RegistrySettings(url=registry.url, timeout=60)
    making = Making(Settings(), Registry(settings), Protoc())
    reader = making.reader("t", TopicSettings(**{"text": "value.body", **table}))
    said = reader.read(Record("t", 0, 1, 1_000, with_key, value, number=1))
    assert isinstance(said, Taught)
    return said


def context(subject: str, field: MessageField = MessageField.VALUE) -> SerializationContext:
    return SerializationContext(subject, field)


REVIEW = {
    "type": "record",
    "name": "Review",
    "namespace": "shop",
    "fields": [
        {"name": "body", "type": ["null", "string"]},
        {"name": "stars", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "of",
            "type": {"type": "record", "name": "Product", "fields": [{"name": "sku", "type": "string"}]},
        },
        {"name": "answers", "type": {"type": "array", "items": "Review"}, "default": []},
    ],
}


def test_avro_as_confluents_serialiser_writes_it_is_read(registry: ApicurioServer) -> None:
    confluent = SchemaRegistryClient({"url": registry.url})
    write: Any = AvroSerializer(confluent, json.dumps(REVIEW))
    review = {"body": "Good", "stars": 4, "at": 1_764_331_200_000, "of": {"sku": "a-1"}, "answers": []}
    value = write(review, context("reviews"))
    key: Any = AvroSerializer(
        confluent, '{"type": "record", "name": "K", "fields": [{"name": "id", "type": "long"}]}'
    )
    said = taught(
        registry,
        value,
        key({"id": 7}, context("reviews", MessageField.KEY)),
        format="avro",
        key="key.id",
        weight="value.stars",
        timestamp="value.at",
        context="value.of.sku",
    )
    (entry,) = said.entries
    assert (entry.text, entry.copies, entry.timestamp_ms, entry.context) == (
        "Good",
        4,
        1_764_331_200_000,
        "a-1",
    )
    assert said.key == b"7"


def test_a_change_of_debezium_in_avro_is_read(registry: ApicurioServer) -> None:
    row = {"type": "record", "name": "Value", "fields": [{"name": "body", "type": "string"}]}
    change = {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "before", "type": ["null", row], "default": None},
            {"name": "after", "type": ["null", "Value"], "default": None},
            {"name": "op", "type": "string"},
        ],
    }
    write: Any = AvroSerializer(SchemaRegistryClient({"url": registry.url}), json.dumps(change))
    value = write({"before": None, "after": {"body": "Row"}, "op": "u"}, context("changes"))
    assert taught(registry, value, format="avro", envelope="debezium").entries[0].text == "Row"


def test_schemas_that_refer_to_others_are_put_together(registry: ApicurioServer) -> None:
    confluent = SchemaRegistryClient({"url": registry.url})
    product = '{"type": "record", "name": "shop.P", "fields": [{"name": "sku", "type": "string"}]}'
    registry.register("p", product)
    order = '{"type": "record", "name": "O", "fields": [{"name": "body", "type": "shop.P"}]}'
    schema = ConfluentSchema(order, "AVRO", [SchemaReference("shop.P", "p", 1)])
    write: Any = AvroSerializer(confluent, schema)
    value = write({"body": {"sku": "a-1"}}, context("orders"))
    assert taught(registry, value, format="avro", text="value.body.sku").entries[0].text == "a-1"


def message(name: str, *fields: tuple[str, int]) -> descriptor_pb2.DescriptorProto:
    made = descriptor_pb2.DescriptorProto(name=name)
    for number, (field, kind) in enumerate(fields, 1):
        made.field.add(name=field, number=number, type=kind, label=1)
    return made


@pytest.mark.parametrize("path", [["Post"], ["Forum", "Thread", "Reply"]])
def test_protobuf_as_confluents_serialiser_writes_it_is_read(
    registry: ApicurioServer, path: list[str]
) -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{path[-1].lower()}.proto", package="forum", syntax="proto3"
    )
    text, number = 9, 5
    inner = message(path[-1], ("body", text), ("votes", number))
    for name in reversed(path[:-1]):
        outer = message(name)
        outer.nested_type.extend([message("Other", ("x", text)), inner])
        inner = outer
    file.message_type.extend([message("First", ("y", text)), inner])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"forum.{'.'.join(path)}"))
    write: Any = ProtobufSerializer(
        kind, SchemaRegistryClient({"url": registry.url}), {"use.deprecated.format": False}
    )
    schema_id = registry.register(f"proto-{path[-1]}-value", proto_text(file), "PROTOBUF")
    serialised = write(kind(body="Hello", votes=3), context(f"proto-{path[-1]}"))
    value = serialised[:1] + schema_id.to_bytes(4, "big") + serialised[5:]
    (entry,) = taught(registry, value, format="protobuf", weight="value.votes").entries
    assert (entry.text, entry.copies) == ("Hello", 3)


def proto_text(file: descriptor_pb2.FileDescriptorProto) -> str:
    """The .proto file that has these descriptors."""

    def lines(message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
        yield f"message {message.name} {{"
        for nested in message.nested_type:
            yield from lines(nested)
        for field in message.field:
            yield f"{'string' if field.type == 9 else 'int32'} {field.name} = {field.number};"
        yield "}"

    body = "\n".join(line for message in file.message_type for line in lines(message))
    return f'syntax = "proto3";\npackage {file.package};\n{body}\n'


def test_json_schema_as_confluents_serialiser_writes_it_is_read(registry: ApicurioServer) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Note",
        "type": "object",
        "properties": {"body": {"type": "string", "pattern": "^[A-Z]"}},
        "required": ["body"],
    }
    write: Any = JSONSerializer(json.dumps(schema), SchemaRegistryClient({"url": registry.url}))
    value = write({"body": "Note"}, context("notes"))
    assert taught(registry, value, format="json-schema").entries[0].text == "Note"
    with pytest.raises(InvalidMessage) as raised:
        taught(registry, value[:5] + b'{"body": "lower"}', format="json-schema")
    assert "the value breaks it at body: pattern" in raised.value.detail


def test_an_id_that_nobody_registered_is_waited_for_a_moment_and_then_told(registry: ApicurioServer) -> None:
    now = [100.0]
    asked = Registry(RegistrySettings(url=registry.url, timeout=60), lambda: None, lambda: now[0])
    with pytest.raises(RegistryFailing, match="no schema 99999 yet"):
        asked.schema(99_999)
    now[0] += client.PATIENCE_S
    for number in (99_999, 88_888):  # the second one is not waited for
        with pytest.raises(InvalidMessage, match=f"the registry has no schema {number}"):
            asked.schema(number)


def test_whoever_has_no_loop_does_not_wait_for_an_id(registry: ApicurioServer) -> None:
    with pytest.raises(InvalidMessage, match="the registry has no schema 99999"):
        Registry(RegistrySettings(url=registry.url, timeout=60)).schema(99_999)


def test_a_schema_of_another_kind_is_told(registry: ApicurioServer) -> None:
    number = registry.register("other", '"string"')
    with pytest.raises(InvalidMessage, match=f"schema {number} is of avro, and `format` is protobuf"):
        taught(registry, b"\0" + number.to_bytes(4, "big") + b"\0", format="protobuf")


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer, tls: Any = None) -> Iterator[str]:
    """A server that answers every question in this way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def saying(status: int, body: Any, headers: dict[str, str] | None = None) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(raw)

    return answer


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, {"error_code": 50001, "message": "no store"}, "status 500"),
        (503, b"<html>", "status 503"),
        (401, {"error_code": 401}, "does not let us in (401)"),
        (403, b"", "does not let us in (403)"),
        (404, b"<html>not found</html>", "is HURNET_REGISTRY_URL the address of its API?"),
        (404, {"detail": "no route"}, "is HURNET_REGISTRY_URL the address of its API?"),
        (302, b"", "is HURNET_REGISTRY_URL the address of its API?"),
        (200, b"hello", "is HURNET_REGISTRY_URL the address of its API?"),
        (200, [1], "is HURNET_REGISTRY_URL the address of its API?"),
        (429, b"", "status 429"),
        (200, b"[" * 100_000, "is HURNET_REGISTRY_URL the address of its API?"),
    ],
)
def test_what_may_pass_is_waited_for(status: int, body: Any, told: str) -> None:
    with serving(saying(status, body)) as url, pytest.raises(RegistryFailing) as raised:
        Registry(RegistrySettings(url=url)).schema(7)
    assert told in str(raised.value)


def test_no_server_at_all_is_waited_for() -> None:
    with pytest.raises(RegistryFailing, match="can't be asked"):
        Registry(RegistrySettings(url="http://127.0.0.1:1")).schema(7)


@pytest.mark.parametrize("drips", [False, True])
def test_a_registry_that_hangs_or_drips_takes_no_longer_than_its_timeout(drips: bool) -> None:
    ended = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        if drips:
            request.send_response(200)
            request.send_header("Content-Length", "1000000")
            request.end_headers()
        while not ended.wait(0.05):
            if drips:
                try:
                    request.wfile.write(b" ")
                except OSError:
                    return

    with serving(slow) as url:
        began = time.monotonic()
        with pytest.raises(RegistryFailing):
            Registry(RegistrySettings(url=url, timeout=0.3)).schema(7)
        assert time.monotonic() - began < 5 or system_is_busy()
        ended.set()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"schema": "x" * (5 << 20)}, "has more than 4,194,304 bytes"),
        ({"schema": 3}, "unknown kind"),
        ({"schema": "x", "schemaType": "XML"}, "unknown kind, 'XML'"),
        ({"schema": "x", "references": [{"name": "a"}]}, "a reference of the schema can't be read"),
        ({"schema": "x", "references": 3}, "a reference of the schema can't be read"),
        (
            {"schema": "x", "references": [{"name": "a", "subject": "a", "version": 1}]},
            "refers to itself by 'a'",
        ),
    ],
)
def test_a_schema_that_can_never_be_used_is_told_and_not_waited_for(reply: Any, told: str) -> None:
    with serving(saying(200, reply)) as url, pytest.raises(InvalidMessage) as raised:
        Registry(RegistrySettings(url=url)).schema(7)
    assert told in raised.value.detail


def test_a_schema_is_asked_for_once_and_its_references_by_their_own_names() -> None:
    asked: list[str] = []
    beats: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        named = {"name": "b.proto", "subject": "a/b c", "version": 2}
        saying(200, {"schema": "x", "references": [named] if "ids" in request.path else []})(request)

    with serving(answer) as url:
        registry = Registry(RegistrySettings(url=f"{url}/apis/"), lambda: beats.append(1))
        assert [registry.schema(7) for _ in range(3)] == [Schema("AVRO", "x", {"b.proto": "x"})] * 3
    assert asked == ["/apis/schemas/ids/7", "/apis/subjects/a%2Fb%20c/versions/2"]
    assert len(beats) == 2


def test_the_newest_password_or_token_is_sent(tmp_path: Path) -> None:
    sent: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        sent.append(request.headers["Authorization"])
        saying(200, {"schema": "x"})(request)

    file = tmp_path / "secret"
    file.write_text("one")
    with serving(answer) as url:
        by_token = Registry(RegistrySettings(url=url, token_file=file))
        by_token.schema(1)
        file.write_text("two")
        by_token.schema(2)
        Registry(RegistrySettings(url=url, username="ada", password_file=file)).schema(1)
    assert sent == ["Bearer one", "Bearer two", "Basic YWRhOnR3bw=="]


def test_over_tls_the_registrys_certificate_is_checked(tmp_path: Path) -> None:
    import ssl

    authority = Authority(tmp_path)
    certificate, key = authority.issue("registry")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(saying(200, {"schema": "x"}), tls) as url:
        assert Registry(RegistrySettings(url=url, ca_file=authority.file)).schema(1).text == "x"
        with pytest.raises(RegistryFailing, match="certificate verify failed"):
            Registry(RegistrySettings(url=url)).schema(1)
