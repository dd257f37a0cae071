"""What every role measures: its loop, its readiness, what it was built of, and its process."""

from __future__ import annotations

from typing import ClassVar

from prometheus_client import ProcessCollector

from hurnet_stream.metrics.registry import Registry
from hurnet_stream.metrics.stages import Stages

BUILD = ("role", "version", "embedder", "fingerprint", "searched_by")
TURN = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class ProcessMetrics(Registry):
    """The metrics of a worker, whatever it does. `PHASES` are those of its turns."""

    PHASES: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        ProcessCollector(registry=self.registry)  # CPU seconds, resident bytes, open files: on Linux
        self.turns = self._counter("loop_turns", "Turns of the worker's loop.")
        self.turn_seconds = self._histogram(
            "turn_seconds",
            "Seconds of each phase of a turn. Phases do not overlap. A poll, and a solver's tail, count the "
            "wait for something new.",
            TURN,
            ("phase",),
        )
        self.stage = Stages(self.turn_seconds, self.PHASES)
        self.transient_errors = self._counter(
            "transient_errors",
            "Turns that failed because of something that should pass, and were tried again.",
            "dependency",
            "kind",
        )
        self.ready = self._gauge("ready", "1 while /readyz says yes, otherwise 0.")
        self._build_info = self._gauge(
            "build_info",
            "Always 1. The labels say what runs: the role, its version, the embedder and its fingerprint, "
            "and by what a responder searches (kernels, libraries, or a device). A label without a value "
            "does not concern the role, or is not known yet.",
            *BUILD,
        )
        self._build = dict.fromkeys(BUILD, "")

    def describe(self, **parts: str) -> None:
        """Say what this process is built of: some of the labels in `BUILD`."""
        if parts.items() <= self._build.items():
            return
        self._build |= parts
        self._build_info.clear()
        self._build_info.labels(**self._build).set(1)
