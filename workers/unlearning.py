"""Pairs into statistics, and out of them again when their entries are deleted.

What the solver reads of the context is either still whole or already erased, so what it takes out must be
exactly what it has put in. That rests on one order: an entry is erased only once a saved checkpoint covers
its deletion. So a solver that comes to a deletion, from whatever checkpoint or from none, has folded in those
of its targets that the store still holds, and no others.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.core.context import Batch, Deletion, Vectors
from workers.errors import ContextError
from workers.ports import Checkpoint, ContextStore, Unlearned


class Pairs(NamedTuple):
    """Grid rows (n, d), their answers and their weights (n,)."""

    vectors: Vectors
    answers: list[str]
    weights: NDArray[np.int64]


def pairs(batches: Iterable[Batch]) -> Mapping[str, Pairs]:
    """The entries that have an answer, by named context."""
    found: dict[str, list[tuple[Vectors, str, int]]] = {}
    for batch in batches:
        for vector, entry in zip(batch.vectors, batch.entries, strict=True):
            if entry.answer is not None:
                found.setdefault(entry.context, []).append((vector, entry.answer, entry.weight))
    return {context: _together(mine) for context, mine in found.items()}


def _together(found: Sequence[tuple[Vectors, str, int]]) -> Pairs:
    vectors, answers, weights = zip(*found, strict=True)
    return Pairs(np.stack(vectors), list(answers), np.array(weights, np.int64))


Features = Callable[[Vectors], Vectors]
"""What the statistics are of, given grid rows (core/features.py)."""


def unlearn(
    store: ContextStore, checkpoint: Checkpoint, batches: Sequence[Batch], features: Features
) -> Counter[str]:
    """Take out of the statistics what the deletions among `batches` delete; returns the pairs per context.

    The checkpoint must hold all that came before them, and its watermarks cover them. A context that is left
    without pairs is dropped. When this raises, the checkpoint is half done and must be loaded again.
    """
    taking = _Taking(store, checkpoint, features)
    before = taking.before
    taken = [
        (
            batch.partition,
            batch.deletion,
            taking.take_out(batch.partition, batch.deletion),
        )
        for batch in batches
        if batch.deletion
    ]
    digests = {context: (was, checkpoint.statistics[context].digest()) for context, was in before.items()}
    for context in before:
        if not checkpoint.statistics[context].count:
            del checkpoint.statistics[context]
    watermarks = {p: shard.watermark for p, shard in checkpoint.shards.items()}
    now_ms = int(time.time() * 1000)
    checkpoint.unlearned += [
        Unlearned(p, deletion, now_ms, counts.total(), {c: digests[c] for c in counts}, watermarks)
        for p, deletion, counts in taken
    ]
    return sum((counts for _, _, counts in taken), Counter())


@dataclass(slots=True)
class _Taking:
    """Deletions at work; `before` is the digest of each context that they touched, as it was."""

    store: ContextStore
    checkpoint: Checkpoint
    features: Features
    before: dict[str, str] = field(default_factory=dict)

    def take_out(self, partition: int, deletion: Deletion) -> Counter[str]:
        """One deletion; returns the pairs per context."""
        counts: Counter[str] = Counter()
        for held in self.store.held(partition, deletion.targets):
            for context, found in pairs([held]).items():
                self._subtract(context, found)
                counts[context] += len(found.answers)
        return counts

    def _subtract(self, context: str, gone: Pairs) -> None:
        statistics = self.checkpoint.statistics.get(context)
        try:
            if statistics is None:
                raise ValueError(f"no statistics of context {context!r}")
            self.before.setdefault(context, statistics.digest())
            statistics.subtract(self.features(gone.vectors), gone.answers, gone.weights)
        except ValueError as error:
            raise ContextError(
                f"the solver's checkpoint does not hold what is deleted ({error}): delete it, and the"
                " solver will learn again from the context"
            ) from error
