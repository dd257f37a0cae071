"""From statistics to weights in force: solve, pass the gate, and publish, or withdraw."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import structlog

from hurnet.core.paper.kernel_features import KernelMap
from hurnet.core.solve.solve import solve
from hurnet.core.solve.weights import Weights, gate
from hurnet.core.solve.window import Window
from hurnet.core.statistics.statistics import Statistics
from hurnet.errors import Unreadable
from hurnet.metrics import Metrics
from hurnet.ports import Checkpoint, PublishedWeights, WeightsStore
from hurnet.settings.settings import SolveSettings

log = structlog.get_logger()

FAILURES = ArithmeticError, ValueError, np.linalg.LinAlgError, RuntimeError, MemoryError
"""Of one context's solve, by numpy, LAPACK or torch: its old weights stay, and the solver goes on."""


class Publisher:
    """The solver's way to the responders."""

    def __init__(self, weights: WeightsStore, settings: SolveSettings, metrics: Metrics) -> None:
        self._weights = weights
        self._settings = settings
        self._metrics = metrics

    def publish(self, checkpoint: Checkpoint, context: str, features: KernelMap) -> None:
        """Solve a context. What fails, or the gate refuses, leaves the old weights in force; without any pair
        left there are none."""
        try:
            self._try(checkpoint, context, features)
        except FAILURES as error:
            self._refuse(context, [f"{type(error).__name__}: {error}"])

    def _try(self, checkpoint: Checkpoint, context: str, features: KernelMap) -> None:
        started, window = time.perf_counter(), Window(self._settings.half_life_ms, checkpoint.pane)
        weights = self._solved(window, checkpoint.statistics, context)
        if weights is None:
            self._withdraw(context)
            return
        seconds = time.perf_counter() - started
        self._metrics.solve_seconds.observe(seconds)
        if reasons := gate(weights):
            self._refuse(context, reasons)
            return
        weights = window.in_force(weights)
        figures = replace(weights.certificate, seconds=seconds, features=features.identity)
        self._publish(checkpoint, context, replace(weights, certificate=figures))

    def _solved(self, window: Window, statistics: Mapping[str, Statistics], context: str) -> Weights | None:
        """In the units of the window; None without any pairs."""
        settings, combined = self._settings, window.combined(statistics, context)
        if combined is None:
            return None
        ridge = settings.ridge if settings.ridge == "gcv" else settings.ridge * window.unit
        return solve(combined, ridge, settings.device)

    def _withdraw(self, context: str) -> None:
        try:
            withdrawn = self._weights.weights(context) is None
        except Unreadable:
            withdrawn = False
        if not withdrawn:
            self._weights.withdraw(context, self._weights.versions().get(context, 0) + 1)
            log.info("weights withdrawn: no pairs are left", context=context)
        self._metrics.no_weights_in_force(context)

    def _refuse(self, context: str, reasons: list[str]) -> None:
        self._metrics.weights_refused.labels(context).inc()
        log.error("weights refused; the old ones stay in force", context=context, reasons=reasons)

    def _publish(self, checkpoint: Checkpoint, context: str, weights: Weights) -> None:
        # Asked anew each time: a publication whose reply was lost may be in.
        version = self._weights.versions().get(context, 0) + 1
        watermarks = {p: shard.watermark for p, shard in checkpoint.shards.items()}
        self._weights.publish(
            PublishedWeights(context, version, weights, watermarks, published_ms=int(time.time() * 1000))
        )
        self._metrics.weights_in_force(context, version, time.time(), weights.certificate.as_dict())
        c = weights.certificate
        log.info(
            "weights published",
            context=context,
            version=version,
            pairs=round(c.count, 2),
            answers=c.answers,
            ridge=c.ridge,
            condition=round(c.condition, 1),
            residual=round(c.residual, 4),
            seconds=round(c.seconds, 3),
        )
