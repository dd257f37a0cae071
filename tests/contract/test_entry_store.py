"""What every context store keeps to, and what a real one does when its server misbehaves."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.core.formats import STORE, STREAM
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.shares import REPLY_BATCHES
from hurnet_stream.core.stored.batch import (
    NOTHING,
    Anchor,
    Batch,
    Deletion,
    EmbedderIdentity,
    Entry,
    LogIdentity,
    ShardState,
)
from hurnet_stream.core.stored.codec import bare
from hurnet_stream.errors import (
    ConfigurationError,
    EmbedderMismatch,
    StoreError,
    StoreReplaced,
    TransientError,
    Unreadable,
    UpgradeNeeded,
)
from hurnet_stream.local import ValkeyServer
from hurnet_stream.ports import Appended, Committed, EntryStore, Refused
from hurnet_stream.settings.settings import RedisSettings
from tests.acceptance.system import system_is_busy, wait_for
from tests.contract.stores import RedisStores, Stores

DIMENSION = 4
IDENTITY = EmbedderIdentity("hash4", "f" * 64, DIMENSION)
LOG = LogIdentity("cluster", "topic")


def entry(partition: int, offset: int) -> Entry:
    """The entry of these coordinates: as in Kafka, the same however often it is delivered."""
    answer = None if offset % 3 == 0 else f"answer {offset % 7}"
    metadata = {"n": str(offset)} if offset % 2 else {}
    context, text = f"context-{offset % 5 // 4}", f"ação {partition}/{offset}"
    return Entry(offset, 1_000 + offset, context, text, answer, metadata, 1 + offset % 4)


def vector(partition: int, offset: int) -> list[int]:
    return [offset % SCALE + 1, -(partition % SCALE), -SCALE, SCALE]


def made(partition: int, offsets: Iterable[int], watermark: int | None = None) -> Batch:
    entries = [entry(partition, offset) for offset in offsets]
    vectors = np.array([vector(partition, e.offset) for e in entries], np.int16).reshape(-1, DIMENSION)
    return Batch(partition, entries[-1].offset if watermark is None else watermark, entries, vectors)


def opened(stores: Stores) -> EntryStore:
    store = stores.entry_store()
    store.open(IDENTITY)
    return store


class Reader:
    """A worker that tails: holds all it was given, in memory."""

    def __init__(self, store: EntryStore, max_batches: int = 10) -> None:
        self.store = store
        self.max_batches = max_batches
        self.positions: dict[int, int] = {}
        self.entries: dict[int, list[Entry]] = {}
        self.states: Mapping[int, ShardState] = {}

    def step(self, block_s: float = 0.0) -> int:
        tail = self.store.tail(self.positions, self.max_batches, block_s)
        self.states = tail.states
        assert sum(len(batch.entries) > 0 for batch in tail.batches) <= REPLY_BATCHES
        for batch in tail.batches:
            assert batch.watermark > self.positions.get(batch.partition, NOTHING)
            assert batch.vectors.tolist() == [vector(batch.partition, e.offset) for e in batch.entries]
            self.positions[batch.partition] = batch.watermark
            self.entries.setdefault(batch.partition, []).extend(batch.entries)
        return len(tail.batches)

    def catch_up(self) -> Reader:
        self.step()  # finds shards begun since the last time
        while self.step():
            pass
        return self

    def offsets(self, partition: int) -> list[int]:
        assert self.entries.get(partition, []) == [
            entry(partition, e.offset) for e in self.entries.get(partition, [])
        ]
        return [e.offset for e in self.entries.get(partition, [])]


def ingest(store: EntryStore, partition: int, offsets: Iterable[int], size: int) -> None:
    """A worker that appends what of `offsets` is beyond the watermark."""
    watermark = store.state(partition).watermark
    wanted = [offset for offset in offsets if offset > watermark]
    for start in range(0, len(wanted), size):
        batch = made(partition, wanted[start : start + size])
        assert isinstance(store.append(batch, watermark), Appended)
        watermark = batch.watermark


def test_what_groups_have_committed_is_kept_by_partition(stores: Stores) -> None:
    store = opened(stores)
    assert store.progress("g") == {}
    store.remember_progress("g", {})
    store.remember_progress("g", {0: Committed(7, "hurnet1 log AbC_-"), 3: Committed(2**62)})
    store.remember_progress("g", {0: Committed(5)})
    store.remember_progress("another", {0: Committed(1, "a note with spaces")})
    for reader in (store, stores.entry_store()):
        assert reader.progress("g") == {0: Committed(5), 3: Committed(2**62)}
        assert reader.progress("another") == {0: Committed(1, "a note with spaces")}


def test_who_left_partitions_without_a_word_is_found_by_the_next(stores: Stores) -> None:
    one, other = opened(stores), stores.entry_store()
    both = frozenset({0, 1})
    assert one.enter("ingest", "a", both) == {}
    assert one.enter("ingest", "a", both) == {}  # its own
    assert other.enter("responder", "b", both) == {}  # of another topic
    one.leave("ingest", "a", frozenset({0}))
    assert other.enter("ingest", "b", both) == {1: ""}
    one.leave("ingest", "a", both)  # late: they are no longer its own
    other.attempt("ingest", "b", 0, "r1")
    assert one.enter("ingest", "c", both) == {0: "r1", 1: ""}
    one.attempt("ingest", "c", 0, "r2")
    one.leave("ingest", "c", both)
    assert one.enter("ingest", "d", frozenset({0})) == {}
    assert one.enter("ingest", "e", frozenset({0})) == {0: ""}  # c took its note back


def test_who_noted_a_record_counts_once_and_until_it_says_otherwise(stores: Stores) -> None:
    one, other = opened(stores), stores.entry_store()
    just0 = frozenset({0})
    assert [one.attempt("ingest", "a", 0, "r1") for _ in range(3)] == [1, 1, 1]
    assert one.attempt("ingest", "a", 1, "r1") == 1
    assert other.attempt("responder", "b", 0, "r1") == 1
    assert [other.attempt("ingest", owner, 0, "r1") for owner in ("b", "c", "c")] == [2, 3, 3]
    other.enter("ingest", "c", just0)  # it goes on, and has nothing in hand
    other.leave("ingest", "b", just0)  # it is not the last who noted it
    assert one.attempt("ingest", "d", 0, "r1") == 3
    one.leave("ingest", "d", just0)
    one.leave("ingest", "d", just0)
    assert one.attempt("ingest", "e", 0, "r1") == 3
    assert one.attempt("ingest", "e", 0, "r2") == 1
    assert one.attempt("ingest", "e", 0, "r1") == 1
    one.leave("ingest", "e", just0)
    assert one.attempt("ingest", "f", 0, "r1") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0", b"x"),
        (b"zero", b"7 note"),
        (b"0", b""),
        (b"0", b"\xff"),
        (b"0", b"9" * 5_000),
        (b"9" * 5_000, b"7"),
    ],
)
def test_what_was_kept_of_a_group_is_not_guessed_at(
    redis_stores: RedisStores, field: bytes, value: bytes
) -> None:
    store = opened(redis_stores)
    redis_stores.client.hset(f"{redis_stores.settings.prefix}:progress:g", field, value)
    with pytest.raises(StoreError, match="progress:g is corrupt: without that key"):
        store.progress("g")


def test_a_context_belongs_to_one_embedder(stores: Stores) -> None:
    store = stores.entry_store()
    assert store.identity() is None
    with pytest.raises(StoreError, match="no store"):
        store.tail({}, 1)
    with pytest.raises(StoreError, match="no store"):
        store.append(made(0, [1]), NOTHING)
    store.open(IDENTITY)
    store.open(IDENTITY)
    assert stores.entry_store().identity() == IDENTITY
    for other in (EmbedderIdentity("hash4", "e" * 64, 4), EmbedderIdentity("hash4", "f" * 64, 8)):
        with pytest.raises(EmbedderMismatch, match="hash4"):
            stores.entry_store().open(other)
    opened(stores)


def test_of_many_that_begin_a_context_one_does(stores: Stores) -> None:
    identities = [EmbedderIdentity("e", str(i), DIMENSION) for i in range(8)]
    clients = [stores.entry_store() for _ in identities]

    def begin(i: int) -> bool:
        try:
            clients[i].open(identities[i])
        except EmbedderMismatch:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1


def test_append_advances_watermark_and_rows_together(stores: Stores) -> None:
    store = opened(stores)
    assert store.states() == {}
    assert store.state(3) == ShardState()
    first = store.append(made(3, [0, 1, 5]), NOTHING)
    assert isinstance(first, Appended)
    assert (first.state.watermark, first.state.rows) == (5, 3)
    assert store.append(made(3, [6], watermark=9), 5) == Appended(ShardState(9, 4, first.state.epoch), rows=1)
    assert store.append(bare(3, 12, DIMENSION), 9) == Appended(ShardState(12, 4, first.state.epoch))
    assert stores.entry_store().states() == {3: ShardState(12, 4, first.state.epoch)}


def test_what_was_believed_wrongly_is_refused_and_changes_nothing(stores: Stores) -> None:
    store = opened(stores)
    assert store.append(made(0, [3]), 2) == Refused(ShardState())
    store.append(made(0, [1, 2]), NOTHING)
    state = store.state(0)
    for batch, expected in [(made(0, [1, 2]), NOTHING), (made(0, [2, 3]), 1), (made(0, [4]), 3)]:
        assert store.append(batch, expected) == Refused(state)
    assert store.state(0) == state
    assert Reader(stores.entry_store()).catch_up().offsets(0) == [1, 2]


def test_an_append_whose_fate_is_unknown_can_be_repeated(stores: Stores) -> None:
    store = opened(stores)
    done = store.append(made(0, [1, 2]), NOTHING)
    assert store.append(made(0, [1, 2]), NOTHING) == Refused(done.state)
    assert store.state(0).rows == 2


@pytest.mark.parametrize(
    "batch",
    [made(0, [3, 2]), made(0, [3], watermark=2), Batch(0, 3, [entry(0, 3)], np.ones((1, 5), np.int16))],
    ids=["order", "watermark", "dimension"],
)
def test_malformed_batches_are_refused(stores: Stores, batch: Batch) -> None:
    store = opened(stores)
    with pytest.raises(ValueError, match=r"."):
        store.append(batch, NOTHING)
    assert store.states() == {}


def test_context_names_are_limited(stores: Stores) -> None:
    store = opened(stores)
    assert store.admit(frozenset({"b", "a"}), 2) == {"a", "b"}
    assert stores.entry_store().admit(frozenset({"c", "a"}), 2) == {"a"}
    assert store.admit(frozenset(), 2) == frozenset()
    assert store.admit(frozenset({"c", "d"}), 3) == {"c"}
    assert store.admit(frozenset({"a"}), 0) == {"a"}


def test_an_entry_is_found_by_its_coordinates(stores: Stores) -> None:
    store = opened(stores)
    store.append(made(0, [2, 4], watermark=6), NOTHING)
    store.append(made(0, [8]), 6)
    store.append(bare(0, 20, DIMENSION), 8)
    found = {offset: store.entry(0, offset) for offset in range(22)}
    assert {offset: e for offset, e in found.items() if e} == {o: entry(0, o) for o in (2, 4, 8)}
    assert store.entry(1, 2) is None


def test_a_reader_is_carried_over_offsets_without_entries(stores: Stores) -> None:
    store = opened(stores)
    store.append(bare(0, 9, DIMENSION), NOTHING)
    reader = Reader(stores.entry_store()).catch_up()
    assert reader.positions == {0: 9}
    store.append(made(0, [10], watermark=14), 9)
    store.append(bare(0, 19, DIMENSION), 14)
    assert reader.catch_up().positions == {0: 19}
    assert reader.states == store.states()
    assert reader.offsets(0) == [10]


def test_no_more_is_read_than_was_asked_for(stores: Stores) -> None:
    store = opened(stores)
    for partition in (0, 7):
        ingest(store, partition, range(10), 1)
    reader = Reader(stores.entry_store(), max_batches=3)
    reader.step()
    assert {p: reader.offsets(p) for p in (0, 7)} == {0: [0, 1, 2], 7: [0, 1, 2]}
    reader.catch_up()
    assert {p: reader.offsets(p) for p in (0, 7)} == {0: [*range(10)], 7: [*range(10)]}
    with pytest.raises(ValueError, match="at least 1"):
        reader.store.tail({}, 0)


def test_a_reader_waits_for_the_first_batch_only(stores: Stores) -> None:
    store, reader = opened(stores), Reader(stores.entry_store())
    store.append(made(0, [0]), NOTHING)
    reader.catch_up()
    started = time.monotonic()
    assert reader.step(block_s=0.2) == 0
    waited = time.monotonic() - started
    assert waited > 0.15
    assert waited < 1.5 or system_is_busy()
    timer = threading.Timer(0.1, store.append, (made(0, [1]), 0))
    timer.start()
    started = time.monotonic()
    wait_for(lambda: reader.step(block_s=2.0) == 1, what="what is appended while it waits")
    assert time.monotonic() - started < 1.9 or system_is_busy()
    timer.join()
    started = time.monotonic()
    assert Reader(stores.entry_store()).step(block_s=2.0) == 2
    assert time.monotonic() - started < 1.9 or system_is_busy()


@pytest.mark.parametrize("position", range(-1, 13))
def test_from_any_position_exactly_the_rest_is_read(stores: Stores, position: int) -> None:
    store = opened(stores)
    store.append(made(0, [0, 2, 3], watermark=4), NOTHING)
    store.append(made(0, [5, 8]), 4)
    store.append(made(0, [9], watermark=11), 8)
    reader = Reader(stores.entry_store(), max_batches=2)
    reader.positions = {0: position}
    assert reader.catch_up().offsets(0) == [o for o in (0, 2, 3, 5, 8, 9) if o > position]
    assert reader.positions == {0: max(position, 11)}


def test_of_two_owners_each_step_is_won_by_one(stores: Stores) -> None:
    clients = [opened(stores), opened(stores)]
    wins: list[int] = []

    def own(number: int) -> None:
        store, chance = clients[number], random.Random(number)
        while (watermark := store.state(0).watermark) < 299:
            offsets = range(watermark + 1, min(watermark + 1 + chance.randint(1, 9), 300))
            if isinstance(store.append(made(0, offsets), watermark), Appended):
                wins.append(len(offsets))

    reader = Reader(stores.entry_store())
    with ThreadPoolExecutor(2) as pool:
        owners = [pool.submit(own, number) for number in range(2)]
        while not all(owner.done() for owner in owners):
            reader.step()
        for owner in owners:
            owner.result()
    assert sum(wins) == store_rows(clients[0]) == 300
    assert reader.catch_up().offsets(0) == [*range(300)]


def store_rows(store: EntryStore) -> int:
    return sum(state.rows for state in store.states().values())


def test_a_zombie_owner_is_refused(stores: Stores) -> None:
    zombie, owner = opened(stores), opened(stores)
    zombie.append(made(0, [0, 1]), NOTHING)
    owner.append(made(0, [2, 3, 4]), 1)
    refused = zombie.append(made(0, [2, 3]), 1)
    assert isinstance(refused, Refused)
    assert refused.state == owner.state(0)
    assert Reader(stores.entry_store()).catch_up().offsets(0) == [0, 1, 2, 3, 4]


def test_a_store_that_lost_its_tail_is_filled_again_in_other_batches(stores: Stores) -> None:
    store, live = opened(stores), Reader(stores.entry_store())
    ingest(store, 0, range(0, 20, 2), 4)
    snapshot = stores.snapshot()
    ingest(store, 0, range(0, 50, 2), 3)
    live.catch_up()
    before = store.state(0)
    stores.restore(snapshot)
    refused = store.append(made(0, [50]), 48)
    assert isinstance(refused, Refused)
    assert refused.state.watermark == 18
    assert live.catch_up().positions == {0: 48}
    ingest(store, 0, range(0, 40, 2), 7)
    live.catch_up()
    ingest(store, 0, range(0, 70, 2), 11)
    assert (
        live.catch_up().offsets(0) == Reader(stores.entry_store()).catch_up().offsets(0) == [*range(0, 70, 2)]
    )
    assert store.state(0) == ShardState(68, 35, before.epoch)


def test_a_wiped_context_is_not_gone_on_with(stores: Stores) -> None:
    store, reader = opened(stores), Reader(stores.entry_store())
    ingest(store, 0, range(10), 4)
    reader.catch_up()
    stores.wipe()
    for go_on in (
        reader.step,
        store.states,
        store.identity,
        lambda: store.state(0),
        lambda: store.append(made(0, [10]), 9),
        lambda: store.append(made(0, [0]), NOTHING),
        lambda: store.append(made(1, [0]), NOTHING),
        lambda: store.delete(0, Deletion(10, 0, targets=(1,)), 9),
        lambda: store.admit(frozenset({"new"}), 10),
        lambda: store.bind(LOG),
        lambda: store.remember_progress("g", {0: Committed(3, "")}),
        lambda: store.enter("ingest", "a", frozenset({0})),
        lambda: store.leave("ingest", "a", frozenset({0})),
        lambda: store.attempt("ingest", "a", 0, "r"),
    ):
        with pytest.raises(StoreReplaced, match="deleted"):
            go_on()
    after = stores.entry_store()
    assert (after.identity(), dict(after.states()), after.log()) == (None, {}, None)
    assert (after.progress("g"), after.contexts()) == ({}, frozenset())


def test_a_context_is_filled_from_one_log(stores: Stores) -> None:
    store = opened(stores)
    assert store.log() is None
    assert store.bind(LOG) == LOG
    other = opened(stores)
    assert other.bind(LogIdentity("cluster", "recreated")) == LOG == other.log()
    stores.wipe()
    assert opened(stores).log() is None


def test_a_shard_keeps_the_anchor_of_its_last_record(stores: Stores) -> None:
    """Also where a batch has none, because what came last could not be read."""
    store = opened(stores)
    first, second = Anchor(3, 1, "0a" * 8), Anchor(4, -1, "ff" * 8)
    store.append(replace(made(0, [1, 3]), anchor=first), NOTHING)
    assert store.state(0).anchor == first == store.states()[0].anchor
    store.delete(0, Deletion(4, 0, targets=(1,), anchor=second), 3)
    assert store.state(0).anchor == second
    store.append(made(0, [], watermark=9), 4)
    assert (store.state(0).watermark, store.state(0).anchor) == (9, second)


def test_a_context_begun_anew_is_told_from_the_old_one(stores: Stores) -> None:
    store, reader = opened(stores), Reader(stores.entry_store())
    ingest(store, 0, range(10), 4)
    reader.catch_up()
    stores.wipe()
    anew = stores.entry_store()
    anew.open(EmbedderIdentity("other", "0" * 64, DIMENSION))
    ingest(anew, 0, range(10), 4)
    for go_on in (reader.step, lambda: store.append(made(0, [10]), 9), lambda: store.state(0), store.states):
        with pytest.raises(StoreReplaced, match="anew"):
            go_on()
    assert Reader(stores.entry_store()).catch_up().offsets(0) == [*range(10)]


class Schedule:
    """Random batches, gaps, wrong beliefs, repeats, lost tails and readers; Kafka's log is the model."""

    def __init__(self, stores: Stores, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log = {p: sorted(self.chance.sample(range(200), 120)) for p in range(3)}
        self.stores, self.store = stores, opened(stores)
        self.readers = [self.reader() for _ in range(3)]
        self.snapshot: Any = stores.snapshot()

    def reader(self) -> Reader:
        return Reader(self.stores.entry_store(), self.chance.randint(1, 4))

    def append(self) -> None:
        partition = self.chance.randrange(3)
        watermark = self.store.state(partition).watermark
        belief = watermark if self.chance.random() < 0.8 else self.chance.randint(-1, 198)
        if (reach := min(belief + self.chance.randint(1, 12), 199)) > belief:
            batch = made(partition, [o for o in self.log[partition] if belief < o <= reach], reach)
            done = self.store.append(batch, belief)
            assert isinstance(done, Appended if belief == watermark else Refused)
            if self.chance.random() < 0.2:
                assert isinstance(self.store.append(batch, belief), Refused)

    def read(self) -> None:
        self.chance.choice(self.readers).step()

    def restart_a_reader(self) -> None:
        self.readers[0] = self.reader()

    def keep(self) -> None:
        self.snapshot = self.stores.snapshot()

    def lose_the_tail(self) -> None:
        self.stores.restore(self.snapshot)

    def step(self) -> None:
        moves = [self.append, self.read, self.restart_a_reader, self.keep, self.lose_the_tail]
        self.chance.choices(moves, [60, 30, 3, 4, 3])[0]()


@pytest.mark.parametrize("seed", range(6))
def test_under_any_schedule_every_reader_gets_every_entry_once(stores: Stores, seed: int) -> None:
    schedule = Schedule(stores, seed)
    for _ in range(150):
        schedule.step()
    for partition, offsets in schedule.log.items():
        ingest(schedule.store, partition, offsets, schedule.chance.randint(1, 30))
    for reader in schedule.readers:
        reader.catch_up()
        assert {p: reader.offsets(p) for p in schedule.log} == schedule.log
    assert {p: state.rows for p, state in schedule.store.states().items()} == dict.fromkeys(schedule.log, 120)


def test_a_context_that_only_newer_programs_may_write_to_is_still_read(stores: Stores) -> None:
    store, reader = opened(stores), Reader(stores.entry_store(), 9)
    ingest(store, 0, range(6), 3)
    stores.is_upgraded(min_reader=STORE, min_writer=STORE + 1)
    reader.catch_up()
    assert reader.offsets(0) == list(range(6))
    opened(stores)
    for writing in (
        lambda: store.append(made(0, [6]), 5),
        lambda: stores.entry_store().open(IDENTITY, writing=True),
    ):
        needs = rf"upgrade \(it needs format {STORE + 1}, this one speaks {STORE}\)"
        with pytest.raises(UpgradeNeeded, match=needs):
            writing()


def test_a_context_that_only_newer_programs_may_read_says_so_at_once(stores: Stores) -> None:
    store, reader = opened(stores), Reader(stores.entry_store(), 9)
    ingest(store, 0, range(6), 3)
    reader.catch_up()
    stores.is_upgraded(min_reader=9, min_writer=9)
    for reading in (reader.step, lambda: opened(stores), lambda: store.append(made(0, [6]), 5)):
        with pytest.raises(UpgradeNeeded, match=rf"upgrade \(it needs format 9, this one speaks {STORE}\)"):
            reading()


# What only a server can do.


def newer_batch(stores: RedisStores, shard: str) -> None:
    found: Any = stores.client.xrange(f"{shard}:stream", count=1)
    ((identifier, fields),) = found
    stores.client.delete(f"{shard}:stream")
    newer = {**fields, b"entries": b"\3" + fields[b"entries"][1:]}
    stores.client.xadd(f"{shard}:stream", newer, identifier)


def newer_entry(stores: RedisStores, shard: str) -> None:
    stores.client.delete(f"{shard}:stream")
    stores.client.xadd(f"{shard}:stream", {"format": str(STREAM + 1), "hello": "world"}, "5-0")


@pytest.mark.parametrize("newer", [newer_batch, newer_entry])
def test_what_a_newer_program_wrote_is_not_called_corrupt(
    redis_stores: RedisStores, newer: Callable[[RedisStores, str], None]
) -> None:
    ingest(opened(redis_stores), 0, range(9), 3)
    newer(redis_stores, f"{redis_stores.settings.prefix}:{{shard-0}}")
    with pytest.raises(UpgradeNeeded, match="a newer hurnet wrote") as caught:
        Reader(opened(redis_stores)).step()
    assert "delete" not in str(caught.value)
    assert "corrupt" not in str(caught.value)


def test_what_is_left_of_an_entry_and_no_longer_readable_is_told(redis_stores: RedisStores) -> None:
    ingest(opened(redis_stores), 0, range(9), 3)
    shard = f"{redis_stores.settings.prefix}:{{shard-0}}"
    redis_stores.client.zadd(f"{shard}:redacted", {(1).to_bytes(8, "big") + b"\xc1": 0})
    with pytest.raises(Unreadable, match="what is left of entry 1-0"):
        Reader(opened(redis_stores)).step()


def corrupt_state(stores: RedisStores, shard: str) -> None:
    stores.client.hset(f"{shard}:state", "watermark", "many")


def corrupt_vectors(stores: RedisStores, shard: str) -> None:
    found: Any = stores.client.xrange(f"{shard}:stream", count=1)
    ((identifier, fields),) = found
    stores.client.delete(f"{shard}:stream")
    stores.client.xadd(f"{shard}:stream", {**fields, b"vectors": b"\2" * len(fields[b"vectors"])}, identifier)


def lost_entry(stores: RedisStores, shard: str) -> None:
    stores.client.xtrim(f"{shard}:stream", maxlen=1, approximate=False)


def lost_stream(stores: RedisStores, shard: str) -> None:
    stores.client.delete(f"{shard}:stream")


def foreign_type(stores: RedisStores, shard: str) -> None:
    stores.client.delete(f"{shard}:state")
    stores.client.set(f"{shard}:state", "mine")


def foreign_entry(stores: RedisStores, shard: str) -> None:
    stores.client.delete(f"{shard}:stream")
    stores.client.xadd(f"{shard}:stream", {"hello": "world"}, "5-0")


def unreadable_meta(stores: RedisStores, shard: str) -> None:
    stores.client.set(f"{stores.settings.prefix}:meta", "{}")


def lost_meta(stores: RedisStores, shard: str) -> None:
    stores.client.delete(f"{stores.settings.prefix}:meta")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (corrupt_state, "corrupt"),
        (corrupt_vectors, "checksum"),
        (lost_entry, "trimmed"),
        (lost_stream, "trimmed"),
        (foreign_type, "another program"),
        (foreign_entry, "corrupt"),
        (unreadable_meta, "not readable"),
        (lost_meta, "is gone but its shards are not"),
    ],
)
def test_damage_is_told(
    redis_stores: RedisStores, damage: Callable[[RedisStores, str], None], words: str
) -> None:
    ingest(opened(redis_stores), 0, range(9), 3)
    damage(redis_stores, f"{redis_stores.settings.prefix}:{{shard-0}}")
    # What `hurnet verify` calls a difference: some of the rows are not there, or not as they were.
    kind = Unreadable if words in ("trimmed", "checksum") else StoreError
    with pytest.raises(kind, match=words):
        Reader(opened(redis_stores)).step()


def test_the_keys_of_a_shard_share_a_slot(redis_stores: RedisStores) -> None:
    ingest(opened(redis_stores), 12, range(9), 3)
    prefix = redis_stores.settings.prefix
    assert {key.decode() for key in redis_stores.held()} == {
        f"{prefix}:meta",
        f"{prefix}:shards",
        f"{prefix}:{{shard-12}}:state",
        f"{prefix}:{{shard-12}}:stream",
        f"{prefix}:{{shard-12}}:sizes",
        f"{prefix}:{{shard-12}}:holds",
    }


@pytest.fixture(params=["valkey", "redis-server"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that a test may do anything to."""
    if request.param != "valkey" and shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} on this machine")
    with ValkeyServer(tmp_path, binary=None if request.param == "valkey" else request.param) as own:
        yield own


def client(server: ValkeyServer, **settings: Any) -> RedisEntryStore:
    return RedisEntryStore(connect(RedisSettings(url=server.url, **settings)))


def admin(server: ValkeyServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server: ValkeyServer) -> None:
    """kill -9 under appends and a live reader; both go on by themselves."""
    store, reader = client(server, timeout=30.0), Reader(client(server, timeout=30.0))
    store.open(IDENTITY)
    reader.store.open(IDENTITY)
    stop = threading.Event()
    acknowledged = NOTHING

    def append() -> None:
        nonlocal acknowledged
        while not stop.is_set():
            try:
                watermark = store.state(0).watermark
                assert watermark >= acknowledged
                done = store.append(made(0, range(watermark + 1, watermark + 9)), watermark)
                acknowledged = max(acknowledged, done.state.watermark)
            except TransientError:
                time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(append)
        for _ in range(3):
            start = acknowledged
            while acknowledged < start + 400 and not writing.done():
                reader.step()
            server.kill()
            with pytest.raises(TransientError, match=rf"127\.0\.0\.1:{server.port} can't be reached"):
                reader.step()
            server.start()
        stop.set()
        writing.result()
    state = store.state(0)
    assert acknowledged <= state.watermark
    assert reader.catch_up().offsets(0) == [*range(state.watermark + 1)]
    assert state.rows == state.watermark + 1
    store.close()
    reader.store.close()


def test_a_server_that_needs_a_password(server: ValkeyServer, tmp_path: Path) -> None:
    with admin(server) as own:
        own.config_set("requirepass", "s3cret")
        for store in (client(server), client(server, password="wr0ng")):
            with pytest.raises(ConfigurationError, match="HURNET_REDIS_PASSWORD") as caught:
                store.open(IDENTITY)
            assert "wr0ng" not in str(caught.value)
        for store in (
            client(server, password="s3cret"),
            RedisEntryStore(connect(RedisSettings(url=f"redis://:s3cret@127.0.0.1:{server.port}"))),
        ):
            store.open(IDENTITY)
            assert "s3cret" not in store.server_name
            store.close()
        own.config_set("requirepass", "")


def test_an_acl_user_with_too_few_rights(server: ValkeyServer) -> None:
    with admin(server) as own:
        own.acl_setuser(
            "ann", enabled=True, passwords=["+pw"], keys=["hurnet:*"], commands=["+@all", "-eval", "-config"]
        )
    store = client(server, username="ann", password="pw")
    store.open(IDENTITY)
    with pytest.raises(ConfigurationError, match=r"forbids its user.*eval"):
        store.append(made(0, [1]), NOTHING)
    (warning,) = connect(RedisSettings(url=server.url, username="ann", password="pw")).warnings()
    assert "does not tell its configuration" in warning
    store.close()


def test_a_full_server_makes_wait(server: ValkeyServer) -> None:
    store = client(server)
    store.open(IDENTITY)
    store.append(made(0, [0]), NOTHING)
    with admin(server) as own:
        own.config_set("maxmemory", "1mb")
        with pytest.raises(TransientError, match="is full: raise its maxmemory"):
            ingest(store, 0, range(100_000), 1_000)
        full = store.state(0)
        assert Reader(store).catch_up().offsets(0) == [*range(full.watermark + 1)]
        own.config_set("maxmemory", "0")
    assert isinstance(store.append(made(0, [full.watermark + 1]), full.watermark), Appended)
    store.close()


def test_a_replica_makes_wait(server: ValkeyServer) -> None:
    store = client(server)
    store.open(IDENTITY)
    store.append(made(0, [0]), NOTHING)
    with admin(server) as own:
        own.replicaof("127.0.0.1", "1")
        with pytest.raises(TransientError, match="is a replica and takes no writes"):
            store.append(made(0, [1]), 0)
        own.replicaof("no", "one")
    assert isinstance(store.append(made(0, [1]), 0), Appended)
    store.close()


def test_a_primary_without_its_replicas_makes_wait(server: ValkeyServer) -> None:
    store = client(server)
    store.open(IDENTITY)
    with admin(server) as own:
        own.config_set("min-replicas-to-write", "1")
        with pytest.raises(TransientError, match="too few replicas"):
            store.append(made(0, [0]), NOTHING)
        own.config_set("min-replicas-to-write", "0")
    assert isinstance(store.append(made(0, [0]), NOTHING), Appended)
    store.close()


def test_a_server_that_does_not_answer(server: ValkeyServer) -> None:
    store = client(server, timeout=3.0)
    store.open(IDENTITY)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(TransientError, match="did not answer in time"):
            store.append(made(0, [0, 1]), NOTHING)
        assert time.monotonic() - started < 4.5 or system_is_busy()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    again = store.append(made(0, [0, 1]), NOTHING)
    assert (again.state.watermark, again.state.rows) == (1, 2)
    store.close()


def test_an_idle_connection_that_was_closed_is_not_noticed(server: ValkeyServer) -> None:
    store = client(server)
    store.open(IDENTITY)
    server.restart()
    assert isinstance(store.append(made(0, [0]), NOTHING), Appended)
    with admin(server) as own:
        own.script_flush()
    assert isinstance(store.append(made(0, [1]), 0), Appended)
    store.close()


def test_risky_configurations_are_told(server: ValkeyServer) -> None:
    store = client(server)
    assert connect(RedisSettings(url=server.url)).warnings() == []
    with admin(server) as own:
        own.config_set("appendfsync", "everysec")
        own.config_set("maxmemory-policy", "allkeys-lru")
        own.config_set("appendonly", "no")
        own.config_set("stream-node-max-entries", "100")
    assert [w.split(" has ")[1].split(":")[0] for w in connect(RedisSettings(url=server.url)).warnings()] == [
        "appendonly no",
        "appendfsync everysec",
        "maxmemory-policy allkeys-lru",
        "stream-node-max-entries 100",
    ]
    store.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "http://:hush@host"}, "redis://HOST:PORT/DB"),
        ({"url": "redis://:hush@host:port/0"}, "redis://HOST:PORT/DB"),
        ({"url": "redis://:hush@host/0?retry_on_timeout=1"}, "no option except db"),
        ({"url": "redis://:hush@host/0", "ca_file": "/x"}, "CA_FILE needs a URL that begins with rediss://"),
        (
            {"url": "rediss://:hush@host/0", "ca_file": "/no/such.pem"},
            "CA_FILE: there is no file /no/such.pem",
        ),
    ],
)
def test_settings_that_cannot_be_right(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        connect(RedisSettings(**settings))
    assert "hush" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    store = RedisEntryStore(connect(RedisSettings(url="redis://:hush@127.0.0.1:1/0")))
    with pytest.raises(TransientError, match=r"Redis at 127\.0\.0\.1:1 can't be reached") as caught:
        store.open(IDENTITY)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("shards", [1, 3, 7, 40])
@pytest.mark.parametrize("most", [1, 4, 32])
def test_a_reply_is_bounded_in_all_and_no_shard_is_forgotten(stores: Stores, shards: int, most: int) -> None:
    store = opened(stores)
    for partition in range(shards):
        ingest(store, partition, range(6), size=1)
    reader = Reader(opened(stores), most)
    while reader.step():
        spread = [len(reader.entries.get(p, [])) for p in range(shards)]
        assert max(spread) - min(spread) <= min(most, max(1, REPLY_BATCHES // shards)), "shards take turns"
    assert all(reader.offsets(partition) == list(range(6)) for partition in range(shards))
    ingest(store, shards - 1, range(8), size=1)
    assert reader.step(), "whichever shard it is, something new is found at once"
    reader.catch_up()
    assert reader.offsets(shards - 1) == list(range(8))


def test_a_busy_shard_does_not_keep_the_others_from_being_read(stores: Stores) -> None:
    store = opened(stores)
    for partition in range(5):
        ingest(store, partition, range(1), size=1)
    reader = Reader(opened(stores), 1_000).catch_up()
    ingest(store, 0, range(200), size=1)
    ingest(store, 3, range(2), size=1)
    for _ in range(2):
        reader.step()
    assert reader.offsets(3) == [0, 1]
    assert len(reader.offsets(0)) <= 1 + 2 * REPLY_BATCHES


def test_a_deleted_shard_end_is_carried_forward_beside_others(stores: Stores) -> None:
    """Watermarks move on also where nothing but dead letters came."""
    store = opened(stores)
    for partition in range(4):
        assert isinstance(store.append(made(partition, [], 9), NOTHING), Appended)
    reader = Reader(opened(stores), 1)
    reader.catch_up()
    assert reader.positions == dict.fromkeys(range(4), 9)
