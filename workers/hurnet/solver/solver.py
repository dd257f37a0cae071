"""Solver: exact statistics of every pair in the context, and from them, now and again, the weights.

It needs the store alone. What it has folded in and the offsets up to which it has are checkpointed in one
step, so that a killed solver goes on as if nothing had been. One solver works at a time: a second stands by
until the first one's lease lapses, and takes over by a claim that fences the first.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import structlog

from hurnet.core.device import float64_device
from hurnet.core.paper.kernel_features import KernelMap
from hurnet.core.solve import window as ageing
from hurnet.core.solve.weights import NO_FEATURES
from hurnet.core.solve.window import Window, context_of
from hurnet.core.statistics.statistics import Statistics
from hurnet.core.stored.batch import NOTHING, ShardState
from hurnet.errors import ConfigurationError, StoreError, TransientError
from hurnet.metrics import Metrics
from hurnet.ports import Checkpoint, EntryStore, LeaseStore, Tail, WeightsStore
from hurnet.runtime.progress import Progress
from hurnet.settings.settings import Settings
from hurnet.solver.leading import Leading
from hurnet.solver.learning import learn, unlearn
from hurnet.solver.portions import in_turn, split
from hurnet.solver.publishing import Publisher
from hurnet.solver.unsolved import Unsolved

log = structlog.get_logger()

ROLE = "solver"
READ_BATCHES = 64
"""Batches per shard and step, fewer with features: bounds a step's time and memory."""
TURN_S = 0.5
"""For which a step goes on with new pairs, with deletions and with solves, each; one piece of them may take
longer than that: then the lease is kept meanwhile."""
PART_ROWS = 4096
"""Folded in at once, fewer with features."""
WAIT_S = 0.25
"""Longest wait for new rows, and between looks at the lease while standing by."""


class Solver:
    """The solver worker; see the module's text."""

    name = ROLE

    def __init__(
        self,
        store: EntryStore,
        weights: WeightsStore,
        leases: LeaseStore,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._weights = weights
        self._settings = settings.solve
        self._kernel = settings.paper.features
        try:
            float64_device(settings.solve.device)
        except ValueError as error:
            raise ConfigurationError(f"HURNET_SOLVE_DEVICE: {error}") from None
        self._metrics = metrics
        self._progress = Progress(settings.metrics)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        timing = self._settings.lease, self._settings.patience
        self._leading = Leading(leases, ROLE, self._owner, *timing)
        weights.on_progress = self._leading.note_progress
        self._checkpoint: Checkpoint | None = None
        self._features = KernelMap(NO_FEATURES, 1)
        self._clock = clock
        self._window = Window(self._settings.half_life_ms)
        self._publisher = Publisher(weights, self._settings, metrics)
        self._there: dict[int, int] = {}
        self._unfilled: list[int] = []
        self._incarnation = ""
        self._rest: Tail | None = None
        self._unsolved = Unsolved(self._settings.interval, self._settings.rows)
        self._checkpointed_at = time.monotonic()
        self._rows_since_checkpoint = 0
        self._erasing = False
        self._unlearning: Iterator[Counter[str]] | None = None

    def watched_by(self, beat: Callable[[], None]) -> Solver:
        """Call `beat` now and then while a long piece of work is in hand and gets on."""
        self._leading.beat = beat
        return self

    def step(self) -> None:
        """If this solver leads: fold in what is new, then checkpoint, solve and erase where that is due."""
        if self._checkpoint is None and self._store.identity() is None:
            time.sleep(WAIT_S)  # no role is taken in a store that holds no context
        elif self._leading.leads():
            with self._leading.at_work():
                self._work()
        else:
            self._checkpoint = None
            time.sleep(WAIT_S)

    def _work(self) -> None:
        self._follow_store()
        checkpoint = self._checkpoint or self._take_over()
        if checkpoint is None:
            time.sleep(WAIT_S)
            return
        try:
            if not (self._unlearn() and self._fold_in(checkpoint)):
                return
        except TransientError:
            self._checkpoint = None  # half folded in; the saved one is whole
            raise
        self._checkpoint_if_due(checkpoint)
        self._solve_if_due(checkpoint)
        self._erase_if_due(checkpoint)

    def _fold_in(self, checkpoint: Checkpoint) -> bool:
        """What is new in the context, for as long as a step may take; the rest is kept for the next. False
        while deletions in it take longer than that."""
        self._turn(checkpoint)
        tail, until = self._rest or self._tail(checkpoint), time.monotonic() + TURN_S
        batches, done = tail.batches, True
        while batches and done:
            part, batches = split(batches, self._part_rows())
            self._fold(checkpoint, Tail(part, tail.states))
            done = self._unlearn()
            self._leading.note_progress()
            if time.monotonic() >= until:
                break
        self._rest = Tail(batches, tail.states) if batches else None
        self._observe(checkpoint, tail.states, len(tail.batches) - len(batches))
        return done

    def _tail(self, checkpoint: Checkpoint) -> Tail:
        """The next batches, those of all shards in turn."""
        positions = {p: shard.watermark for p, shard in checkpoint.shards.items()}
        wait_s = 0.0 if self._due(checkpoint) else WAIT_S
        tail = self._store.tail(positions, self._batches(), block_s=wait_s)
        return Tail(in_turn(tail.batches), tail.states)

    def unready(self) -> list[str]:
        if self._leading.holder != self._owner:
            return [f"standing by: {self._leading.holder} is the solver"]
        if self._checkpoint is None:
            return ["waiting for a context"]
        if self._unfilled:
            return [
                f"shards {self._unfilled} lost what weights in force know, and ingest has not refilled them"
            ]
        return self._progress.unready()

    def drain(self) -> None:
        """Leave nothing to fold in again."""
        new = self._checkpoint and (self._rows_since_checkpoint or self._checkpoint.unlearned)
        if self._checkpoint and new and not self._unlearning:
            with self._leading.at_work():
                self._save(self._checkpoint)
        self._leading.release()

    def close(self) -> None:
        self._store.close()

    def _follow_store(self) -> None:
        """A store that was restarted, or that a replica took over from, may hold less than it acknowledged,
        the last checkpoint included: this solver goes on from what there is, as one that starts."""
        incarnation = self._store.incarnation()
        if incarnation != self._incarnation and self._checkpoint:
            log.warning("another server, or a restarted one, holds the context: taking over anew")
            self._checkpoint = None
        self._incarnation = incarnation

    def _take_over(self) -> Checkpoint | None:
        """Fence earlier solvers and load what they left; None while there is no context yet."""
        identity = self._store.identity()
        if identity is None:
            return None
        self._store.open(identity, writing=True)
        self._store.log()  # from here on, only a context of the same Kafka is this process's
        self._weights.claim(self._owner)
        features = KernelMap(self._kernel, identity.dimension)
        learned = ageing.identity(features.identity, self._settings.half_life_ms)
        checkpoint = self._weights.load_checkpoint(features.size, learned)
        if checkpoint.features != learned:
            change = {"were": checkpoint.features, "are": learned}
            log.warning("features have changed: learning again from the whole context", **change)
            checkpoint.features = learned
        if checkpoint.pane > self._window.pane(self._clock()) + 1:
            log.warning("the clock was ahead, and forgot too much: learning again from the whole context")
            checkpoint = Checkpoint(features=learned)
        self._window = Window(self._settings.half_life_ms, checkpoint.pane)
        states = self._store.states()
        if any(p in states and states[p].epoch != s.epoch for p, s in checkpoint.shards.items()):
            raise StoreError(
                "what the solver has stored is of another context than the shards beside it: restore the"
                " store from a backup, or set HURNET_REDIS_PREFIX to a new name for all workers, and a"
                " context is filled from Kafka beside this one, which stays as it is"
            )
        self._features = features
        self._unlearning = self._rest = None
        self._there = dict(self._weights.known_by_weights())
        for p, state in states.items():
            self._there[p] = max(state.watermark, self._there.get(p, NOTHING))
        contexts = {context_of(key) for key in checkpoint.statistics}
        # The weights in force may be older than the checkpoint: every context is solved once.
        published = self._weights.published_ms()
        self._unsolved.begin({*contexts, *published}, published)
        self._checkpointed_at = time.monotonic()
        self._rows_since_checkpoint = 0
        self._erasing = bool(checkpoint.stamp)  # an earlier solver of this lineage may have left some
        self._checkpoint = checkpoint
        rows = sum(shard.rows for shard in checkpoint.shards.values())
        sums_by = Statistics(identity.dimension, self._settings.device).path
        log.info("took over", rows=rows, contexts=len(contexts), sums_by=sums_by)
        return checkpoint

    def _turn(self, checkpoint: Checkpoint) -> None:
        """When the clock has entered another pane: forget what is older than the window, and solve anew, as
        everything weighs half as much. A clock that goes back by a pane at most changes nothing."""
        pane = self._window.pane(self._clock())
        if pane < self._window.now - 1:
            self._checkpoint = None
            raise TransientError("the clock has gone back by more than a half-life")
        if pane <= self._window.now:
            return
        self._window = replace(self._window, now=pane)
        checkpoint.pane = pane
        for context in set(map(context_of, checkpoint.statistics)):
            self._unsolved.note(context, 0)
        for key in self._window.forgotten(checkpoint.statistics):
            del checkpoint.statistics[key]

    def _batches(self) -> int:
        """So many per step that it takes no longer for features: the work on a row is as their square."""
        return max(1, int(READ_BATCHES * min(1.0, self._features.dimension / self._features.size) ** 2))

    def _part_rows(self) -> int:
        return int(PART_ROWS * min(1.0, self._features.dimension / self._features.size) ** 2)

    def _fold(self, checkpoint: Checkpoint, tail: Tail) -> None:
        """New pairs into the statistics, and deleted ones out of them."""
        how = self._features, self._window
        for key, count in learn(checkpoint.statistics, tail.batches, *how, self._settings.device).items():
            self._unsolved.note(context_of(key), count)
        for batch in tail.batches:
            rows = checkpoint.shards.get(batch.partition, ShardState()).rows + batch.rows
            epoch = tail.states[batch.partition].epoch
            checkpoint.shards[batch.partition] = ShardState(batch.watermark, rows, epoch)
            self._rows_since_checkpoint += batch.rows
        self._unlearning = unlearn(self._store, checkpoint, tail.batches, *how)

    def _unlearn(self) -> bool:
        """Go on with the deletions that were read, for as long as a step may take; True once all is done.
        Until then the checkpoint is half done: it is neither saved nor solved."""
        until = time.monotonic() + TURN_S
        for counts in self._unlearning or ():
            for key, count in counts.items():
                self._unsolved.note(context_of(key), count)
                self._metrics.unlearned.labels(context_of(key)).inc(count)
            self._leading.note_progress()
            if time.monotonic() >= until:
                self._progress.turn(assigned=True, behind=1, moved=1)
                return False
        self._unlearning = None
        return True

    def _checkpoint_if_due(self, checkpoint: Checkpoint) -> None:
        waited = time.monotonic() - self._checkpointed_at
        many = self._rows_since_checkpoint >= self._settings.checkpoint_rows
        if (
            many
            or checkpoint.unlearned
            or (self._rows_since_checkpoint and waited >= self._settings.checkpoint_interval)
        ):
            self._save(checkpoint)

    def _save(self, checkpoint: Checkpoint) -> None:
        with self._metrics.checkpoint_seconds.time():
            self._weights.save_checkpoint(checkpoint)
        self._leading.note_progress()
        self._rows_since_checkpoint = 0
        self._checkpointed_at = time.monotonic()
        self._erasing = True

    def _erase_if_due(self, checkpoint: Checkpoint) -> None:
        """Of what the saved checkpoint no longer counts, let the store erase a part."""
        if self._erasing:
            self._erasing = self._store.erase(READ_BATCHES, self._owner, checkpoint.stamp) > 0
            self._metrics.set_by_partition(self._metrics.pending_rows, self._store.pending_erasures())

    def _solve_if_due(self, checkpoint: Checkpoint) -> None:
        """Contexts whose turn it is, one after the other, for as long as a step may take; at least one."""
        until = time.monotonic() + TURN_S
        while context := self._due(checkpoint):
            self._publisher.publish(checkpoint, context, self._features)
            self._unsolved.solved(context)
            self._leading.note_progress()
            if time.monotonic() >= until:
                return

    def _due(self, checkpoint: Checkpoint) -> str | None:
        """The next context to be solved."""
        return None if self._behind(checkpoint) else self._unsolved.due()

    def _behind(self, checkpoint: Checkpoint) -> bool:
        """Whether not all is folded in that was there at take-over or that weights in force know: none may
        follow them that know less."""
        return any(
            checkpoint.shards.get(p, ShardState()).watermark < watermark
            for p, watermark in self._there.items()
        )

    def _observe(self, checkpoint: Checkpoint, states: Mapping[int, ShardState], moved: int) -> None:
        rows = {p: shard.rows for p, shard in checkpoint.shards.items()}
        lag = {p: max(0, state.rows - rows.get(p, 0)) for p, state in states.items()}
        held = {p: state.watermark for p, state in states.items()}
        self._unfilled = [p for p, known in sorted(self._there.items()) if held.get(p, NOTHING) < known]
        self._metrics.set_by_partition(self._metrics.lag_rows, lag)
        counts: Counter[str] = Counter()
        for key, statistics in checkpoint.statistics.items():
            counts[context_of(key)] += statistics.count
        self._metrics.set_context_rows(counts)
        self._progress.turn(assigned=True, behind=sum(lag.values()), moved=moved)
