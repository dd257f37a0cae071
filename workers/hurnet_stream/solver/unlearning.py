"""Deleted pairs out of the statistics, exactly as if they had never been in.

The solver must take out exactly what it has put in. It can, because of one order of events:

    1. the entry is stored                      the solver folds it in
    2. a record deletes it                      it stays in the store, marked
    3. the solver comes to the deletion         subtracts what the store still holds of the targets
    4. a checkpoint is saved that covers it     the saved statistics no longer hold it
    5. the store erases it                      at the word of the solver that goes on from that checkpoint

Whoever comes to the deletion, from whatever checkpoint or from none, has folded in those of its targets that
the store still holds, and no others. A solver before step 4 finds them in the store and subtracts them. One
after step 5 has neither. And a solver that learns anew erases nothing before its own first save: otherwise it
could fold an entry in, erase it on the word of its predecessor's checkpoint, and find nothing to subtract at
step 3.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.solve.window import NOTHING_AGES, Window
from hurnet_stream.core.stored.batch import MOST_TARGETS, Batch, Deletion
from hurnet_stream.errors import StoreError
from hurnet_stream.ports import Checkpoint, DeletionAudit, EntryStore, deleted_by
from hurnet_stream.solver.learning import Pairs, pairs


def unlearn(
    store: EntryStore,
    checkpoint: Checkpoint,
    batches: Sequence[Batch],
    kernel_map: KernelMap,
    window: Window = NOTHING_AGES,
) -> Iterator[Counter[str]]:
    """Take out of the statistics what the deletions among `batches` delete, a bounded portion at a time.

    Yields how many pairs each portion took out, by the key of their statistics. At the end, statistics
    without pairs are dropped, and each deletion's audit is in `checkpoint.unlearned`.

    The checkpoint must hold everything that came before the deletions, and its watermarks must cover them;
    none of its statistics hold what is older than the window. Until the last portion is done the checkpoint
    is half done: it must not be saved. If this raises, it must be loaded again. Raises `StoreError` if the
    statistics do not hold what is to be taken out.
    """
    subtraction = _Subtraction(store, checkpoint, kernel_map, window)
    # What texts take the place of comes first: it has no audit, and so costs no digests.
    for partition, targets in _replaced(store, batches):
        yield subtraction.take_out(partition, targets, audited=False).pairs
    totals: list[tuple[int, Deletion, _Taken]] = []
    for batch in batches:
        if batch.deletion and not batch.deletion.replaces:
            total = _Taken()
            for targets in deleted_by(store, batch.partition, batch.deletion):
                portion = subtraction.take_out(batch.partition, targets)
                total.entries += portion.entries
                total.pairs += portion.pairs
                yield portion.pairs
            totals.append((batch.partition, batch.deletion, total))
    digests = subtraction.digests()
    for key in subtraction.touched:
        # As if they had never been: no trace of a context whose last pair is gone may stay.
        if key in checkpoint.statistics and not checkpoint.statistics[key].count:
            del checkpoint.statistics[key]
    checkpoint.unlearned += _audits(checkpoint, totals, digests)


def _replaced(store: EntryStore, batches: Sequence[Batch]) -> Iterator[tuple[int, Sequence[int]]]:
    """What the batches replace, by shard and in bounded portions: those of neighbouring batches together,
    because each subtraction has a cost besides its rows."""
    by_shard: dict[int, list[int]] = {}
    for batch in batches:
        if batch.deletion and batch.deletion.replaces:
            parts = replace(batch.deletion, targets=(), by=())
            yield from ((batch.partition, part) for part in deleted_by(store, batch.partition, parts) if part)
            by_shard.setdefault(batch.partition, []).extend(batch.deletion.targets)
    for partition, targets in by_shard.items():
        targets.sort()
        for first in range(0, len(targets), MOST_TARGETS):
            yield partition, targets[first : first + MOST_TARGETS]


@dataclass(slots=True)
class _Taken:
    """How many entries were found in the store, and how many of them were pairs, by key of statistics."""

    entries: int = 0
    pairs: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Subtraction:
    """Deletions at work. `before` are the digests of the statistics that those with an audit touch, as they
    were; `touched` are the keys of all that any touches."""

    store: EntryStore
    checkpoint: Checkpoint
    kernel_map: KernelMap
    window: Window
    before: dict[str, str] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)

    def take_out(self, partition: int, targets: Sequence[int], audited: bool = True) -> _Taken:
        """Take out what the store still holds of the targets.

        All at once, because a subtraction costs as much for one row as for many.
        """
        stored = list(self.store.stored_at(partition, targets))
        taken = _Taken(sum(len(batch.entries) for batch in stored))
        for key, gone in pairs(stored, self.window).items():
            self._subtract(key, gone, audited)
            taken.pairs[key] += len(gone.answers)
        return taken

    def digests(self) -> dict[str, tuple[str, str]]:
        """The digest of each touched statistics before the deletions and now."""
        return {key: (was, self.checkpoint.statistics[key].digest()) for key, was in self.before.items()}

    def _subtract(self, key: str, gone: Pairs, audited: bool) -> None:
        statistics = self.checkpoint.statistics.get(key)
        try:
            if statistics is None:
                raise ValueError(f"no statistics of {key!r}")
            if audited and key not in self.before:
                self.before[key] = statistics.digest()
            self.touched.add(key)
            statistics.subtract(self.kernel_map(gone.vectors), gone.answers, gone.copies)
        except ValueError as error:
            raise StoreError(
                f"the solver's checkpoint does not hold what is deleted ({error}): delete it, and the"
                " solver will learn again from the store"
            ) from error


def _audits(
    checkpoint: Checkpoint,
    totals: Sequence[tuple[int, Deletion, _Taken]],
    digests: dict[str, tuple[str, str]],
) -> Iterator[DeletionAudit]:
    watermarks = {partition: shard.watermark for partition, shard in checkpoint.shards.items()}
    now_ms = int(time.time() * 1000)
    for partition, deletion, total in totals:
        yield DeletionAudit(
            partition,
            # A deletion of many targets keeps only its last part: an audit must stay small.
            replace(deletion, targets=deletion.targets[-MOST_TARGETS:]),
            now_ms,
            total.pairs.total(),
            {key: digests[key] for key in total.pairs},
            watermarks,
            total.entries,
        )
