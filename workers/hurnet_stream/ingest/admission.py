"""Which contexts may have entries: a text may name any context, but their number is limited."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hurnet_stream.embedding import Rejection
from hurnet_stream.ingest.intake import Intake
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.ports import EntryStore

ADMITTED_S = 5.0
"""How long a name counts as admitted without asking the store again. A context may be dropped, and then its
place goes to another name."""


class Admission:
    """Admits context names in the order in which they come, at most `contexts_max` at a time."""

    def __init__(self, store: EntryStore, contexts_max: int, metrics: IngestMetrics) -> None:
        self._store = store
        self._contexts_max = contexts_max
        self._metrics = metrics
        self._admitted: frozenset[str] = frozenset()
        self._cleared_at = 0.0

    def admit(self, intakes: Sequence[Intake]) -> None:
        """Reject the entries whose context is not admitted."""
        names = {entry.context for intake in intakes for entry in intake.entries}
        self._ask(names)
        if names <= self._admitted:
            return
        for intake in intakes:
            refused = [row for row, e in enumerate(intake.entries) if e.context not in self._admitted]
            intake.reject(dict.fromkeys(refused, self._refusal()))

    def clear(self) -> None:
        """Ask the store anew about every name: it may be another store than before."""
        self._admitted, self._cleared_at = frozenset(), time.monotonic()

    def _ask(self, names: set[str]) -> None:
        if time.monotonic() - self._cleared_at > ADMITTED_S:
            self.clear()
        if names <= self._admitted:
            return
        admitted = self._store.admit(frozenset(names), self._contexts_max)
        # The store lists its contexts in several round trips. A producer that keeps sending refused names
        # changes nothing in that list, and costs the one round trip above in each turn.
        if not admitted <= self._admitted:
            self._metrics.contexts.set(len(self._store.contexts()))
        self._admitted |= admitted

    def _refusal(self) -> Rejection:
        return (
            "too-many-contexts",
            f"there are {self._contexts_max} contexts already (HURNET_INGEST_MAX_CONTEXTS):"
            " `hurnet contexts` lists them, and drops one",
        )
