"""The only loop: turn after turn of one worker, until told to stop.

SIGTERM or SIGINT: finish the turn in hand, drain, close, within `lifecycle.drain` seconds. A second one, or
the deadline, ends the process at once; nothing is lost by that, since every worker can be killed anywhere.
A worker whose store or Kafka turns out to be another than it began with is closed and built anew.
Transient errors are retried with backoff and jitter, and give up after `lifecycle.give_up` without a success.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Protocol

import structlog

from hurnet.errors import ForeignLog, HurnetError, KafkaFailing, RedisFailing, StoreReplaced, TransientError
from hurnet.metrics import Metrics
from hurnet.runtime.logs import last_words
from hurnet.runtime.trouble import Trouble
from hurnet.settings.settings import LifecycleSettings

log = structlog.get_logger()

FORCED = 130
"""Exit code of a forced end."""


class Worker(Protocol):
    """What the loop turns."""

    def step(self) -> None:
        """One bounded piece of work; may wait for input, but not longer than its poll time."""

    def unready(self) -> list[str]:
        """Why no traffic should count on this worker now; empty when it is ready."""

    def drain(self) -> None:
        """Finish what is in hand. Called once, after the last step."""

    def close(self) -> None:
        """Let go of connections; called in every case."""


class GaveUp(HurnetError):
    """Transient errors for too long."""


class Loop:
    """Builds one worker and turns it; what is transient in building is retried just so.

    `stop` may be called from any thread or signal handler, any number of times.
    """

    def __init__(self, build: Callable[[], Worker], settings: LifecycleSettings, metrics: Metrics) -> None:
        self._build = build
        self._worker: Worker | None = None
        self._settings = settings
        self._metrics = metrics
        self._stop = threading.Event()
        self._deadline: threading.Timer | None = None
        self._trouble = Trouble(metrics)
        self._built = False
        self._last_turn = time.monotonic()
        self.turns = 0
        """How many there were, failed ones and beats included."""

    def run(self) -> None:
        """Until stopped. Raises what the worker raises that is not transient, and `GaveUp`."""
        log.info("starting")
        try:
            while not self._stop.is_set():
                self._turn()
            log.info("draining", deadline_s=self._settings.drain)
            self._drain()
        finally:
            if self._worker:
                self._worker.close()
            if self._deadline:
                self._deadline.cancel()
        log.info("stopped")

    def stop(self) -> None:
        """End after the turn in hand; a timer forces the end when draining takes too long."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._deadline = threading.Timer(self._settings.drain, self._force, ["the drain deadline passed"])
        self._deadline.daemon = True
        self._deadline.start()

    def beat(self) -> None:
        """A long piece of work is in hand and gets on: as good as a turn for whoever watches this loop. From
        any thread."""
        self._last_turn = time.monotonic()
        self.turns += 1

    def seconds_since_turn(self) -> float:
        """For /livez: how long the turn in hand has been going on, since its last beat."""
        return time.monotonic() - self._last_turn

    def unready(self) -> list[str]:
        """For /readyz: why not to count on this worker now."""
        if told := self._trouble.told():
            return [told]
        return self._worker.unready() if self._worker else ["starting"]

    def install_signal_handlers(self) -> None:
        """SIGTERM and SIGINT stop; a second one forces. Only in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            self._force(f"second {signal.Signals(number).name}")
        self.stop()

    def _force(self, why: str) -> None:
        # No logger here: the main thread may hold its lock.
        os.write(2, last_words(f"forced end: {why}"))
        os._exit(FORCED)

    def _turn(self) -> None:
        try:
            if self._worker is None:
                self._worker = self._build()
                self._built = True
                log.info("started")
            self._worker.step()
        except TransientError as error:
            self._back_off(error)
        except (StoreReplaced, ForeignLog) as error:
            self._begin_anew(error)
        else:
            self._trouble.over()
        self._last_turn = time.monotonic()
        self.turns += 1
        self._metrics.turns.inc()

    def _drain(self) -> None:
        try:
            if self._worker:
                self._worker.drain()
        except (TransientError, StoreReplaced, ForeignLog) as error:
            log.warning("could not drain; the next start picks up what is left", error=str(error))

    def _begin_anew(self, error: HurnetError) -> None:
        """Servers that don't belong to what the worker holds answer now: it lets go of both, so that nothing
        more is answered, and is built anew. Where it never was they are not its own, and that is an error."""
        if not self._built:
            raise error
        if self._worker:  # else it was let go of before, and still finds the others
            log.error("what this worker holds is of no more use: it begins anew", error=str(error))
            self._close()
        failing = (KafkaFailing if isinstance(error, ForeignLog) else RedisFailing)(str(error))
        failing.__cause__ = error  # for the metric of errors
        self._back_off(failing)

    def _close(self) -> None:
        worker, self._worker = self._worker, None  # unready at once: closing may take a while
        try:
            if worker:
                worker.close()
        except HurnetError as error:
            log.warning("could not close cleanly", error=str(error))

    def _back_off(self, error: TransientError) -> None:
        failing = self._trouble.goes_on(error)
        if failing > self._settings.give_up:
            raise GaveUp(f"gave up after {failing:.0f} s of trying: {error}") from error
        doublings = min(self._trouble.failures - 1, 30)
        wait = min(self._settings.retry_most, self._settings.retry_first * 2**doublings)
        self._stop.wait(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
