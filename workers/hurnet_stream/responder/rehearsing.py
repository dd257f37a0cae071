"""Learning from the context's own pairs between questions: rounds of rehearsal (core/rule/rehearsal.py).

    a context that is new, or has changed by a fiftieth  ──▶  a round  ──▶  its mix is published
    every responder, twice a second                      ──▶  takes what another has published

A round asks about a thousand pairs. It goes pair by pair while no query waits, and takes a small share of the
time: a quarter until the context has its first mix, and a twentieth afterwards. Several responders may be at
it together; the first one publishes, and the others take its mix and stop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog

from hurnet_stream.core.rule.rehearsal import ENOUGH, Rehearsal
from hurnet_stream.core.shelf import DamagedShelf
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import HurnetError, SliceFailing, Superseded, Unreadable
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.ports import EntryStore, PublishedMix, WeightsStore
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.one_context import LoadedContext

log = structlog.get_logger()

MIX_INTERVAL_S = 0.5
"""How often published versions are looked for."""
REST_AT_FIRST, REST = 3, 19
"""How many times longer than a step took no other is made: while a context has no mix, and later."""
BUSY_S = 1.0
"""While queries wait all the time, a step is made this often."""
CHANGED = 50
"""A round is worth while once the rows that came and went are this part of all."""


@dataclass(slots=True)
class _Round:
    """A rehearsal that is under way, and what the context was when it began."""

    context: str
    rehearsal: Rehearsal
    changes: int


class Rehearsing:
    """Gives `memory` the mix of each context, and learns new ones."""

    def __init__(
        self, mixes: WeightsStore, store: EntryStore, memory: LoadedContexts, metrics: HoldingMetrics
    ) -> None:
        self._mixes = mixes
        self._store = store
        self._memory = memory
        self._metrics = metrics
        self._looked_at = 0.0
        self._rest_until = 0.0
        self._incarnation = ""
        self._versions: Mapping[str, int] = {}
        self._in_force: dict[str, Mapping[int, int]] = {}  # by context: the watermarks of its mix
        self._rehearsed_at: dict[str, int] = {}  # by context: its changes when the last round began
        self._taken: dict[str, int] = {}  # by context: the rows that the publisher of a mix had
        self._published: dict[str, PublishedMix] = {}  # by context: the mix in force
        self._round: _Round | None = None

    def shown_by(self, metrics: HoldingMetrics) -> None:
        """From now on these metrics show it."""
        self._metrics = metrics
        for published in self._published.values():
            self._show(published)

    def refresh(self) -> None:
        """Take the mixes that were published since, and let go of those that were withdrawn."""
        now = time.monotonic()
        if now - self._looked_at < MIX_INTERVAL_S:
            return
        self._looked_at = now
        incarnation, versions = self._store.incarnation(), self._mixes.mix_versions()
        # A store that lost its last versions gives their numbers to others, so all are asked for again.
        lost_some = incarnation != self._incarnation
        for context in versions.keys() | self._versions.keys():
            if lost_some or versions.get(context) != self._versions.get(context):
                self._take(context)
        self._incarnation, self._versions = incarnation, versions

    def _take(self, context: str) -> None:
        try:
            published = self._mixes.mix(context)
        except Unreadable as error:
            log.error("mix refused: the last good one counts on", context=context, reason=str(error))
            self._in_force.setdefault(context, {})
            return
        if published is None:
            self._let_go(context)
            return
        self._in_force[context] = published.watermarks
        self._memory.use_mix(context, published.mix)
        self._published[context] = published
        self._show(published)
        self._taken[context] = published.rows
        if self._round and self._round.context == context:
            self._round = None

    def _show(self, published: PublishedMix) -> None:
        mix, since = published.mix, published.published_ms / 1000
        self._metrics.mix_in_force(published.context, mix.version, since, mix.right)

    def _let_go(self, context: str) -> None:
        """The mix was withdrawn. If it should not have been, the context is rehearsed again."""
        if self._in_force.pop(context, None) is None:
            return
        self._rehearsed_at.pop(context, None)
        self._published.pop(context, None)
        self._taken.pop(context, None)
        self._memory.use_mix(context, None)
        self._metrics.no_mix_in_force(context)

    def step(self, queries_wait: bool) -> None:
        """A short step of a round, if it is time for one."""
        now = time.monotonic()
        if self._memory.away or now < self._rest_until + (BUSY_S if queries_wait else 0.0):
            return
        try:
            at = self._round = self._round or self._next_round()
            if at is None:
                self._rest_until = now + MIX_INTERVAL_S
                return
            self._advance(at)
        except SliceFailing as error:
            log.info("a rehearsal waits for slices", reason=str(error))
            self._rest_until = now + BUSY_S
            return
        rest = REST if at.context in self._in_force else REST_AT_FIRST
        ended = time.monotonic()
        self._rest_until = ended + rest * (ended - now)

    def _next_round(self) -> _Round | None:
        """A round over the context that has changed most since its last one."""
        held = self._memory.rows()
        for gone in self._in_force.keys() - held.keys():  # nothing of a dropped context may stay
            self._withdraw(gone)
        best, most = "", (False, 1.0)
        for context, rows in held.items():
            share = self._changed(context, rows) * CHANGED / max(rows, 1)
            urgent = context not in self._in_force, share
            if rows >= ENOUGH and share >= 1 and urgent >= most:
                best, most = context, urgent
        if not best:
            return None
        rehearsal = self._memory.using(best, lambda loaded: Rehearsal(loaded.index, loaded.halves))
        return _Round(best, rehearsal, self._memory.changes(best))

    def _withdraw(self, context: str) -> None:
        """Unless entries that the mix was learned from may still be coming."""
        known = self._memory.watermarks()
        if any(known.get(shard, NOTHING) < offset for shard, offset in self._in_force[context].items()):
            return
        try:
            self._mixes.withdraw_mix(context, self._versions.get(context, 0) + 1)
        except Superseded as superseded:
            log.info("another responder changed the mix", reason=str(superseded))
        self._looked_at = 0.0

    def _changed(self, context: str, rows: int) -> int:
        """How many rows came and went since the last round over them, whoever made it."""
        changes, taken = self._memory.changes(context), self._taken.pop(context, None)
        # What the publisher saw is near what this memory holds: no reason for a round of our own.
        if taken is not None and abs(rows - taken) * CHANGED <= taken:
            self._rehearsed_at[context] = changes
        return changes - self._rehearsed_at.get(context, 0)

    def _advance(self, at: _Round) -> None:
        try:
            going_on = self._memory.using(at.context, partial(_stepped, at.rehearsal))
        except (HurnetError, DamagedShelf):
            raise
        except Exception:
            # One pair may be the cause, and it has been taken out of the round: the others go on.
            log.exception("rehearsing a pair failed: this is a bug, please report it", private=True)
            self._metrics.rehearsal_failures.inc()
            return
        if going_on:
            return
        if going_on is not None:
            self._publish(at)
        self._round = None

    def _publish(self, at: _Round) -> None:
        self._rehearsed_at[at.context] = at.changes
        mix = at.rehearsal.mix
        if mix is None:
            return
        mix = replace(mix, version=self._versions.get(at.context, 0) + 1)
        now_ms, watermarks = int(time.time() * 1000), self._memory.watermarks()
        published = PublishedMix(at.context, mix, self._rows(at.context), watermarks, now_ms)
        try:
            self._mixes.publish_mix(published)
        except Superseded as superseded:
            log.info("another responder published its mix", reason=str(superseded))
        self._looked_at = 0.0  # the next turn takes what is in force now

    def _rows(self, context: str) -> int:
        return self._memory.rows().get(context, 0)


def _stepped(rehearsal: Rehearsal, context: LoadedContext) -> bool | None:
    """Whether the round goes on after one more step; None if all of the context was deleted meanwhile."""
    return rehearsal.step(context.index, context.nearest) if len(context.index) else None
