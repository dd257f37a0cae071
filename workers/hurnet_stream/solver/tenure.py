"""What a solver has in hand from the moment it takes the role over until it loses it or takes over anew.

Nothing in a tenure outlives it. So a solver that must begin anew (it lost its lease, the store was restarted,
a reply was lost in the middle of a subtraction) drops the tenure, and takes over as one that has just
started.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import structlog

from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.places import TEXTS, number_of
from hurnet_stream.core.solve import window as windows
from hurnet_stream.core.solve.window import Window, context_of
from hurnet_stream.core.stored.batch import NOTHING, ShardState
from hurnet_stream.core.stored.compaction import Horizon
from hurnet_stream.errors import StoreError, TransientError
from hurnet_stream.ports import Checkpoint, EntryStore, Tail, WeightsStore

log = structlog.get_logger()


@dataclass(slots=True)
class Tenure:
    """The state of one tenure."""

    checkpoint: Checkpoint
    kernel_map: KernelMap
    window: Window
    goal: Mapping[int, int]
    """Watermarks per shard up to which all must be folded in before anything is solved."""
    erasing: bool
    """Whether the store may still hold what the saved checkpoint no longer counts."""
    unfolded: Tail | None = None
    """What was read and is not folded in yet."""
    unlearning: Iterator[Counter[str]] | None = None
    """Deletions that are being taken out. While there are some, the checkpoint is half done."""
    horizon: Horizon = field(default_factory=Horizon)
    saved_at: float = field(default_factory=time.monotonic)
    saved: Mapping[int, int] = field(init=False)
    """Up to which offset the saved checkpoint holds each shard."""
    rows_unsaved: int = 0
    compact_at: float = 0.0
    """When compaction is looked at next, monotonic seconds."""
    erase_at: float = 0.0
    seal_at: float = 0.0
    """The same of erasing where nothing says that it is due, and of sealing."""

    def __post_init__(self) -> None:
        self.saved = self.positions()

    def unsaved(self) -> bool:
        """Whether the saved checkpoint lacks something, be it only records that hold no text: whoever
        compares it with the store must not see a solver that stays behind."""
        return bool(self.checkpoint.unlearned) or self.positions() != self.saved

    def contexts(self) -> set[str]:
        """The contexts that have statistics."""
        return set(map(context_of, self.checkpoint.statistics))

    def positions(self) -> dict[int, int]:
        """Up to which offset each shard is folded in."""
        return {partition: shard.watermark for partition, shard in self.checkpoint.shards.items()}

    def short_of_goal(self) -> bool:
        """Whether something is not folded in that was there at the take-over, or that the weights in force
        were learned from.

        Until then nothing is solved: weights must not be followed by others that have learned less.
        """
        folded = self.positions()
        return any(folded.get(partition, NOTHING) < watermark for partition, watermark in self.goal.items())

    def unfilled(self, states: Mapping[int, ShardState]) -> list[int]:
        """Shards that still hold less than the weights in force were learned from. Ingest refills them."""
        stored = {partition: state.watermark for partition, state in states.items()}
        return [p for p, watermark in sorted(self.goal.items()) if stored.get(p, NOTHING) < watermark]

    def enter_pane(self, clock_s: float) -> set[str]:
        """Move the window to the pane of `clock_s`, and drop what has expired then.

        Returns the contexts that must be solved anew: all of them if the pane is a new one, as every pair
        counts half as much then; none if it is the same, or the clock went back by a pane. Raises
        `TransientError` if it went back by more: pairs that were dropped here would count again, and the
        saved checkpoint may still hold them.
        """
        pane = self.window.pane(clock_s)
        if pane < self.window.now - 1:
            raise TransientError("the clock has gone back by more than a half-life")
        if pane <= self.window.now:
            return set()
        # Listed before the drop, so that a context left without pairs is returned too and loses its weights.
        contexts = self.contexts()
        self.window = replace(self.window, now=pane)
        self.checkpoint.pane = pane
        for key in self.window.expired(self.checkpoint.statistics):
            del self.checkpoint.statistics[key]
        return contexts


def take_over(
    store: EntryStore, weights: WeightsStore, owner: str, kernel: str, window: Window, clock_s: float
) -> Tenure | None:
    """Fence earlier solvers and load what they left. None if the store holds nothing yet.

    `kernel` is the setting HURNET_PAPER_FEATURES; `window` says whether pairs age. Raises `StoreError` if
    the checkpoint belongs to another store than the shards beside it.
    """
    identity = store.identity()
    if identity is None:
        return None
    store.open(identity, writing=True)
    # Asked for its side effect: from here on this process accepts a store of this Kafka cluster only.
    store.log()
    weights.claim(owner)
    gone = store.fence(owner)  # before the checkpoint is loaded, so that nobody else erases from here on
    kernel_map = KernelMap(kernel, identity.dimension)
    checkpoint = _load(weights, kernel_map, window, clock_s)
    states = store.states()
    if lost := {*_erased_beyond(checkpoint, gone), *_told_otherwise(checkpoint, states)}:
        log.warning(
            "checkpoint and store fell back to different moments: learning again from the whole store",
            shards=sorted(lost),
        )
        checkpoint = Checkpoint(features=checkpoint.features)
    _check_epochs(checkpoint, states)
    goal = dict(weights.known_by_weights())
    for partition, state in states.items():
        goal[partition] = max(state.watermark, goal.get(partition, NOTHING))
    return Tenure(
        checkpoint,
        kernel_map,
        replace(window, now=checkpoint.pane),
        goal,
        # A solver before this one may have been stopped between a save and its erasures. Without a stamp the
        # statistics begin anew, and nothing may be erased before their own first save (unlearning.py).
        erasing=bool(checkpoint.stamp),
    )


def _load(weights: WeightsStore, kernel_map: KernelMap, window: Window, clock_s: float) -> Checkpoint:
    learned_from = windows.identity(kernel_map.identity, window.half_life_ms)
    checkpoint = weights.load_checkpoint(kernel_map.size, learned_from)
    if checkpoint.features != learned_from:
        change = {"were": checkpoint.features, "are": learned_from}
        log.warning("features have changed: learning again from the whole store", **change)
        checkpoint.features = learned_from
    if checkpoint.pane > window.pane(clock_s) + 1:
        log.warning("the clock was ahead, and too much has expired: learning again from the whole store")
        return Checkpoint(features=learned_from)
    return checkpoint


def _erased_beyond(checkpoint: Checkpoint, gone: Mapping[int, int]) -> list[int]:
    """The shards of which something was erased, or compacted away, that the statistics may still hold: by
    deletions beyond the checkpoint. `gone` is what `EntryStore.fence` returns.

    A shard of which the checkpoint knows nothing is read from its beginning, so nothing of it is in them."""
    shards = checkpoint.shards.items()
    return [partition for partition, shard in shards if shard.watermark < gone.get(partition, NOTHING)]


def _told_otherwise(checkpoint: Checkpoint, states: Mapping[int, ShardState]) -> list[int]:
    """The shards that end before the checkpoint, and may go on otherwise than it has seen.

    Of texts every entry and every deletion is a record, so a shard that is filled again is what it was. Of
    another topic entries leave by age without a record, at another position each time."""
    shards = checkpoint.shards.items()
    return [
        partition
        for partition, shard in shards
        if number_of(partition) != TEXTS and states.get(partition, ShardState()).watermark < shard.watermark
    ]


def _check_epochs(checkpoint: Checkpoint, states: Mapping[int, ShardState]) -> None:
    shards = checkpoint.shards.items()
    if any(partition in states and states[partition].epoch != shard.epoch for partition, shard in shards):
        raise StoreError(
            "what the solver has stored is of another store than the shards beside it: restore the"
            " store from a backup, or set HURNET_REDIS_PREFIX to a new name for all workers, and a"
            " store is filled from Kafka beside this one, which stays as it is"
        )
