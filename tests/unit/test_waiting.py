"""What one turn of ingest takes, whatever a poll brought."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hurnet_schemas import TextEvent
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.ingest.waiting import LEAST_BYTES, Waiting
from hurnet_stream.ports import Record
from hurnet_stream.settings.settings import IngestSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.worlds.ingest import EMBEDDER, World, turn


def record(partition: int, offset: int, size: int = 9) -> Record:
    return Record("texts", partition, offset, 0, None, b"x" * size)


def offsets(taken: dict[int, list[Record]]) -> dict[int, list[int]]:
    return {p: [r.offset for r in records] for p, records in taken.items()}


def test_a_turn_takes_so_many_bytes_and_one_record_at_least() -> None:
    waiting = Waiting()
    waiting.add(0, [record(0, n, LEAST_BYTES // 2 - 1) for n in range(3)])
    waiting.add(1, [record(1, 0, 10 * LEAST_BYTES)])
    assert offsets(waiting.take(10)) == {0: [0, 1]}
    assert offsets(waiting.take(10)) == {1: [0]}
    assert offsets(waiting.take(10)) == {0: [2]}
    assert len(waiting) == 0


def test_a_turn_takes_so_many_records_and_the_others_come_first_next_time() -> None:
    waiting = Waiting()
    for partition in range(3):
        waiting.add(partition, [record(partition, n) for n in range(2)])
    assert offsets(waiting.take(3)) == {0: [0, 1], 1: [0]}
    assert offsets(waiting.take(9)) == {2: [0, 1], 1: [1]}


def test_it_learns_what_a_turn_can_take() -> None:
    waiting = Waiting()
    for _ in range(4):
        waiting.learn(["x" * 10_000], 0.001)  # a thousand times as quick
    waiting.add(0, [record(0, n, LEAST_BYTES) for n in range(100)])
    assert 10 <= len(waiting.take(1_000)[0]) <= 16
    waiting.learn(["x" * 10_000], 10.0)
    assert len(waiting.take(1_000)[0]) == 1


class Slow:
    """A millisecond for a hundred letters."""

    identity: EmbedderIdentity = EMBEDDER.identity

    def embed(self, texts: Sequence[str]) -> Vectors:
        time.sleep(sum(map(len, texts)) / 100_000)
        return EMBEDDER.embed(texts)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)


def test_long_texts_take_many_short_turns() -> None:
    """Of these 24 in one turn would take four seconds."""
    world = World()
    for n in range(24):
        world.send(TextEvent(text=f"{n} " * 5_000), partition=n % 2)
    source = MemorySource(world.kafka, "texts", "ingest")
    chosen = Settings(ingest=IngestSettings(poll=0, batch=256))
    store = MemoryEntryStore(world.redis)
    worker = Ingest(source, store, MemorySink(world.kafka), Slow(), chosen, world.metrics)
    most, began = 0, time.monotonic()
    while (done := len(world.entries())) < 24 and time.monotonic() - began < 60:
        turn(worker, 1)
        most = max(most, len(world.entries()) - done)
    assert len(world.entries()) == 24
    assert most < 16


def test_one_that_is_to_be_alone_has_a_turn_of_its_own() -> None:
    waiting = Waiting()
    waiting.add(0, [record(0, offset) for offset in range(3)])
    waiting.add(1, [record(1, offset) for offset in range(3)])

    def alone(found: Record) -> bool:
        return (found.partition, found.offset) in {(0, 0), (0, 1), (1, 1)}

    turns = [waiting.take(10, alone) for _ in range(5)]
    assert [{p: [r.offset for r in mine] for p, mine in taken.items()} for taken in turns] == [
        {0: [0]},
        {1: [0]},
        {0: [1]},
        {1: [1]},
        {0: [2], 1: [2]},
    ]
    assert not waiting.take(10, alone)
