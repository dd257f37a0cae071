"""From statistics to weights in force.

    statistics --combined--> one sum per context --solve--> P --gate--> version n + 1 in force
        none left: withdraw                  fails, or the gate refuses: version n stays in force

One context that can't be solved does not stop the others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import structlog

from hurnet_stream.core.native import threads_max
from hurnet_stream.core.paper.gcv import solve_with
from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.solve.weights import Weights, digest_of, gate
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.errors import Unreadable
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.ports import Checkpoint, PublishedWeights, WeightsStore
from hurnet_stream.settings.settings import SolveSettings

log = structlog.get_logger()

FAILURES = ArithmeticError, ValueError, np.linalg.LinAlgError, RuntimeError, MemoryError
"""What numpy, LAPACK or torch raise when they can't solve a context."""


class Publisher:
    """Solves contexts and puts their weights in force."""

    def __init__(self, weights: WeightsStore, settings: SolveSettings, metrics: SolverMetrics) -> None:
        self._weights = weights
        self._settings = settings
        self._metrics = metrics

    def publish(self, checkpoint: Checkpoint, context: str, kernel_map: KernelMap) -> None:
        """Solve a context and publish its weights; withdraw those in force if it has no pairs left.

        If the solve fails or the gate refuses its result, the weights in force stay. Raises what the weights
        store raises.
        """
        try:
            self._solve_and_publish(checkpoint, context, kernel_map)
        except FAILURES as error:
            self._refuse(context, [f"{type(error).__name__}: {error}"])

    def _solve_and_publish(self, checkpoint: Checkpoint, context: str, kernel_map: KernelMap) -> None:
        started, window = time.perf_counter(), Window(self._settings.half_life_ms, checkpoint.pane)
        weights = solved(window, checkpoint.statistics, context, self._settings)
        if weights is None:
            self._withdraw(context)
            return
        seconds = time.perf_counter() - started
        self._metrics.solve_seconds.observe(seconds)
        # Before `in_force`: the gate needs the count of rows in the units in which it was solved.
        if reasons := gate(weights):
            self._refuse(context, reasons)
            return
        weights = window.in_force(weights)
        certificate = replace(
            weights.certificate,
            seconds=seconds,
            features=kernel_map.identity,
            digest=digest_of(weights.projection),
            threads=threads_max(),
        )
        self._put_in_force(checkpoint, context, replace(weights, certificate=certificate))

    def _withdraw(self, context: str) -> None:
        try:
            withdrawn = self._weights.weights(context) is None
        except Unreadable:
            withdrawn = False  # something is in force, though nobody can read it
        if not withdrawn:
            self._weights.withdraw(context, self._next_version(context))
            log.info("weights withdrawn: no pairs are left", context=context)
        self._metrics.no_weights_in_force(context)

    def _refuse(self, context: str, reasons: list[str]) -> None:
        self._metrics.weights_refused.labels(self._metrics.counted_as(context)).inc()
        log.error("weights refused; the old ones stay in force", context=context, reasons=reasons)

    def _next_version(self, context: str) -> int:
        # Asked anew each time, because a publication whose reply was lost may be in.
        return self._weights.versions().get(context, 0) + 1

    def _put_in_force(self, checkpoint: Checkpoint, context: str, weights: Weights) -> None:
        version = self._next_version(context)
        watermarks = {p: shard.watermark for p, shard in checkpoint.shards.items()}
        self._weights.publish(
            PublishedWeights(context, version, weights, watermarks, published_ms=int(time.time() * 1000))
        )
        certificate = weights.certificate
        self._metrics.weights_in_force(context, version, time.time(), certificate.as_dict())
        log.info(
            "weights published",
            context=context,
            version=version,
            pairs=round(certificate.count, 2),
            answers=certificate.answers,
            ridge=certificate.ridge,
            condition=round(certificate.condition, 1),
            residual=round(certificate.residual, 4),
            seconds=round(certificate.seconds, 3),
        )


def solved(
    window: Window, statistics: Mapping[str, Statistics], context: str, settings: SolveSettings
) -> Weights | None:
    """The weights of a context in units of the window (`Window.unit`); None if there are no pairs."""
    combined = window.combined(statistics, context)
    if combined is None:
        return None
    # Where pairs age, their counts are multiplied by the unit, and the ridge must keep its share.
    ridge = settings.ridge if settings.ridge == "gcv" else settings.ridge * window.unit
    return solve_with(combined, ridge, settings.device)
