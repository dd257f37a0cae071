"""Responders on a real Kafka that are killed, forgotten, or find another log: who is answered how often."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.future import Future
from structlog.testing import capture_logs

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.kafka import AtLeastOnceExchange, TransactionalExchange
from hurnet_stream.adapters.kafka.reading.history import KafkaHistory
from hurnet_stream.adapters.kafka.reading.source import KafkaSource
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.errors import TransientError
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.local import KafkaServer
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Exchange, Outgoing
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import (
    IngestSettings,
    KafkaSettings,
    MetricsSettings,
    ResponderSettings,
    Settings,
)
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.redis import MemoryRedis
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.responder import EMBEDDER, PAIRS

# kafka-python leaves the socket of a refused or failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")

SECONDS = 120.0


@dataclass
class Place:
    """Topics of its own on a broker, and a store in memory."""

    bootstrap: str
    name: str
    redis: MemoryRedis = field(default_factory=MemoryRedis)

    def __post_init__(self) -> None:
        topics = {k: f"{self.name}-{k}" for k in ("texts", "queries", "answers", "feedback", "dead_letters")}
        self.kafka = KafkaSettings(bootstrap=self.bootstrap, session_timeout=30, **topics)
        self.create(*topics.values())
        self.store = MemoryEntryStore(self.redis)
        self.store.open(EMBEDDER.identity)

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.bootstrap)

    def create(self, *topics: str) -> None:
        with self.admin() as admin:
            admin.create_topics({t: {"num_partitions": 1} for t in topics}, wait_for_metadata=True)

    def recreate(self, topic: str) -> None:
        with self.admin() as admin:
            admin.delete_topics([topic])
            self.until(lambda: topic not in admin.list_topics())
        self.create(topic)

    def sink(self) -> KafkaSink:
        """Workers try again after a time-out, and tests don't."""
        return KafkaSink(self.kafka.model_copy(update={"request_timeout": 60.0}))

    def send(self, topic: str, *values: bytes) -> None:
        with closing(self.sink()) as sink:
            sink.send([Outgoing(topic, value, partition=0) for value in values])

    def teach(self, *pairs: tuple[str, str]) -> None:
        """Into the topic and into the store, as ingest would."""
        self.send(self.kafka.texts, *(text.encode() for text, _ in pairs))
        watermark = self.store.state(0).watermark
        entries = [Entry(watermark + 1 + i, 0, "default", t, a, {}) for i, (t, a) in enumerate(pairs)]
        vectors = EMBEDDER.embed([text for text, _ in pairs])
        self.store.append(Batch(0, watermark + len(pairs), entries, vectors), watermark)

    def ask(self, first: int, end: int) -> None:
        queries = [Query(text="rain", id=f"q{i}").encode() for i in range(first, end)]
        with closing(self.sink()) as sink:
            for query in queries:  # each in a batch of its own
                sink.send([Outgoing(self.kafka.queries, query, partition=0)])

    def ask_to_see(self, name: str, partition: int, offset: int) -> None:
        query = Query(text="rain", id=name, min_watermarks={partition: offset})
        self.send(self.kafka.queries, query.encode())

    @contextmanager
    def responder(self, instance: str, exactly_once: bool = True, stall: float = 30.0) -> Iterator[Responder]:
        chosen = ResponderSettings(group=self.name, instance=instance, poll=0.02, threshold=0, wait=600)
        kind = TransactionalExchange if exactly_once else AtLeastOnceExchange
        exchange: Exchange = kind(self.kafka, self.kafka.queries, chosen)
        stores = (MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis))
        settings = Settings(kafka=self.kafka, responder=chosen, metrics=MetricsSettings(stall=stall))
        responder = Responder(exchange, *stores, EMBEDDER, settings, ResponderMetrics())
        try:
            yield responder
        finally:
            responder.close()

    def ingest(self, settings: Settings) -> Ingest:
        source = KafkaSource(self.kafka, self.kafka.texts, settings.ingest.group)
        store, sink = MemoryEntryStore(self.redis), KafkaSink(self.kafka)
        return Ingest(source, store, sink, EMBEDDER, settings, IngestMetrics())

    def answers(self) -> list[Answer]:
        with closing(KafkaHistory(self.kafka, self.kafka.answers)) as history:
            end = history.offset_ranges()[0].end
            blocks = list(history.read(0, 0, end - 1)) if end else []
        return [Answer.decode(record.value) for block in blocks for record in block]

    def readable(self, count: int) -> list[Answer]:
        """All answers, once there are so many: the end of a transaction is written after its commit."""
        self.until(lambda: len(self.answers()) >= count)
        return self.answers()

    def check(self, expected: Counter[str]) -> None:
        """These were answered, and so often."""
        assert Counter(answer.id for answer in self.readable(expected.total())) == expected

    @staticmethod
    def until(done: Callable[[], bool], between: Callable[[], object] = lambda: time.sleep(0.05)) -> None:
        deadline = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < deadline
            between()

    def turn(self, responder: Responder, count: int) -> None:
        """Until so many more answers were delivered, and a little longer."""
        goal = delivered(responder) + count
        self.until(lambda: delivered(responder) >= goal, lambda: stepped(responder))
        for _ in range(10):
            stepped(responder)
        assert delivered(responder) == goal


def stepped(responder: Responder) -> None:
    try:
        responder.step()
    except TransientError:
        time.sleep(0.1)


def delivered(responder: Responder) -> int:
    samples = [s for metric in responder._metrics.queries.collect() for s in metric.samples]
    return round(sum(s.value for s in samples if s.name.endswith("_total")))


def asked(first: int, end: int) -> Counter[str]:
    return Counter(f"q{i}" for i in range(first, end))


@pytest.fixture
def place(kafka_bootstrap: str, unique: str) -> Place:
    place = Place(kafka_bootstrap, unique)
    place.teach(*PAIRS)
    return place


@pytest.mark.parametrize("exactly_once", [True, False])
def test_who_waits_holds_up_nobody_and_is_answered_once_by_a_successor(
    place: Place, exactly_once: bool
) -> None:
    place.ask_to_see("parked", 0, len(PAIRS))
    place.ask(0, 5)
    place.send(place.kafka.texts, b"on its way")
    with place.responder("one", exactly_once) as first:
        place.turn(first, 5)
    place.check(asked(0, 5))
    place.ask(5, 8)
    with place.responder("two", exactly_once) as second:
        place.turn(second, 3)
        place.check(asked(0, 8))
        watermark = place.store.state(0).watermark
        entry = Entry(watermark + 1, 0, "default", "on its way", "seen", {})
        batch = Batch(0, watermark + 1, [entry], EMBEDDER.embed(["on its way"]))
        place.store.append(batch, watermark)
        place.turn(second, 1)
    place.check(asked(0, 8) + Counter({"parked": 1}))
    with place.responder("three", exactly_once) as third:
        place.ask(8, 9)
        place.turn(third, 1)
    place.check(asked(0, 9) + Counter({"parked": 1}))


def test_what_cannot_come_is_answered_at_once(place: Place) -> None:
    with place.responder("one") as responder:
        place.ask(0, 1)
        place.turn(responder, 1)
        started = time.monotonic()
        place.ask_to_see("no partition", 9, 0)
        place.ask_to_see("beyond the end", 0, len(PAIRS))
        place.ask(1, 2)
        place.turn(responder, 3)
        assert time.monotonic() - started < 120  # each may wait for ten minutes
    said = {a.id: (a.outcome, a.reason) for a in place.readable(4)}
    assert said["no partition"] == (
        "timed-out",
        f"there is no partition 9 of {place.kafka.texts}",
    )
    assert said["beyond the end"][0] == "timed-out"
    assert f"ends before offset {len(PAIRS)}" in str(said["beyond the end"][1])


def warned(place: Place, instance: str, count: int) -> list[str]:
    """Answer `count` queries; returns the reasons of the warnings about committed offsets."""
    with place.responder(instance) as responder, capture_logs() as logs:
        place.turn(responder, count)
    return [str(log.get("reason")) for log in logs if "committed offset" in log["event"]]


def answered(place: Place, count: int) -> None:
    """Have `count` queries answered by a responder that is closed afterwards."""
    place.ask(0, count)
    with place.responder("first") as responder:
        place.turn(responder, count)
        responder.drain()


def test_a_group_whose_offsets_expired_answers_nothing_again_and_those_that_wait(place: Place) -> None:
    answered(place, 20)
    place.ask(20, 25)
    with place.admin() as admin:
        admin.delete_groups([place.name])
    assert warned(place, "two", 5) == ["expired"]
    place.check(asked(0, 25))


def test_an_old_reply_of_the_brokers_is_not_taken_for_what_is_committed_now(place: Place) -> None:
    """kafka-python keeps a question for committed offsets that a rebalance cut short, with its reply."""
    place.teach(("rain", "weather"))
    place.ask(0, 3)
    with place.responder("one") as responder:
        place.until(lambda: len(place.answers()) == 3, responder.step)
        at = TopicPartition(place.kafka.queries, 0)
        cut_short = Future()
        cut_short.success({at: OffsetAndMetadata(0, "", -1)})
        coordinator: Any = responder._exchange._consumer._coordinator  # type: ignore[attr-defined]
        coordinator._offset_fetch_futures[frozenset({at})] = cut_short
        responder._reader.start_over()
        place.ask(3, 5)
        place.until(lambda: len(place.answers()) >= 5, responder.step)
    place.check(asked(0, 5))


@pytest.mark.parametrize("count", [5, 40])
def test_a_topic_that_was_made_anew_is_answered_from_its_beginning(place: Place, count: int) -> None:
    answered(place, 20)
    place.recreate(place.kafka.queries)
    place.ask(100, 100 + count)
    assert warned(place, "two", count) == ["recreated"]
    place.check(asked(0, 20) + asked(100, 100 + count))


def test_what_retention_took_unanswered_is_told(place: Place) -> None:
    answered(place, 20)
    place.ask(20, 40)
    with place.admin() as admin:
        admin.delete_records({TopicPartition(place.kafka.queries, 0): 30})
    assert warned(place, "two", 10) == ["retention"]
    place.check(asked(0, 20) + asked(30, 40))


def test_a_client_that_brings_nothing_any_more_is_soon_unready(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hurnet_stream.adapters.kafka.reading.standing.LAG_INTERVAL_S", 0.2)
    with place.responder("one", stall=1.0) as responder:
        place.ask(0, 3)
        place.turn(responder, 3)
        place.until(lambda: responder.unready() == [], lambda: stepped(responder))
        monkeypatch.setattr(responder._exchange._consumer, "poll", lambda *_, **__: {})  # type: ignore[attr-defined]
        place.ask(3, 8)

        def until_it_says(what: str) -> None:
            place.until(
                lambda: any(r.startswith(what) for r in responder.unready()), lambda: stepped(responder)
            )

        until_it_says("partition 0: 5 behind and not moving for")
        monkeypatch.setattr("hurnet_stream.adapters.kafka.reading.standing.LAG_BELIEVED_S", -1.0)
        until_it_says("partition 0: not known how far behind for")


def test_who_asks_to_see_all_of_a_transaction_does_though_its_end_is_no_record(place: Place) -> None:
    """And no lag stays behind: what ingest commits reaches the end of the topic."""
    settings = Settings(kafka=place.kafka, ingest=IngestSettings(group=place.name, poll=0.1))
    with closing(place.ingest(settings)) as ingest:
        place.until(lambda: place.store.state(0).watermark == len(PAIRS) - 1, ingest.step)
        producer = KafkaProducer(bootstrap_servers=place.bootstrap, transactional_id=place.name)
        producer.init_transactions()
        for end in (producer.abort_transaction, producer.commit_transaction):
            producer.begin_transaction()
            text = TextEvent(text="brand new", answer="seen").encode()
            producer.send(place.kafka.texts, text, partition=0).get(timeout=SECONDS)
            end()
        producer.close()
        last = len(PAIRS) + 3  # a text that was aborted, the marker, a text, the marker
        place.until(lambda: place.store.state(0).watermark == last, ingest.step)
        ingest.drain()
        assert ingest._source.committed(frozenset({0})) == {0: last + 1}
        assert place.store.state(0).rows == len(PAIRS) + 1
    place.ask_to_see("all", 0, last)
    with place.responder("one") as responder:
        place.turn(responder, 1)
    assert [(a.id, a.outcome) for a in place.readable(1)] == [("all", "answered")]


@pytest.mark.parametrize("grown", [2, 30])
def test_a_log_that_lost_its_tail_is_read_on_where_it_was_cut(unique: str, grown: int) -> None:
    """It ends before the group's position, or has grown past it again: then only the leader epoch tells."""
    with KafkaServer() as broker:
        place = Place(broker.bootstrap, unique)
        place.teach(*PAIRS)
        answered(place, 20)
        broker.stop()
        cut(broker, f"{place.kafka.queries}-0", keep=0.5)
        broker.start()
        with closing(KafkaHistory(place.kafka, place.kafka.queries)) as history:
            kept = history.offset_ranges()[0].end
        assert 0 < kept < 20
        place.ask(100, 100 + grown)
        assert warned(place, "two", grown) == ["lost-tail"]
        place.check(asked(0, 20) + asked(100, 100 + grown))


def cut(broker: KafkaServer, partition: str, keep: float) -> None:
    """Cut a log off, as a power failure does on a disk that had not written what it said it had."""
    log = broker.data / "log"
    for file in (log / partition).glob("*.log"):
        with file.open("r+b") as segment:
            segment.truncate(round(file.stat().st_size * keep))
    for file in (log / partition).glob("*.*index"):
        file.unlink()
    for name in ("recovery-point-offset-checkpoint", ".kafka_cleanshutdown"):
        (log / name).unlink(missing_ok=True)
