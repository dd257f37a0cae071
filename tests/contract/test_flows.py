"""What a worker shows of the flows that it is part of, on a real Kafka: what it says must be so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.adapters.kafka.reading import retention, standing
from hurnet_stream.adapters.kafka.reading.source import KafkaSource
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import IngestSettings, KafkaSettings, MetricsSettings, Settings
from tests.memory.entry_store import MemoryEntryStore

SECONDS = 120.0
HOUR_MS = 3_600_000


@dataclass
class Flow:
    """A topic of texts with one partition, and whoever reads and writes it."""

    settings: KafkaSettings
    admin: KafkaAdminClient
    stack: ExitStack

    def source(self) -> KafkaSource:
        made = KafkaSource(self.settings, self.settings.texts, f"{self.settings.texts}-group")
        return self.stack.enter_context(closing(made))

    def sink(self) -> KafkaSink:
        return self.stack.enter_context(closing(KafkaSink(self.settings)))

    def send(self, count: int, timestamp_ms: int | None = None) -> None:
        topic, value = self.settings.texts, TextEvent(text="a text").encode()
        self.sink().send(
            [Outgoing(topic, value, partition=0, timestamp_ms=timestamp_ms) for _ in range(count)]
        )

    def producer(self) -> KafkaProducer:
        producer = KafkaProducer(
            bootstrap_servers=self.settings.bootstrap, transactional_id=self.settings.texts
        )
        self.stack.callback(producer.close)
        producer.init_transactions()
        return producer

    def ingest(self) -> Shown:
        settings = Settings(
            kafka=self.settings, ingest=IngestSettings(poll=0.05), metrics=MetricsSettings(stall=1)
        )
        parts = (self.source(), MemoryEntryStore(), self.sink(), HashedText(16))
        return Shown(Ingest(*parts, settings, metrics := IngestMetrics()), metrics, self.settings.texts)


@dataclass
class Shown:
    """An ingest worker, and what its metrics show of partition 0."""

    worker: Ingest
    metrics: IngestMetrics
    topic: str

    def value(self, name: str) -> float | None:
        topic = {"topic": self.topic} if name != "watermark_offset" else {}
        return self.metrics.registry.get_sample_value(f"hurnet_{name}", {**topic, "partition": "0"})

    def step_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not reached():
            assert time.monotonic() < deadline, self.metrics.exposition().decode()
            self.worker.step()


@pytest.fixture
def flow(kafka_bootstrap: str, unique: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    monkeypatch.setattr(standing, "LAG_INTERVAL_S", 0.1)
    monkeypatch.setattr(retention, "INTERVAL_S", 0.2)
    settings = KafkaSettings(bootstrap=kafka_bootstrap, texts=unique, dead_letters=f"{unique}-dead")
    with ExitStack() as stack:
        admin = stack.enter_context(KafkaAdminClient(bootstrap_servers=kafka_bootstrap))
        for topic in (unique, f"{unique}-dead"):
            admin.create_topics({topic: {"num_partitions": 1}}, wait_for_metadata=True)
        yield Flow(settings, admin, stack)


def test_a_client_that_stalls_in_silence_shows_its_lag_grow_and_is_not_ready(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = flow.ingest()
    flow.send(2)
    shown.step_until(lambda: shown.value("watermark_offset") == 1 and shown.value("kafka_lag_records") == 0)
    shown.step_until(lambda: not shown.worker.unready())
    assert shown.worker.standing() == "reading 1 partition"
    monkeypatch.setattr(shown.worker._source._consumer, "poll", lambda *_: {})  # type: ignore[attr-defined]
    for end in (3, 7):
        flow.send(end - 2 - int(shown.value("kafka_lag_records") or 0))
        shown.step_until(lambda end=end: shown.value("kafka_lag_records") == end - 2)  # type: ignore[misc]
    shown.step_until(lambda: any("not moving" in reason for reason in shown.worker.unready()))
    assert shown.value("watermark_offset") == 1


def test_markers_of_transactions_are_no_lag_and_an_open_one_is_seen_to_hold(flow: Flow) -> None:
    shown, producer, value = flow.ingest(), flow.producer(), TextEvent(text="a text").encode()
    for ends in ("commit", "abort", "commit"):
        producer.begin_transaction()
        producer.send(flow.settings.texts, value, partition=0).get(timeout=SECONDS)
        getattr(producer, f"{ends}_transaction")()
    # Offsets 0, 2 and 4 are records, and each has a marker behind it.
    shown.step_until(lambda: shown.value("watermark_offset") == 5 and shown.value("kafka_lag_records") == 0)
    assert shown.value("held_records") is None
    producer.begin_transaction()
    for _ in range(3):
        producer.send(flow.settings.texts, value, partition=0).get(timeout=SECONDS)
    shown.step_until(lambda: shown.value("held_records") == shown.value("kafka_lag_records") == 3)
    producer.commit_transaction()
    shown.step_until(lambda: shown.value("held_records") is None and shown.value("watermark_offset") == 9)
    shown.step_until(lambda: shown.value("kafka_lag_records") == 0)


def headroom(reader: KafkaSource, reached: Callable[[float], bool]) -> float:
    """Of partition 0, once it is as expected."""
    deadline = time.monotonic() + SECONDS
    while not reached(left := reader.retention_headroom().get(0, -1.0)):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    return left


def configure(flow: Flow, **config: int) -> None:
    from kafka.admin import ConfigResource

    named = {name.replace("_", "."): str(value) for name, value in config.items()}
    flow.admin.alter_configs([ConfigResource("topic", flow.settings.texts, configs=named)])


def test_how_much_is_left_of_the_retention_is_told_by_time_and_by_bytes(flow: Flow) -> None:
    configure(flow, retention_ms=HOUR_MS)
    flow.send(50, int(time.time() * 1000) - HOUR_MS // 4)
    reader = flow.source()
    while not reader.assignment():
        reader.poll(0.1, 1)
    reader.seek(0, 0)
    assert 0.7 < headroom(reader, lambda left: left > 0) < 0.76
    reader.seek(0, 50)
    headroom(reader, lambda left: left == 1)
    reader.seek(0, 0)
    # The batch has a kilobyte or two.
    configure(flow, retention_ms=-1, retention_bytes=1_000_000)
    headroom(reader, lambda left: 0.9 < left < 1)
    configure(flow, retention_ms=-1, retention_bytes=100)
    headroom(reader, lambda left: left == 0)
    configure(flow, retention_ms=-1, retention_bytes=-1)
    headroom(reader, lambda left: left == -1)


def test_the_time_of_what_an_open_transaction_holds_back_runs(flow: Flow) -> None:
    configure(flow, retention_ms=HOUR_MS)
    reader, producer = flow.source(), flow.producer()
    while not reader.assignment():
        reader.poll(0.1, 1)
    reader.seek(0, 0)
    headroom(reader, lambda left: left == 1)
    producer.begin_transaction()
    half_gone_ms = int(time.time() * 1000) - HOUR_MS // 2
    value = TextEvent(text="held").encode()
    producer.send(flow.settings.texts, value, partition=0, timestamp_ms=half_gone_ms).get(timeout=SECONDS)
    assert 0.45 < headroom(reader, lambda left: left < 1) < 0.51
    producer.abort_transaction()


def test_a_member_too_many_stands_by_and_one_whose_partitions_nobody_reads_does_not(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = flow.source(), flow.source()
    deadline = time.monotonic() + SECONDS
    while not (first.has_share() and second.has_share() and len(first.assignment() | second.assignment())):
        assert time.monotonic() < deadline
        first.poll(0.1, 1)
        second.poll(0.1, 1)
    (idle,) = (each for each in (first, second) if not each.assignment())
    (heard,) = idle._standing._others.values()
    monkeypatch.setattr(heard, "_read", frozenset())
    monkeypatch.setattr(heard, "_asked", float("inf"))
    assert not idle.has_share()
    assert first.rebalances() >= 1
