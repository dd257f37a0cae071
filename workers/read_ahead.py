"""Reading the context while what was read before is taken in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from workers.core.context import NOTHING, joined
from workers.ports import ContextStore, Tail


class ReadAhead:
    """A context's tail, its batches joined. Where there is more than was read, the next read is made in a
    thread: one at most, and none where there is a single core."""

    def __init__(self, store: ContextStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "read-ahead") if _cores() > 1 else None
        self._ahead: tuple[Mapping[int, int], Future[Tail]] | None = None

    def tail(self, positions: Mapping[int, int], max_batches: int, block_s: float = 0.0) -> Tail:
        """`ContextStore.tail`; raises as it does, and what the thread met."""
        tail = self._made(positions) or self._read(positions, max_batches, block_s)
        after = {**positions, **{batch.partition: batch.watermark for batch in tail.batches}}
        more = any(state.watermark > after.get(p, NOTHING) for p, state in tail.states.items())
        if self._thread and more:
            self._ahead = after, self._thread.submit(self._read, after, max_batches, 0.0)
        return tail

    def close(self) -> None:
        """Wait for what is being read, and end the thread. Safe to repeat."""
        if self._thread:
            self._thread.shutdown(cancel_futures=True)

    def _made(self, positions: Mapping[int, int]) -> Tail | None:
        """What was read ahead, if from these positions."""
        ahead, self._ahead = self._ahead, None
        return ahead[1].result() if ahead and ahead[0] == positions else None

    def _read(self, positions: Mapping[int, int], max_batches: int, block_s: float) -> Tail:
        tail = self._store.tail(positions, max_batches, block_s)
        return replace(tail, batches=joined(tail.batches))


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
