"""Reading ahead gives what reading would have given, and the thread's errors, and no thread outlives it."""

import threading
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import read_ahead
from workers.adapters.memory import MemoryContextStore, MemoryServer
from workers.core.context import NOTHING, Batch, EmbedderIdentity, Entry
from workers.errors import TransientError
from workers.ports import Appended, Tail
from workers.read_ahead import ReadAhead


@pytest.fixture(params=[1, 2], autouse=True)
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    found: int = request.param
    monkeypatch.setattr(read_ahead, "_cores", lambda: found)
    return found


class Store(MemoryContextStore):
    """Says from which thread it was read, and can fail."""

    def __init__(self) -> None:
        super().__init__(MemoryServer())
        self.open(EmbedderIdentity("none", "f", 2))
        self.threads: list[threading.Thread] = []
        self.failing = 0

    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        self.threads.append(threading.current_thread())
        if self.failing:
            self.failing -= 1
            raise TransientError("the store is away")
        return super().tail(positions, max_batches, block_s)

    def fill(self, partition: int, sizes: list[int]) -> None:
        for n in sizes:
            at = self.state(partition).watermark
            entries = [Entry(at + 1 + i, 0, "c", f"{partition} {at + i}") for i in range(n)]
            batch = Batch(partition, at + n + 1, entries, np.ones((n, 2), np.int16))
            assert isinstance(self.append(batch, at), Appended)


def taken(reader: ReadAhead, size: int) -> list[str]:
    """The texts, in the order in which they are read to the end."""
    positions, texts = dict[int, int](), list[str]()
    while batches := reader.tail(positions, size).batches:
        for batch in batches:
            assert positions.get(batch.partition, NOTHING) < batch.watermark
            positions[batch.partition] = batch.watermark
            texts += [entry.text for entry in batch.entries]
    return texts


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20), st.integers(1, 5))
def test_all_is_read_once_and_in_order(one: list[int], other: list[int], size: int) -> None:
    store = Store()
    store.fill(0, one)
    store.fill(1, other)
    reader = ReadAhead(store)
    texts = taken(reader, size)
    reader.close()
    for partition in (0, 1):
        mine = [text for text in texts if text.startswith(f"{partition} ")]
        held = [e.text for b in store.tail({}, 1000).batches if b.partition == partition for e in b.entries]
        assert mine == held


def test_a_thread_reads_where_there_is_a_core_for_it_and_more_to_read(cores: int) -> None:
    store = Store()
    store.fill(0, [1] * 10)
    before = threading.active_count()
    reader = ReadAhead(store)
    taken(reader, 4)
    reader.close()
    reader.close()
    others = [thread for thread in store.threads if thread is not threading.current_thread()]
    assert len(store.threads) == 4  # 4, 4, 2 and none
    assert len(others) == (2 if cores > 1 else 0)
    assert threading.active_count() == before


def test_what_was_read_for_another_position_is_not_given() -> None:
    store = Store()
    store.fill(0, [1] * 10)
    reader = ReadAhead(store)
    assert reader.tail({}, 4).batches[-1].watermark == 7
    assert reader.tail({0: 3}, 4).batches[0].entries[0].offset > 3
    reader.close()


def test_an_error_is_raised_for_who_reads_next_and_reading_goes_on() -> None:
    store = Store()
    store.fill(0, [1] * 10)
    reader = ReadAhead(store)
    first = reader.tail({}, 4).batches[-1].watermark
    if len(store.threads) < 2:
        threading.Event().wait(0.2)
    store.failing = 1
    positions, errors = {0: first}, 0
    for _ in range(4):
        try:
            batches = reader.tail(positions, 4).batches
        except TransientError:
            errors += 1
            continue
        positions = {0: batches[-1].watermark} if batches else positions
    assert errors == 1
    assert positions == {0: store.state(0).watermark}
    reader.close()
