"""Pairs into statistics, and out of them again when their entries are deleted.

What the solver reads of the context is either still whole or already erased, so what it takes out must be
exactly what it has put in. That rests on one order: an entry is erased only once a saved checkpoint covers
its deletion, and only by the solver that works on from that very checkpoint, as long as the role is its own.
So whoever comes to a deletion, from whatever checkpoint or from none, has folded in those of its targets that
the store still holds, and no others: while it learns anew, nothing is erased before its own first save.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet.core.paper.kernel_features import KernelMap
from hurnet.core.solve.window import NOTHING_AGES, Window
from hurnet.core.statistics.statistics import Statistics
from hurnet.core.stored.batch import MOST_TARGETS, Batch, Deletion, Vectors
from hurnet.core.stored.entries import NO_ANSWER, Entries
from hurnet.errors import StoreError
from hurnet.ports import Checkpoint, DeletionAudit, EntryStore, deleted_by


class Pairs(NamedTuple):
    """Grid rows (n, d), their answers and their weights (n,)."""

    vectors: Vectors
    answers: list[str]
    weights: NDArray[np.int64]


def pairs(batches: Iterable[Batch], window: Window = NOTHING_AGES) -> Mapping[str, Pairs]:
    """The entries that have an answer and are not older than the window, by the key of their statistics: that
    is their named context, unless pairs age."""
    found: dict[str, list[Pairs]] = {}
    for batch in batches:
        columns = batch.columns
        for key, rows in _rows_by_key(columns, window).items():
            answers = [columns.answers[answer] for answer in columns.answer_of[rows].tolist()]
            found.setdefault(key, []).append(Pairs(batch.vectors[rows], answers, columns.copies[rows]))
    return {key: _joined(parts) for key, parts in found.items()}


def _rows_by_key(entries: Entries, window: Window) -> Mapping[str, list[int]]:
    taught = np.flatnonzero(entries.answer_of != NO_ANSWER)
    columns = (taught, entries.context_of[taught], entries.timestamps_ms[taught])
    rows: dict[str, list[int]] = {}
    for row, context, timestamp_ms in zip(*(column.tolist() for column in columns), strict=True):
        if key := window.key(entries.contexts[context], timestamp_ms):
            rows.setdefault(key, []).append(row)
    return rows


def _joined(parts: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([part.vectors for part in parts]),
        [answer for part in parts for answer in part.answers],
        np.concatenate([part.weights for part in parts]),
    )


def learn(
    statistics: dict[str, Statistics],
    batches: Iterable[Batch],
    features: KernelMap,
    window: Window = NOTHING_AGES,
    device: str = "cpu",
) -> Counter[str]:
    """Add the pairs of `batches` to the statistics that they belong to (eq. 3: G and C), but for those older
    than the window; returns the pairs per key."""
    counts: Counter[str] = Counter()
    for key, (vectors, answers, weights) in pairs(batches, window).items():
        if key not in statistics:
            statistics[key] = Statistics(features.size, device)
        statistics[key].add(features(vectors), answers, weights)
        counts[key] = len(answers)
    return counts


def unlearn(
    store: EntryStore,
    checkpoint: Checkpoint,
    batches: Sequence[Batch],
    features: KernelMap,
    window: Window = NOTHING_AGES,
) -> Iterator[Counter[str]]:
    """Take out of the statistics what the deletions among `batches` delete, a bounded piece at a time; gives
    the pairs per key of each piece.

    The checkpoint must hold all that came before them, and its watermarks cover them; what is older than the
    window is in none of its statistics. Those that are left without pairs are dropped. Until the last piece
    is done, or if this raises, the checkpoint is half done: it must not be saved, or must be loaded again.
    """
    taking = _Taking(store, checkpoint, features, window)
    taken: list[tuple[int, Deletion, _Taken]] = []
    for batch in batches:
        if batch.deletion:
            total = _Taken()
            for piece in taking.pieces(batch.partition, batch.deletion):
                total.entries += piece.entries
                total.pairs += piece.pairs
                yield piece.pairs
            taken.append((batch.partition, batch.deletion, total))
    digests = {key: (was, checkpoint.statistics[key].digest()) for key, was in taking.before.items()}
    for key in taking.before:
        if not checkpoint.statistics[key].count:
            del checkpoint.statistics[key]
    watermarks = {p: shard.watermark for p, shard in checkpoint.shards.items()}
    now_ms = int(time.time() * 1000)
    checkpoint.unlearned += [
        DeletionAudit(
            partition,
            replace(deletion, targets=deletion.targets[-MOST_TARGETS:]),
            now_ms,
            total.pairs.total(),
            {key: digests[key] for key in total.pairs},
            watermarks,
            total.entries,
        )
        for partition, deletion, total in taken
    ]


@dataclass(slots=True)
class _Taken:
    """Entries found in the store, and the pairs among them, by the key of their statistics."""

    entries: int = 0
    pairs: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Taking:
    """Deletions at work; `before` are the digests of the statistics that they touched, as they were."""

    store: EntryStore
    checkpoint: Checkpoint
    features: KernelMap
    window: Window
    before: dict[str, str] = field(default_factory=dict)

    def pieces(self, partition: int, deletion: Deletion) -> Iterator[_Taken]:
        """One deletion, part by part."""
        for targets in deleted_by(self.store, partition, deletion):
            yield self._take_out(partition, targets)

    def _take_out(self, partition: int, targets: Sequence[int]) -> _Taken:
        """What the store still holds of some targets, all at once: a subtraction costs as much for one row as
        for many."""
        held = list(self.store.stored_at(partition, targets))
        taken = _Taken(sum(len(batch.entries) for batch in held))
        for key, found in pairs(held, self.window).items():
            self._subtract(key, found)
            taken.pairs[key] += len(found.answers)
        return taken

    def _subtract(self, key: str, gone: Pairs) -> None:
        statistics = self.checkpoint.statistics.get(key)
        try:
            if statistics is None:
                raise ValueError(f"no statistics of {key!r}")
            self.before.setdefault(key, statistics.digest())
            statistics.subtract(self.features(gone.vectors), gone.answers, gone.weights)
        except ValueError as error:
            raise StoreError(
                f"the solver's checkpoint does not hold what is deleted ({error}): delete it, and the"
                " solver will learn again from the context"
            ) from error
