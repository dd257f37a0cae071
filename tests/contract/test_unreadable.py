"""Batches that nobody's client would send, in a real Kafka: every consumer of ours passes them."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from typing import Any

import pytest
from crc32c import crc32c
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.codec import gzip_encode
from kafka.errors import MessageSizeTooLargeError, NotLeaderForPartitionError
from kafka.protocol.producer import ProduceRequest
from kafka.record.default_records import DefaultRecordBatchBuilder

from hurnet_schemas import Answer
from hurnet_stream.adapters.kafka import KafkaHistory, KafkaSource, ensure_topics
from hurnet_stream.adapters.kafka.courier import KafkaCourier
from hurnet_stream.local import KafkaServer
from hurnet_stream.ports import Record, Replied
from hurnet_stream.settings.settings import KafkaSettings
from tests.acceptance.system import system_is_busy

CODECS = ["gzip", "snappy", "lz4", "zstd"]
HEAD = 61


@pytest.fixture
def kafka() -> Iterator[KafkaServer]:
    """A Kafka for this test alone, because its disk is damaged."""
    with KafkaServer() as server:
        yield server


@pytest.fixture
def admin(kafka: KafkaServer) -> Iterator[Any]:
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap) as client:
        yield client


def raw_batch(*values: bytes, header: str = "name") -> bytearray:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 30)
    for n, value in enumerate(values):
        builder.append(n, int(time.time() * 1000), None, value, [(header, b"x")])
    return bytearray(builder.build())


def sealed(raw: bytearray) -> bytes:
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">I", raw, 17, crc32c(bytes(raw[21:])))
    return bytes(raw)


def produce(admin: Any, topic: str, raw: bytes) -> int:
    """Send `raw` as it is, past every check of a client; returns the broker's error code."""
    data = ProduceRequest.TopicProduceData
    partition = data.PartitionProduceData(index=0, records=raw)
    request = ProduceRequest(
        transactional_id=None,
        acks=-1,
        timeout_ms=10_000,
        topic_data=[data(name=topic, partition_data=[partition])],
        min_version=3,
        max_version=9,
    )
    manager = admin._manager
    leader = manager.cluster.brokers()[0].node_id

    async def send() -> Any:
        return await manager.send(request, leader)

    deadline = time.monotonic() + 120  # a new topic's partition may have no leader yet
    while True:
        (answered,) = manager.run(send).responses[0].partition_responses
        if answered.error_code != NotLeaderForPartitionError.errno or time.monotonic() > deadline:
            return int(answered.error_code)
        time.sleep(0.1)


def bomb(size: int) -> bytes:
    raw = raw_batch(bytes(size))
    packed = raw[:HEAD] + gzip_encode(bytes(raw[HEAD:]))
    struct.pack_into(">h", packed, 21, 1)
    return sealed(packed)


def filled(kafka: KafkaServer, admin: Any, topic: str) -> None:
    """Send a batch by each codec, a name that is not UTF-8, a bomb, and a batch to be damaged on disk."""
    admin.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
    for codec in CODECS:
        with KafkaProducer(bootstrap_servers=kafka.bootstrap, compression_type=codec) as producer:
            producer.send(topic, codec.encode() * 100, partition=0)
    misnamed = raw_batch(b"one", b"two", b"three")
    at = misnamed.index(b"name", misnamed.index(b"name") + 1)
    misnamed[at : at + 4] = b"\xff\xfe\xfdd"
    assert produce(admin, topic, sealed(misnamed)) == 0  # 4 to 6
    assert produce(admin, topic, bomb(1 << 26)) == 0  # 7
    assert produce(admin, topic, sealed(raw_batch(b"damage me", b"and me"))) == 0  # 8, 9
    assert produce(admin, topic, sealed(raw_batch(b"last"))) == 0  # 10


def damage_disk(kafka: KafkaServer, topic: str) -> None:
    kafka.stop()
    (segment,) = kafka.data.rglob(f"{topic}-0/*.log")
    segment.write_bytes(segment.read_bytes().replace(b"damage me", b"damage m!"))
    kafka.start()


EXPECTED = [
    *[(n, n, codec.encode() * 100) for n, codec in enumerate(CODECS)],
    *[(4, 4, b"one"), (5, 5, b"two"), (6, 6, b"three")],
    *[(7, 7, "too-large"), (8, 9, "unreadable"), (10, 10, b"last")],
]


def told(records: list[Record]) -> list[tuple[int, int, bytes | str]]:
    return [
        (r.fault.first, r.offset, r.fault.reason) if r.fault else (r.offset, r.offset, r.value or b"")
        for r in records
    ]


def test_all_that_can_be_read_is_and_the_rest_is_passed(kafka: KafkaServer, admin: Any, unique: str) -> None:
    filled(kafka, admin, unique)
    damage_disk(kafka, unique)
    settings = KafkaSettings(bootstrap=kafka.bootstrap)
    with closing(KafkaSource(settings, unique, f"{unique}-group", reset="earliest")) as source:
        found: list[Record] = []
        deadline = time.monotonic() + 120
        while (not found or found[-1].offset < 10) and time.monotonic() < deadline:
            found += source.poll(0.5, 3).records
        assert told(found) == EXPECTED
        source.commit({0: 11})
    with closing(KafkaHistory(settings, unique)) as history:
        assert told(list(chain.from_iterable(history.read(0, 0, 10)))) == EXPECTED


def test_a_broker_that_unpacks_questions_refuses_bombs(kafka: KafkaServer, admin: Any, unique: str) -> None:
    names = dict.fromkeys(("texts", "answers", "dead_letters"), f"{unique}-other")
    ensure_topics(KafkaSettings(bootstrap=kafka.bootstrap, queries=unique, **names), create=True)
    assert produce(admin, unique, bomb(1 << 21)) == MessageSizeTooLargeError.errno
    assert produce(admin, unique, bomb(1 << 10)) == 0


def test_answers_are_found_among_them(kafka: KafkaServer, admin: Any, unique: str) -> None:
    settings = KafkaSettings(bootstrap=kafka.bootstrap, answers=unique, queries=f"{unique}-queries")
    admin.create_topics({settings.queries: {"num_partitions": 1}}, wait_for_metadata=True)
    admin.create_topics({unique: {"num_partitions": 1}}, wait_for_metadata=True)
    with closing(KafkaCourier(settings, unique)) as courier:
        while courier.trouble():
            time.sleep(0.01)
        assert produce(admin, unique, bomb(1 << 26)) == 0
        answer = Answer.model_construct(id="q", outcome="rejected", reason="r")
        raw = raw_batch(answer.encode(), header="correlation-id")
        assert produce(admin, unique, sealed(raw)) == 0
        deadline, heard = time.monotonic() + 120, list[str]()
        while "x" not in heard:
            assert time.monotonic() < deadline, heard
            heard += [reply.correlation for reply in courier.receive(1.0) if isinstance(reply, Replied)]
    assert heard == ["", "x"], "what can't be read is nobody's reply, and hides none"


def test_a_partition_is_seen_soon_after_it_is_made(kafka: KafkaServer, admin: Any, unique: str) -> None:
    admin.create_topics({unique: {"num_partitions": 1}}, wait_for_metadata=True)
    settings = KafkaSettings(bootstrap=kafka.bootstrap)
    with (
        closing(KafkaSource(settings, unique, f"{unique}-group", reset="earliest")) as source,
        KafkaProducer(bootstrap_servers=kafka.bootstrap, metadata_max_age_ms=200) as producer,
    ):
        deadline = time.monotonic() + 120
        while source.assignment() != {0} and time.monotonic() < deadline:
            source.poll(0.1, 10)
        admin.create_partitions({unique: 3})
        made = time.monotonic()
        while len(producer.partitions_for(unique)) < 3:
            time.sleep(0.1)
        producer.send(unique, b"new", partition=2)
        values: list[bytes | None] = []
        while not values and time.monotonic() - made < 60:
            values += [record.value for record in source.poll(0.2, 10).records]
        assert values == [b"new"]
        assert source.assignment() == {0, 1, 2}
        assert time.monotonic() - made < 10 or system_is_busy()


@pytest.mark.parametrize("pause", [0.0, 0.03, 0.05, 0.07, 0.3])
def test_a_join_that_short_polls_begin_is_ended(kafka_bootstrap: str, unique: str, pause: float) -> None:
    """A topic grows while its reader polls briefly: kafka-python begins to join, and forgets about it."""
    settings = KafkaSettings(bootstrap=kafka_bootstrap)
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.create_topics({unique: {"num_partitions": 2}}, wait_for_metadata=True)
        with closing(KafkaSource(settings, unique, f"{unique}-group", reset="earliest")) as source:
            began, grown = time.monotonic(), False
            while source.assignment() != {0, 1, 2, 3} and time.monotonic() - began < 60:
                source.poll(0.02, 10)
                if not grown and time.monotonic() - began > pause:
                    admin.create_partitions({unique: 4})
                    grown = True
            assert source.assignment() == {0, 1, 2, 3}
            assert time.monotonic() - began < 12 or system_is_busy()
