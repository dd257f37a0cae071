"""Each reader with real bytes of its format through the whole system, and a registry that goes away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka.admin import KafkaAdminClient

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.local.loopback import free_ports
from hurnet_stream.ports import Outgoing, deleted_by
from hurnet_stream.ports.record import Headers
from tests.acceptance.system import Running, System, wait_for
from tests.registry import ApicurioServer
from tests.stand_ins import Forwarder

TABLES = """
[registry]
url = "http://127.0.0.1:{port}/apis/ccompat/v7"
timeout = 2

[topics.{name}-json]
text = "value.subject"
answer = "value.resolution.text"
context = "slug(value.product)"
key = "value.id"
metadata.tags = "join(',', value.tags)"
when = "value.status == 'resolved'"

[topics.{name}-lines]
format = "text"
context = "headers.context"

[topics.{name}-own]
format = "hurnet"

[topics.{name}-events]
envelope = "cloudevents"
text = "value.question"
answer = "value.answer"
context = "envelope.type"

[topics.{name}-rows]
envelope = "debezium"
text = "value.question"
answer = "value.answer"
context = "envelope.source.table"

[topics.{name}-avro]
format = "avro"
text = "value.body"
key = "key.id"
context = "'reviews'"
weight = "value.stars"

[topics.{name}-proto]
format = "protobuf"
text = "value.body"
context = "'posts'"

[topics.{name}-checked]
format = "json-schema"
text = "value.body"
context = "'notes'"
"""
TOPICS = ("json", "lines", "own", "events", "rows", "avro", "proto", "checked")
REVIEW = {
    "type": "record",
    "name": "Review",
    "fields": [{"name": "body", "type": ["null", "string"]}, {"name": "stars", "type": "int"}],
}
KEY = '{"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}'
NOTE = '{"title": "Note", "type": "object", "properties": {"body": {"type": "string"}}, "required": ["body"]}'
POST = 'syntax = "proto3"; message Other { int32 x = 1; } message Post { string body = 1; }'


class Producer:
    """Writes to the topics as their producers would."""

    def __init__(self, system: System, name: str, registry: ApicurioServer) -> None:
        self._system = system
        self._name = name
        self._confluent = SchemaRegistryClient({"url": registry.url})
        self.registry = registry

    def send(self, topic: str, value: Any, key: bytes | None = None, headers: Headers = ()) -> None:
        raw = json.dumps(value).encode() if isinstance(value, dict) else value
        with self._system.sink() as sink:
            sink.send([Outgoing(f"{self._name}-{topic}", raw, key, headers, partition=0)])

    def avro(self, schema: Any, value: Any, key: int) -> None:
        write: Any = AvroSerializer(self._confluent, json.dumps(schema))
        write_key: Any = AvroSerializer(self._confluent, KEY)
        topic = f"{self._name}-avro"
        self.send(
            "avro",
            write(value, SerializationContext(topic, MessageField.VALUE)),
            write_key({"id": key}, SerializationContext(topic, MessageField.KEY)),
        )

    def checked(self, value: Any) -> None:
        write: Any = JSONSerializer(NOTE, self._confluent)
        self.send("checked", write(value, SerializationContext(f"{self._name}-checked", MessageField.VALUE)))

    def post(self, body: str) -> None:
        number = self.registry.register(f"{self._name}-proto-value", POST, "PROTOBUF")
        message = b"\x0a" + bytes([len(body)]) + body.encode()
        self.send("proto", b"\0" + number.to_bytes(4, "big") + b"\x02\x02" + message)


@pytest.fixture(scope="module")
def registry() -> Iterator[ApicurioServer]:
    with ApicurioServer() as server:
        yield server


@pytest.fixture
def proxy(registry: ApicurioServer) -> Iterator[Forwarder]:
    with Forwarder(registry.port) as proxy:
        yield proxy


@pytest.fixture
def system(
    kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path, proxy: Forwarder
) -> Iterator[System]:
    file = tmp_path / "hurnet.toml"
    file.write_text(TABLES.format(name=unique, port=proxy.port))
    with System(kafka_bootstrap, valkey_url, unique, tmp_path, HURNET_CONFIG=str(file)) as system:
        with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
            topics = {f"{unique}-{topic}": {"num_partitions": 1} for topic in TOPICS}
            admin.create_topics(topics, wait_for_metadata=True)
        yield system.create_topics()


def test_every_format_and_envelope_through_the_whole_system(
    system: System, unique: str, registry: ApicurioServer, proxy: Forwarder
) -> None:
    ingest, responder = system.start("ingest"), system.start("responder", HURNET_RESPONDER_WAIT="60")
    system.start("solver")
    producer = Producer(system, unique, registry)
    _send_one_of_each(producer)
    wanted = {
        ("home-garden", "How do I return a lamp?", "Within 30 days"),
        ("lines", "Plain text is its own answer", None),
        ("default", "A message of our own", "yes"),
        ("faq.published", "What are the hours?", "Nine to five"),
        ("faq", "Do you ship?", "Yes, everywhere"),
        ("reviews", "A very good lamp", None),
        ("posts", "First post of all", None),
        ("notes", "A note with a schema", None),
    }
    wait_for(lambda: held(system) == wanted, what=f"all of it is in; ingest said {ingest.said()[-2000:]}")
    wait_for(
        lambda: len({letter.topic for letter in system.dead_letters()}) == 7, what="all letters are there"
    )
    told = {letter.topic.removeprefix(f"{unique}-"): letter.detail for letter in system.dead_letters()}
    assert f"[topics.{unique}-json] metadata.tags = join(',', value.tags): join() takes" in told["json"]
    assert "byte 0 of 2 is not UTF-8" in told["lines"]
    assert "type is missing, and each CloudEvent has it" in told["events"]
    assert "the table was emptied" in told["rows"]
    assert "the registry has no schema 99999" in told["avro"]
    assert "the bytes are no message Post" in told["proto"]
    assert "the value breaks it at body: type" in told["checked"]
    responder.wait_ready()
    _answers(system, {f"{unique}-{topic}/0": 0 for topic in ("json", "rows", "proto")})
    _changes(system, producer)
    _waits_for_the_registry(system, producer, ingest, proxy, registry)
    verified = wait_for(
        lambda: ran if (ran := system.run("verify")).returncode != 1 else None, what="verified"
    )
    assert "equal" in verified.stdout, verified.stderr


def _send_one_of_each(producer: Producer) -> None:
    ticket = {"id": 7, "subject": "How do I return a lamp?", "resolution": {"text": "Within 30 days"}}
    ticket |= {"product": "Home & Garden", "status": "resolved", "tags": ["a", "b"], "unknown": {"x": [1]}}
    event = {"specversion": "1.0", "id": "1", "source": "/faq", "type": "faq.published"}
    faq = {"question": "What are the hours?", "answer": "Nine to five"}
    row = {"id": 1, "question": "Do you ship?", "answer": "Yes, everywhere"}
    change = {"op": "c", "before": None, "after": row, "source": {"table": "faq"}, "ts_ms": 1}
    producer.send("json", ticket)
    producer.send("json", {**ticket, "id": 8, "status": "open"})
    producer.send("json", {**ticket, "id": 9, "tags": None})
    producer.send("lines", b"Plain text is its own answer", headers=(("context", b"lines"),))
    producer.send("lines", b"\xff\xfe")
    producer.send("own", TextEvent(text="A message of our own", answer="yes").encode())
    producer.send("events", {**event, "data": faq})
    producer.send("events", {**event, "type": ""})
    producer.send("rows", {"schema": {}, "payload": change}, key=b'{"id": 1}')
    producer.send("rows", {"ts_ms": 2})
    producer.send("rows", {**change, "op": "t", "after": None})
    producer.avro(REVIEW, {"body": "A very good lamp", "stars": 3}, key=1)
    producer.send("avro", b"\0" + (99_999).to_bytes(4, "big") + b"\0")
    producer.post("First post of all")
    number = producer.registry.register("broken-post-value", POST, "PROTOBUF")
    producer.send("proto", b"\0" + number.to_bytes(4, "big") + b"\x02\x02\xff\xff")
    producer.checked({"body": "A note with a schema"})
    number = producer.registry.register("broken-note-value", NOTE, "JSON")
    producer.send("checked", b"\0" + number.to_bytes(4, "big") + b'{"body": 3}')


def _answers(system: System, ends: dict[str, int]) -> None:
    asked = {
        "q1": ("home-garden", "return a lamp"),
        "q2": ("faq", "do you ship"),
        "q3": ("posts", "first post"),
    }
    system.ask(
        [
            Query(id=name, text=text, context=context, min_watermarks=ends)
            for name, (context, text) in asked.items()
        ]
    )
    answers: list[Answer] = wait_for(lambda: found if len(found := system.answers()) == 3 else None)
    found = {answer.id: answer for answer in answers}
    assert found["q1"].answer == "Within 30 days"
    assert found["q1"].candidates[0].metadata == {"tags": "a,b"}
    assert found["q2"].answer == "Yes, everywhere"
    assert found["q3"].answer == "First post of all"


def _changes(system: System, producer: Producer) -> None:
    """What is changed, opened again, or deleted takes the place of what its key held."""
    row = {"id": 1, "question": "Do you ship?", "answer": "Only to Portugal"}
    change = {"op": "u", "before": None, "after": row, "source": {"table": "faq"}, "ts_ms": 3}
    producer.send("rows", {"schema": {}, "payload": change}, key=b'{"id": 1}')
    producer.send("json", {"id": 7, "status": "open"})
    producer.avro(REVIEW, {"body": "A lamp that broke", "stars": 1}, key=1)
    wait_for(lambda: ("faq", "Do you ship?", "Only to Portugal") in held(system), what="the row was replaced")
    wait_for(lambda: ("reviews", "A lamp that broke", None) in held(system), what="the review was replaced")
    wait_for(
        lambda: "home-garden" not in {context for context, _, _ in held(system)},
        what="what is open again was deleted",
    )
    assert ("faq", "Do you ship?", "Yes, everywhere") not in held(system)
    gone = {"op": "d", "before": {"id": 1}, "after": None, "source": {"table": "faq"}, "ts_ms": 4}
    producer.send("rows", gone, key=b'{"id": 1}')
    producer.send("rows", None, key=b'{"id": 1}')
    wait_for(lambda: "faq" not in {context for context, _, _ in held(system)}, what="the row was deleted")


def _waits_for_the_registry(
    system: System, producer: Producer, ingest: Running, proxy: Forwarder, registry: ApicurioServer
) -> None:
    letters = len(system.dead_letters())
    proxy.target = free_ports(1)[0]
    newer = {
        **REVIEW,
        "fields": [*REVIEW["fields"], {"name": "of", "type": ["null", "string"], "default": None}],
    }
    producer.avro(newer, {"body": "A lamp like the sun", "stars": 5, "of": None}, key=2)
    named = "schema registry (HURNET_REGISTRY_URL)"
    wait_for(lambda: named in ingest.get("/readyz")[1], what="readiness names the registry")
    assert len(system.dead_letters()) == letters
    proxy.target = registry.port
    wait_for(lambda: ("reviews", "A lamp like the sun", None) in held(system), what="it went on")
    wait_for(lambda: ingest.get("/readyz")[0] == 200, what="ready again")
    assert len(system.dead_letters()) == letters


def held(system: System) -> set[tuple[str, str, str | None]]:
    """The context, text and answer of each entry that is there now."""
    store = RedisEntryStore(connect(system.settings.redis))
    try:
        entries: dict[tuple[int, int], tuple[str, str, str | None]] = {}
        for batch in system.batches():
            if batch.deletion:
                for part in deleted_by(store, batch.partition, batch.deletion):
                    for offset in part:
                        entries.pop((batch.partition, offset), None)
            for entry in batch.entries:
                entries[batch.partition, entry.offset] = (entry.context, entry.text, entry.answer)
        return set(entries.values())
    finally:
        store.close()
