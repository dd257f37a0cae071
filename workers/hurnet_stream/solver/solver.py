"""The solver: exact statistics of every pair in the store, and from them, every few seconds, the weights.

One step, if this solver leads:

    follow the store     restarted, or another server? then take over anew         tenure.py
    fold in              what is new: pairs in, deleted ones out                    folding.py, learning.py
    save                 the checkpoint, if it is due
    solve                contexts that are due: solve, check, publish               unsolved.py, publishing.py
    erase                what the saved checkpoint no longer counts
    compact              what old deletions left behind in the store
    seal                 old rows leave Redis for files, if that is on

It needs the store alone. What it has folded in, and the offsets up to which it has, are saved in one atomic
step: a solver that is killed goes on as if nothing had been. One solver works at a time. Another one stands
by until the first one's lease expires, and takes over by a claim that fences the first (leading.py).
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from hurnet_stream.core.arrays import backend_of
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.errors import (
    ConfigurationError,
    RolledBack,
    SegmentsFailing,
    StoreReplaced,
    TransientError,
)
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.ports import EntryStore, LeaseStore, WeightsStore
from hurnet_stream.runtime.leading import Leading
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.settings import Settings
from hurnet_stream.solver import portions
from hurnet_stream.solver.folding import Folded, Folding
from hurnet_stream.solver.publishing import Publisher
from hurnet_stream.solver.showing import Showing
from hurnet_stream.solver.tenure import Tenure, take_over
from hurnet_stream.solver.unsolved import Unsolved

log = structlog.get_logger()

ROLE = "solver"
COMPACT_S = 5.0
"""How often it is looked whether there is something to compact."""
SEAL_S = 5.0
"""How often it is looked whether there are enough rows for a segment."""
ERASE_S = 5.0
"""How often it is looked whether there is something to erase, if nothing says so."""
FILES_AWAY_S = 30.0
"""How long nothing is erased or sealed after the files could not be reached."""
WAIT_S = 0.25
"""Longest wait for new rows, and time between two looks at the lease while standing by."""


class Solver:
    """The solver worker; see the module's text."""

    name = ROLE

    def __init__(
        self,
        store: EntryStore,
        weights: WeightsStore,
        leases: LeaseStore,
        settings: Settings,
        metrics: SolverMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._weights = weights
        self._settings = settings.solve
        self._kernel = settings.paper.features
        chosen = settings.segments
        much = Sealing(chosen.rows, chosen.keep_rows, chosen.keep_bytes)
        self._sealing = much if chosen.url else None
        try:
            backend_of(settings.solve.device)
        except ValueError as error:
            raise ConfigurationError(f"HURNET_SOLVE_DEVICE: {error}") from None
        self._metrics = metrics
        self._clock = clock
        self._progress = Progress(settings.metrics)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._leading = Leading(leases, ROLE, self._owner, self._settings.lease, self._settings.patience)
        metrics.leader.set_function(lambda: float(self._leading.holds))  # also while this one hangs
        weights.on_progress = self._leading.note_progress
        self._unsolved = Unsolved(self._settings.interval, self._settings.rows)
        self._folding = Folding(
            store, self._settings.device, self._unsolved, metrics, self._leading.note_progress
        )
        self._publisher = Publisher(weights, self._settings, metrics)
        self._tenure: Tenure | None = None
        self._incarnation = ""
        self._showing = Showing(store, metrics)
        self._unfilled: list[int] = []  # see Tenure.unfilled

    def watched_by(self, beat: Callable[[], None]) -> Solver:
        """Call `beat` now and then while a long portion of work is in hand and makes progress."""
        self._leading.beat = beat
        return self

    def step(self) -> None:
        if self._tenure is None and self._store.identity() is None:
            self._metrics.stand_by()
            time.sleep(WAIT_S)  # the store holds nothing yet: nobody takes a role in it
        elif self._leading.leads():
            with self._leading.at_work():
                self._work()
        else:
            self._tenure = None
            self._metrics.stand_by()
            time.sleep(WAIT_S)

    @property
    def settled(self) -> bool:
        """Whether there is nothing to solve, as far as is known."""
        return self._tenure is not None and not self._unsolved

    def standing(self) -> str:
        if self._leading.holder != self._owner:
            return f"standing by: {self._leading.holder} is the solver"
        return "leading"

    def unready(self) -> list[str]:
        if self._leading.holder != self._owner:
            return []  # it stands by, as it should: a roll-out may go on
        if self._tenure is None:
            return ["waiting for a store"]
        if self._unfilled:
            return [
                f"shards {self._unfilled} lost what weights in force know, and ingest has not refilled them"
            ]
        return self._progress.unready()

    def drain(self) -> None:
        """Save what is not saved yet, so that the next solver need not fold it in again."""
        tenure = self._tenure
        if tenure and tenure.unsaved() and not tenure.unlearning:
            with self._leading.at_work():
                self._save(tenure)
        self._leading.release()

    def close(self) -> None:
        self._store.close()

    def _work(self) -> None:
        self._follow_store()
        tenure = self._tenure = self._tenure or self._take_over()
        if tenure is None:
            time.sleep(WAIT_S)
            return
        try:
            done = self._fold_in(tenure)
        except (TransientError, StoreReplaced):
            self._tenure = None  # the checkpoint in memory is half folded in, the saved one is whole
            raise
        if done:
            try:
                self._house_keep(tenure)
            except RolledBack:
                self._tenure = None  # another may have erased what the checkpoint in memory still holds
                raise
        self._showing.turn(tenure)

    def _house_keep(self, tenure: Tenure) -> None:
        self._save_if_due(tenure)
        self._solve_if_due(tenure)
        self._erase_if_due(tenure)
        self._compact_if_due(tenure)
        self._seal_if_due(tenure)

    def _follow_store(self) -> None:
        """Drop the tenure if another server holds the store, or the same one was restarted.

        It may hold less than was acknowledged, the last checkpoint included. So this solver goes on from
        what there is, as one that has just started.
        """
        incarnation = self._store.incarnation()
        if incarnation != self._incarnation and self._tenure:
            log.warning("another server, or a restarted one, holds the store: taking over anew")
            self._tenure = None
        self._incarnation = incarnation

    def _take_over(self) -> Tenure | None:
        window = Window(self._settings.half_life_ms)
        tenure = take_over(self._store, self._weights, self._owner, self._kernel, window, self._clock())
        if tenure is None:
            return None
        contexts = tenure.contexts()
        if identity := self._store.identity():
            self._metrics.describe(embedder=identity.name, fingerprint=identity.fingerprint)
        # The weights in force may be older than the checkpoint, so every context is solved once.
        published_ms = self._weights.published_ms()
        self._unsolved.begin({*contexts, *published_ms}, published_ms)
        rows = sum(shard.rows for shard in tenure.checkpoint.shards.values())
        sums_by = Statistics(tenure.kernel_map.dimension, self._settings.device).path
        log.info("took over", rows=rows, contexts=len(contexts), sums_by=sums_by)
        return tenure

    def _fold_in(self, tenure: Tenure) -> bool:
        """False as long as deletions take more time than a step has."""
        if not self._folding.unlearn(tenure):
            # Nothing is read meanwhile, so nobody knows how far behind it is: at least it is, and it moves.
            self._progress.turn(has_share=True, behind=1, moved=1)
            return False
        for context in tenure.enter_pane(self._clock()):
            self._unsolved.note(context, 0)
        folded = self._folding.fold_in(tenure, 0.0 if self._due(tenure) else WAIT_S)
        self._observe(tenure, folded)
        return folded.done

    def _save_if_due(self, tenure: Tenure) -> None:
        unsaved_s = time.monotonic() - tenure.saved_at
        if (
            tenure.checkpoint.unlearned  # somebody may wait for a deletion, which is done once it is saved
            or tenure.rows_unsaved >= self._settings.checkpoint_rows
            or (unsaved_s >= self._settings.checkpoint_interval and tenure.unsaved())
        ):
            self._save(tenure)

    def _save(self, tenure: Tenure) -> None:
        with self._metrics.stage("save"), self._metrics.checkpoint_seconds.time():
            self._store.check_fences(self._owner)
            self._weights.save_checkpoint(tenure.checkpoint)
        self._leading.note_progress()  # the next portion of work has the whole patience again
        tenure.saved = tenure.positions()
        tenure.rows_unsaved = 0
        tenure.saved_at = time.monotonic()
        tenure.erasing = True

    def _solve_if_due(self, tenure: Tenure) -> None:
        """Solve the contexts that are due, one after the other, for STEP_S seconds; at least one of them."""
        until = time.monotonic() + portions.STEP_S
        while context := self._due(tenure):
            with self._metrics.stage("solve"):
                self._publisher.publish(tenure.checkpoint, context, tenure.kernel_map)
            self._unsolved.solved(context)
            self._leading.note_progress()
            if time.monotonic() >= until:
                return

    def _due(self, tenure: Tenure) -> str | None:
        """The next context to be solved now."""
        return None if tenure.short_of_goal() else self._unsolved.due()

    def _erase_if_due(self, tenure: Tenure) -> None:
        """Let the store erase a bounded part of what the saved checkpoint no longer counts."""
        if tenure.erasing or (self._sealing and time.monotonic() >= tenure.erase_at):
            stamp = tenure.checkpoint.stamp
            with self._metrics.stage("erase"), self._files(tenure):
                tenure.erasing = self._store.erase(portions.READ_BATCHES, self._owner, stamp) > 0
                tenure.erase_at = time.monotonic() + ERASE_S
            self._showing.erased()

    def _compact_if_due(self, tenure: Tenure) -> None:
        """Let the store compact a bounded part of what old deletions left behind, once all is erased."""
        if tenure.erasing or time.monotonic() < tenure.compact_at:
            return
        stamp, keep_s = tenure.checkpoint.stamp, self._settings.keep_deletions
        with self._metrics.stage("compact"):
            if not self._store.compact(portions.COMPACT_STEPS, self._owner, stamp, keep_s):
                self._weights.trim_audit(self._settings.audits)
                tenure.compact_at = time.monotonic() + COMPACT_S

    def _seal_if_due(self, tenure: Tenure) -> None:
        """Let the store put rows into one file, if there are enough."""
        if self._sealing is None or tenure.erasing or time.monotonic() < tenure.seal_at:
            return
        with self._metrics.stage("seal"), self._files(tenure):
            if not self._store.seal(self._sealing, self._owner, tenure.checkpoint.stamp):
                tenure.seal_at = time.monotonic() + SEAL_S
                self._metrics.set_by_shard(self._metrics.sealed_rows, self._store.sealed())

    @contextmanager
    def _files(self, tenure: Tenure) -> Iterator[None]:
        """Around what may need files of sealed rows. If these can't be reached, all else goes on."""
        try:
            yield
        except SegmentsFailing as error:
            log.warning("can't reach the files of sealed rows", error=str(error))
            self._metrics.segment_failures.inc()
            tenure.erasing = False
            tenure.erase_at = tenure.seal_at = time.monotonic() + FILES_AWAY_S

    def _observe(self, tenure: Tenure, folded: Folded) -> None:
        self._unfilled = tenure.unfilled(folded.states)
        behind = self._showing.folded(tenure, folded.states)
        self._progress.turn(has_share=True, behind=behind, moved=folded.batches)
