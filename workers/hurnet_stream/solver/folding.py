"""Folding in what is new in the store: pairs into the statistics, and deleted ones out of them.

    read    batches up to READ_BATCHES a shard          those of all shards interleaved
    fold    a portion: learn its pairs, advance the watermarks, then unlearn its deletions
            ... the next portion, for STEP_S seconds; the rest is kept for the next step

A deletion may take many steps. Until it is through, the checkpoint is half done (its watermarks cover the
deletion and its statistics still hold some of the targets), so it is neither saved nor solved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from hurnet_stream.core.solve.window import context_of
from hurnet_stream.core.stored.batch import ShardState
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.ports import EntryStore, Tail, check_not_passed
from hurnet_stream.solver import portions
from hurnet_stream.solver.learning import learn
from hurnet_stream.solver.tenure import Tenure
from hurnet_stream.solver.unlearning import unlearn
from hurnet_stream.solver.unsolved import Unsolved


class Folded(NamedTuple):
    """What a step has done. `states` are those of all shards when the batches were read.

    `done` is False if deletions are still to be taken out.
    """

    states: Mapping[int, ShardState]
    batches: int
    done: bool


class Folding:
    """Folds in for a bounded time per call. `on_progress` is called after each portion."""

    def __init__(
        self,
        store: EntryStore,
        device: str,
        unsolved: Unsolved,
        metrics: SolverMetrics,
        on_progress: Callable[[], None],
    ) -> None:
        self._store = store
        self._device = device
        self._unsolved = unsolved
        self._metrics = metrics
        self._on_progress = on_progress

    def fold_in(self, tenure: Tenure, wait_s: float) -> Folded:
        """Fold in what is new; wait up to `wait_s` for the first batch."""
        tail = tenure.unfolded or self._read(tenure, wait_s)
        until = time.monotonic() + portions.STEP_S
        batches, done = tail.batches, True
        while batches and done:
            portion, batches = portions.split(batches, portions.rows_per_portion(tenure.kernel_map))
            with self._metrics.stage("fold"):
                self._fold(tenure, Tail(portion, tail.states))
            done = self.unlearn(tenure)
            self._on_progress()
            if time.monotonic() >= until:
                break  # after a portion, so that every step does at least one
        tenure.unfolded = Tail(batches, tail.states) if batches else None
        return Folded(tail.states, len(tail.batches) - len(batches), done)

    def unlearn(self, tenure: Tenure) -> bool:
        """Go on with the deletions that were read. True once all of them are through."""
        if tenure.unlearning is None:
            return True
        with self._metrics.stage("fold"):
            return self._unlearn(tenure, tenure.unlearning)

    def _unlearn(self, tenure: Tenure, unlearning: Iterator[Mapping[str, int]]) -> bool:
        until = time.monotonic() + portions.STEP_S
        for pairs_by_key in unlearning:
            for key, pairs in pairs_by_key.items():
                context = context_of(key)
                self._unsolved.note(context, pairs)
                self._metrics.unlearned.labels(self._metrics.counted_as(context)).inc(pairs)
            self._on_progress()
            if time.monotonic() >= until:
                return False
        tenure.unlearning = None
        return True

    def _read(self, tenure: Tenure, wait_s: float) -> Tail:
        batches_max = portions.batches_per_step(tenure.kernel_map)
        positions = tenure.positions()
        with self._metrics.stage("tail"):
            tail = self._store.tail(positions, batches_max, block_s=wait_s)
        check_not_passed(tenure.horizon, positions, tail)
        return Tail(portions.interleaved(tail.batches), tail.states)

    def _fold(self, tenure: Tenure, portion: Tail) -> None:
        checkpoint, kernel_map, window = tenure.checkpoint, tenure.kernel_map, tenure.window
        learned = learn(checkpoint.statistics, portion.batches, kernel_map, window, self._device)
        for key, pairs in learned.items():
            self._unsolved.note(context_of(key), pairs)
        # The watermarks move with the statistics: a checkpoint that is saved covers exactly these.
        for batch in portion.batches:
            counted = checkpoint.shards.get(batch.partition, ShardState()).rows + batch.rows
            rows = counted if batch.end is None else batch.end
            epoch = portion.states[batch.partition].epoch
            checkpoint.shards[batch.partition] = ShardState(batch.watermark, rows, epoch)
            tenure.rows_unsaved += batch.rows
        # Nothing is taken out yet: `unlearn` is a generator, and the caller runs it for a bounded time.
        tenure.unlearning = unlearn(self._store, checkpoint, portion.batches, kernel_map, window)
