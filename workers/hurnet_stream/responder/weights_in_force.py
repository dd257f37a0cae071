"""Which weights answer: the newest that the solver has published for each context and that can be used.

Weights that can't be read, or that do not fit what is in memory, are refused once, and the last good ones go
on serving. Versions ascend, so one look at all of them tells what is new."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from hurnet_stream.errors import Unreadable
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.ports import EntryStore, OnProgress, PublishedWeights, WeightsStore
from hurnet_stream.responder.loaded_contexts import LoadedContexts

log = structlog.get_logger()

WEIGHTS_INTERVAL_S = 0.5
"""How often new versions are looked for."""


class WeightsInForce:
    """Gives `memory` the weights of each context."""

    def __init__(
        self, weights: WeightsStore, store: EntryStore, memory: LoadedContexts, metrics: HoldingMetrics
    ) -> None:
        self._weights = weights
        self._store = store
        self._memory = memory
        self._metrics = metrics
        self._looked_at = 0.0
        self._incarnation = ""
        self._unused: dict[str, int] = {}
        """By context, the version that was last asked for. If it is not in force, it was refused or
        withdrawn, and is not asked for again."""
        self._versions_unread = False
        self.on_progress: OnProgress = lambda: None
        """Called after each context whose weights were taken: there may be thousands."""

    def shown_by(self, metrics: HoldingMetrics) -> None:
        """From now on these metrics show it."""
        self._metrics = metrics
        for context in self._unused:
            if published := self._memory.weights(context):
                self._show(published)

    def refresh(self) -> None:
        """Take new weights, if there are any."""
        now = time.monotonic()
        if now - self._looked_at < WEIGHTS_INTERVAL_S:
            return
        self._looked_at = now
        incarnation = self._store.incarnation()
        # A store that lost its last versions gives their numbers to others, so all are asked for again.
        lost_some = incarnation != self._incarnation
        for context, version in self._versions().items():
            in_force = self._memory.weights(context)
            known = in_force.version if in_force else None
            if lost_some or version not in (known, self._unused.get(context)):
                self._use(context, version)
                self.on_progress()
        self._incarnation = incarnation

    def _versions(self) -> Mapping[str, int]:
        """The published version of each context; none if they can't be read: those in force go on serving."""
        try:
            versions = self._weights.versions()
        except Unreadable as error:
            if not self._versions_unread:  # once, not twice a second
                log.error("the versions of the weights are not readable", reason=str(error))
            self._versions_unread = True
            return {}
        self._versions_unread = False
        return versions

    def _use(self, context: str, version: int) -> None:
        self._unused[context] = version
        try:
            published = self._weights.weights(context)
            self._memory.use(context, published)
        except Unreadable as error:
            self._refuse(context, version, str(error))
            return
        except ValueError as error:
            settings = "are HURNET_PAPER_FEATURES and HURNET_SOLVE_HALF_LIFE the same for the solver?"
            self._refuse(context, version, f"{error}: {settings}")
            return
        if published is None:  # withdrawn
            self._metrics.no_weights_in_force(context)
            return
        self._show(published)

    def _show(self, published: PublishedWeights) -> None:
        certificate, since = published.weights.certificate.as_dict(), published.published_ms / 1000
        self._metrics.weights_in_force(published.context, published.version, since, certificate)

    def _refuse(self, context: str, version: int, reason: str) -> None:
        self._metrics.weights_refused.labels(self._metrics.counted_as(context)).inc()
        log.error("weights refused", context=context, version=version, reason=reason)
