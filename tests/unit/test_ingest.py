"""Ingest over in-memory adapters: every way in which a record may come twice, late, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.shares import MAX_BATCH_BYTES
from hurnet_stream.core.stored.batch import NOTHING, Batch, Entry, Vectors
from hurnet_stream.errors import (
    ConfigurationError,
    EmbedderMismatch,
    StoreGap,
    TooManyDeadLetters,
    TransientError,
)
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import POLL_BYTES, Appended, Fault, Outgoing, Refused, Unfinished
from hurnet_stream.settings.settings import IngestSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.worlds.ingest import EMBEDDER, World, numbered, turn

UNREADABLE = Fault("unreadable", "damaged", 0, 9, b"excerpt", "s")


@pytest.fixture(autouse=True)
def _carried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever that could do harm, it should do it here."""
    monkeypatch.setattr("hurnet_stream.ingest.shards.CARRY_INTERVAL_S", 0.0)


def test_texts_come_in_once_and_in_order() -> None:
    world = World()
    world.send(*numbered(0, 10))
    turn(world.worker())
    assert world.texts() == [event.text for event in numbered(0, 10)]
    assert [entry.offset for entry in world.entries()] == list(range(10))


def test_answers_contexts_and_metadata_are_kept() -> None:
    world = World()
    event = TextEvent(text="light on", answer="HassTurnOn", context="home", metadata={"lang": "en"})
    world.send(event)
    turn(world.worker())
    (entry,) = world.entries()
    assert (entry.answer, entry.context, dict(entry.metadata)) == ("HassTurnOn", "home", {"lang": "en"})


def test_a_restart_goes_on_at_the_watermark_whatever_was_committed() -> None:
    world = World()
    world.send(*numbered(0, 6))
    first = world.worker()
    turn(first)
    first.close()
    world.kafka.group("texts", "ingest").committed.clear()  # everything is delivered again
    world.send(*numbered(6, 8))
    turn(world.worker())
    assert world.texts() == [event.text for event in numbered(0, 8)]


def test_committed_offsets_follow_the_watermark() -> None:
    world = World()
    world.send(*numbered(0, 6))
    worker = world.worker()
    turn(worker)
    worker.drain()
    assert world.kafka.group("texts", "ingest").committed == {0: 6}


def test_a_zombie_owner_is_refused_and_leaves_no_trace() -> None:
    world = World()
    zombie = world.worker()
    turn(zombie, 2)  # placed, and believes the shards to be empty
    world.send(*numbered(0, 3))
    usurper = MemoryEntryStore(world.redis)
    usurper.open(EMBEDDER.identity)
    entries = [Entry(i, 0, "default", f"text number {i}") for i in range(3)]
    vectors = EMBEDDER.embed([entry.text for entry in entries])
    assert isinstance(usurper.append(Batch(0, 2, entries, vectors), -1), Appended)
    turn(zombie)
    assert world.texts() == [event.text for event in numbered(0, 3)]


def test_a_store_that_lost_its_tail_gets_it_again() -> None:
    world = World()
    world.send(*numbered(0, 8))
    worker = world.worker()
    turn(worker)
    shard = world.redis.data.shards[0]
    lost = shard.batches.pop()
    kept = shard.batches[-1]
    shard.state = type(shard.state)(kept.watermark, shard.state.rows - len(lost.entries), shard.state.epoch)
    world.send(*numbered(8, 9))
    turn(worker)
    assert world.texts() == [event.text for event in numbered(0, 9)]


class LosesReplies(MemoryEntryStore):
    """Appends, but the reply is lost every second time."""

    calls = 0

    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        result = super().append(batch, expected)
        self.calls += 1
        if self.calls % 2:
            raise TransientError("the reply was lost")
        return result


def test_an_append_whose_reply_was_lost_is_not_repeated() -> None:
    world = World()
    world.send(*numbered(0, 20))
    source = MemorySource(world.kafka, "texts", "ingest")
    store = LosesReplies(world.redis)
    chosen = Settings(ingest=IngestSettings(poll=0, batch=4))
    turn(Ingest(source, store, MemorySink(world.kafka), EMBEDDER, chosen, IngestMetrics()), 40)
    assert world.texts() == [event.text for event in numbered(0, 20)]


def test_records_lost_to_retention_stop_it_unless_it_may_skip() -> None:
    world = World()
    world.send(*numbered(0, 4))
    first = world.worker()
    turn(first)
    first.close()
    world.send(*numbered(4, 8))
    world.kafka.delete_before("texts", 0, 6)
    with (
        closing(world.worker()) as refusing,
        pytest.raises(StoreGap, match=r"begins at offset 6, but the store needs 4.*SKIP_GAP"),
    ):
        turn(refusing)
    turn(world.worker(skip_gap=True))
    assert [entry.offset for entry in world.entries()] == [0, 1, 2, 3, 6, 7]


def test_retention_that_overtakes_a_running_worker_stops_it_unless_it_may_skip() -> None:
    for skip in (False, True):
        world = World()
        world.send(*numbered(0, 4))
        worker = world.worker(skip_gap=skip)
        turn(worker)
        world.send(*numbered(4, 8))
        world.kafka.delete_before("texts", 0, 6)
        if skip:
            turn(worker)
            assert [entry.offset for entry in world.entries()] == [0, 1, 2, 3, 6, 7]
        else:
            with pytest.raises(StoreGap, match="gone by retention"):
                turn(worker)


def test_a_new_context_begins_where_the_topic_does() -> None:
    world = World()
    world.send(*numbered(0, 8))
    world.kafka.delete_before("texts", 0, 6)
    turn(world.worker())
    assert [entry.offset for entry in world.entries()] == [6, 7]


def test_a_store_that_was_wiped_is_refused_when_the_topic_cannot_fill_it_again() -> None:
    world = World()
    world.send(*numbered(0, 8))
    with closing(world.worker()) as first:
        turn(first)
        first.drain()
    world.kafka.delete_before("texts", 0, 6)
    world.redis = MemoryRedis()
    with pytest.raises(StoreGap, match="begins at offset 6, but the store needs 0"):
        turn(world.worker())


def test_a_recreated_topic_stops_it() -> None:
    world = World()
    world.send(*numbered(0, 4))
    with closing(world.worker()) as first:
        turn(first)
    world.kafka.create("texts", partitions=2)
    with pytest.raises(StoreGap, match="topic of texts was recreated"):
        turn(world.worker())


def test_another_embedder_is_refused() -> None:
    world = World()
    world.worker()
    world.embedder = HashedText(64)
    with pytest.raises(EmbedderMismatch):
        world.worker()


def test_bad_records_become_dead_letters_with_their_reason_and_good_ones_go_on() -> None:
    world = World()
    bad: list[tuple[bytes | None, str]] = [
        (b"nonsense", "not-json"),
        (b"\xff\xfe", "not-utf8"),
        (None, "tombstone"),
        (b'{"text": ""}', "blank-text"),
        (b'{"text": "hi", "context": "No Such Thing!"}', "invalid-message"),
        (b'{"v": 9, "text": "hi"}', "unknown-version"),
        (b'{"text": "\\u0000"}', "invalid-message"),
        ('{"text": "\u2060"}'.encode(), "zero-vector"),
        (b'{"text": "' + b"a" * 900_000 + b'"}', "too-long"),
    ]
    world.embedder = ZeroForOdd()
    for value, _ in bad:
        world.send(value, TextEvent(text="a good one"))
    worker = world.worker()
    turn(worker, 20)
    assert [(letter.reason, letter.offset) for letter in world.dead_letters()] == [
        (reason, 2 * i) for i, (_, reason) in enumerate(bad)
    ]
    assert world.texts() == ["a good one"] * len(bad)
    assert world.redis.data.shards[0].state.watermark == 2 * len(bad) - 1


class ZeroForOdd(HashedText):
    """Knows no text that begins with the invisible word joiner, and fails on one that says so."""

    def __init__(self) -> None:
        super().__init__(32)

    def embed(self, texts: Sequence[str]) -> Vectors:
        if "poison" in texts:
            raise RuntimeError("poisoned")
        rows = super().embed(texts)
        rows[[text.startswith("\u2060") for text in texts]] = 0
        return rows


def test_a_text_that_embeds_to_zero_is_put_aside_as_zero_vector_and_never_stored() -> None:
    """It has no direction, so no cosine with it is defined; the texts around it are stored."""
    world = World()
    world.send(TextEvent(text="before"), TextEvent(text="\u2060"), TextEvent(text="behind"))
    turn(world.worker())
    assert world.texts() == ["before", "behind"]
    (letter,) = world.dead_letters()
    assert (letter.reason, letter.partition, letter.offset) == ("zero-vector", 0, 1)
    assert world.redis.data.shards[0].state.watermark == 2


def test_a_text_that_the_embedder_fails_on_is_put_aside_alone() -> None:
    world = World(embedder=ZeroForOdd())
    world.send(*numbered(0, 2), TextEvent(text="poison"), *numbered(2, 4))
    turn(world.worker(batch=10))
    assert world.texts() == [event.text for event in numbered(0, 4)]
    assert [(letter.reason, letter.offset) for letter in world.dead_letters()] == [("embedder-failed", 2)]


def test_a_batch_of_dead_letters_alone_moves_the_watermark() -> None:
    world = World()
    world.send(b"bad", b"bad")
    turn(world.worker())
    assert world.texts() == []
    assert world.redis.data.shards[0].state.watermark == 1


def test_a_poll_that_brings_no_text_is_no_measurement_of_embedding() -> None:
    world = World()
    worker = world.worker()
    world.send(b"no json")
    turn(worker)
    assert "hurnet_embed_seconds_count 0.0" in world.metrics.exposition().decode()
    world.send(*numbered(0, 3))
    turn(worker)
    assert "hurnet_embed_seconds_count 1.0" in world.metrics.exposition().decode()


def test_what_cannot_be_unpacked_is_put_aside_and_passed() -> None:
    """Five offsets that nobody can tell apart, between good ones."""
    world = World()
    world.send(TextEvent(text="before"))
    world.kafka.damage("texts", 0, 5, UNREADABLE)
    world.send(TextEvent(text="behind"))
    turn(world.worker())
    assert world.texts() == ["before", "behind"]
    (letter,) = world.dead_letters()
    assert (letter.reason, letter.first_offset, letter.offset) == ("unreadable", 1, 5)
    assert (letter.size, letter.sha256) == (9, "s")
    assert world.redis.data.shards[0].state.watermark == 6


def test_more_contexts_than_allowed_are_put_aside() -> None:
    world = World()
    world.send(*[TextEvent(text=f"text {i}", context=f"context-{i % 3}") for i in range(9)])
    turn(world.worker(max_contexts=2))
    assert {entry.context for entry in world.entries()} == {"context-0", "context-1"}
    assert {letter.reason for letter in world.dead_letters()} == {"too-many-contexts"}
    assert len(world.dead_letters()) == 3


def test_too_many_dead_letters_in_a_row_are_an_alarm() -> None:
    world = World()
    world.send(*[b"bad"] * 20)
    worker = world.worker(dead_letters_in_a_row=10)
    turn(worker, 20)
    assert len(world.dead_letters()) == 20
    assert "20 dead letters in a row" in worker.unready()[0]
    assert "hurnet_dead_letters_alarm 1.0" in world.metrics.exposition().decode()
    world.send(TextEvent(text="good"))
    turn(worker)
    assert worker.unready() == []
    assert "hurnet_dead_letters_alarm 0.0" in world.metrics.exposition().decode()


def test_too_many_dead_letters_stop_it_if_told_to() -> None:
    world = World()
    world.send(*[b"bad"] * 20)
    with pytest.raises(TooManyDeadLetters):
        turn(world.worker(dead_letters_in_a_row=10, dead_letters_stop=True), 20)


def test_a_store_that_is_away_counts_no_dead_letter_twice() -> None:
    world = World()
    world.send(b"bad", b"bad", b"bad")
    source = MemorySource(world.kafka, "texts", "ingest")
    chosen = Settings(ingest=IngestSettings(poll=0, batch=4, dead_letters_in_a_row=5))
    worker = Ingest(
        source, LosesReplies(world.redis), MemorySink(world.kafka), EMBEDDER, chosen, IngestMetrics()
    )
    turn(worker, 30)
    assert world.redis.data.shards[0].state.watermark == 2


class FailsAtFirst(MemoryEntryStore):
    """Each kind of call fails the first time, once the shards are placed."""

    def __init__(self, redis: MemoryRedis) -> None:
        super().__init__(redis)
        self.failed: set[str] = set()

    def admit(self, contexts: frozenset[str], limit: int) -> frozenset[str]:
        self._fail_once("admit")
        return super().admit(contexts, limit)

    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        self._fail_once("append")
        return super().append(batch, expected)

    def _fail_once(self, call: str) -> None:
        if call not in self.failed:
            self.failed.add(call)
            raise TransientError(f"{call} failed")


def test_whatever_call_fails_no_record_is_passed_over() -> None:
    world = World()
    source = MemorySource(world.kafka, "texts", "ingest")
    chosen = Settings(ingest=IngestSettings(poll=0, batch=4))
    store = FailsAtFirst(world.redis)
    worker = Ingest(source, store, MemorySink(world.kafka), EMBEDDER, chosen, IngestMetrics())
    turn(worker, 2)
    world.send(*numbered(0, 10))
    turn(worker, 20)
    assert store.failed == {"admit", "append"}
    assert world.texts() == [event.text for event in numbered(0, 10)]


def test_a_broker_that_is_away_is_survived() -> None:
    world = World()
    worker = world.worker()
    world.send(*numbered(0, 3))
    turn(worker, 2)
    world.kafka.away = True
    turn(worker)
    world.kafka.away = False
    world.send(*numbered(3, 5))
    turn(worker)
    assert world.texts() == [event.text for event in numbered(0, 5)]


class Schedule:
    """Draws what happens next among up to three workers, two partitions and a store that loses replies."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.world = World()
        self.workers: list[Ingest] = []
        self.sent = 0

    def send(self) -> None:
        for _ in range(self.data.draw(st.integers(1, 6))):
            self.world.send(TextEvent(text=f"text number {self.sent}"), partition=self.sent % 2)
            self.sent += 1

    def abort(self) -> None:
        """A transaction that leaves nothing but offsets."""
        self.world.kafka.append([Outgoing("texts", b"", partition=self.sent % 2)], mark="aborted")

    def start(self) -> None:
        if len(self.workers) < 3:
            store = self.data.draw(st.sampled_from([LosesReplies, MemoryEntryStore]))(self.world.redis)
            source = MemorySource(self.world.kafka, "texts", "ingest")
            chosen = Settings(ingest=IngestSettings(poll=0, batch=self.data.draw(st.integers(1, 5))))
            sink = MemorySink(self.world.kafka)
            self.workers.append(Ingest(source, store, sink, EMBEDDER, chosen, IngestMetrics()))

    def crash(self) -> None:
        if self.workers:
            self.workers.pop(self._any()).close()

    def step(self) -> None:
        if self.workers:
            turn(self.workers[self._any()], 1)

    def _any(self) -> int:
        return self.data.draw(st.integers(0, len(self.workers) - 1))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_interleaving_of_crashes_and_lost_replies_appends_each_text_once(
    data: st.DataObject,
) -> None:
    schedule = Schedule(data)
    acts = [schedule.send, schedule.abort, schedule.start, schedule.crash, *[schedule.step] * 3]
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=25)):
        act()
    for worker in schedule.workers:
        worker.close()
    world = schedule.world
    turn(world.worker(), 40)
    assert sorted(world.texts()) == sorted(f"text number {i}" for i in range(schedule.sent))
    for batch in MemoryEntryStore(world.redis).tail({}, 10_000).batches:
        offsets = [entry.offset for entry in batch.entries]
        assert offsets == sorted(offsets)
        np.testing.assert_array_equal(batch.vectors, EMBEDDER.embed([entry.text for entry in batch.entries]))


def test_a_batch_is_bounded_in_bytes_and_nothing_is_lost_by_it() -> None:
    world = World()
    large = {f"k{i}": "字" * 1_024 for i in range(32)}
    events = [TextEvent(text=f"text {i} " + "x" * 16_000, metadata=large) for i in range(40)]
    world.send(*events, *numbered(0, 3))
    turn(world.worker(batch=64), 40)
    assert world.texts() == [event.text for event in (*events, *numbered(0, 3))]
    sizes = [len(batch.columns.texts) for batch in MemoryEntryStore(world.redis).tail({}, 100).batches]
    assert max(sizes) <= MAX_BATCH_BYTES * 16_000 // 112_000 + 16_384
    assert len(sizes) >= 40 * 112_000 // MAX_BATCH_BYTES


def test_a_poll_is_bounded_in_bytes() -> None:
    world = World()
    source = MemorySource(world.kafka, "texts", "g")
    world.send(*[b"x" * 1_000_000] * 40)
    source.poll(0, 64)
    polled = source.poll(0, 64)
    assert POLL_BYTES <= sum(len(r.value or b"") for r in polled.records) < POLL_BYTES + 1_000_000


def test_records_as_large_as_can_be_are_put_aside_with_small_letters() -> None:
    world = World()
    world.send(*[b"\xff" * 1_048_000] * 20, *numbered(0, 2))
    turn(world.worker(batch=64), 30)
    assert len(world.texts()) == 2
    letters = world.kafka.records("dead-letters")
    assert len(letters) == 20
    assert max(len(record.value or b"") for record in letters) < 20_000


def test_a_topic_of_dead_letters_that_takes_none_is_configuration() -> None:
    world = World()
    world.kafka.max_message_bytes["dead-letters"] = 100
    world.send(b"not json")
    with pytest.raises(ConfigurationError, match="can't be delivered"):
        turn(world.worker())


def test_the_watermark_passes_what_no_reader_gets() -> None:
    """The end of a transaction, and one that was aborted: who asks to see up to the topic's end does."""
    world = World()
    worker = world.worker()
    texts = [Outgoing("texts", event.encode(), partition=0) for event in numbered(0, 3)]
    world.kafka.append(texts, mark="committed")
    world.kafka.append(texts, mark="aborted")
    turn(worker)
    store = MemoryEntryStore(world.redis)
    assert world.kafka.partition("texts", 0).end == 8
    assert store.state(0).watermark == 7
    assert store.state(0).rows == 3
    assert store.state(1).watermark == NOTHING, "where nothing was read, nothing is begun"
    worker.drain()
    assert world.kafka.group("texts", "ingest").committed[0] == 8
    world.send(*numbered(3, 5))
    turn(worker)
    assert world.texts() == [f"text number {i}" for i in range(5)]
    worker.close()
    turn(world.worker())
    assert world.texts() == [f"text number {i}" for i in range(5)]


def test_what_was_polled_is_not_lost_where_the_store_fails_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hurnet_stream.ingest.placing.CHECK_INTERVAL_S", 0.0)
    world = World()
    worker = world.worker()
    turn(worker)
    identity, calls = worker._store.identity, iter([0, 1] * 4)

    def failing() -> object:
        if next(calls, 0):  # after the poll, each time
            raise TransientError("the store is away")
        return identity()

    monkeypatch.setattr(worker._store, "identity", failing)
    for i in range(4):
        world.send(*numbered(i, i + 1))
        turn(worker, 1)
    turn(worker)
    assert world.texts() == [f"text number {i}" for i in range(4)]
