"""The only loop: turn after turn of one worker, until it is told to stop.

    build ─▶ step ─▶ step ─▶ ... ─▶ stop ─▶ drain ─▶ close
               │
               ├─ TransientError              wait, longer each time, then step again; in the end give up
               ├─ StoreReplaced, ForeignLog, CredentialsRefused    close the worker, build it anew
               └─ any other exception         close the worker, end the process

SIGTERM and SIGINT let the turn in hand end, then the worker drains and closes, within `lifecycle.drain`
seconds in all. A second signal, or that deadline, ends the process at once. Nothing is lost by that: every
worker may be killed at any point.
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

from hurnet_stream.errors import (
    CredentialsRefused,
    ForeignLog,
    HurnetError,
    KafkaFailing,
    RedisFailing,
    StoreReplaced,
    TransientError,
)
from hurnet_stream.exit_codes import INTERRUPTED
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.runtime.logs import last_words
from hurnet_stream.runtime.trouble import Trouble
from hurnet_stream.settings.settings import LifecycleSettings

log = structlog.get_logger()

_REPLACED = "what this worker holds is of no more use: it begins anew"
_REFUSED = (
    "refused by a server that had let this worker in: a password or certificate was changed, or has expired."
    " Files are read again with each try; what is set in the environment takes a restart"
)


class Worker(Protocol):
    """What the loop runs."""

    @property
    def name(self) -> str:
        """Its role."""

    def step(self) -> None:
        """Do one bounded piece of work. It may wait for input, but no longer than its poll time."""

    def unready(self) -> list[str]:
        """Why nobody should count on this worker now; empty if it is ready."""

    def standing(self) -> str:
        """What it does while it is ready, in a few words: leading, standing by, reading."""

    def drain(self) -> None:
        """Finish what is in hand. Called once, after the last step."""

    def close(self) -> None:
        """Let go of connections. Called in every case."""


class GaveUp(HurnetError):
    """Nothing but transient errors for too long."""


class Loop:
    """Builds one worker and runs it. Transient errors in building are retried like those in a step.

    `stop` may be called from any thread or signal handler, any number of times.
    """

    def __init__(
        self, build: Callable[[], Worker], settings: LifecycleSettings, metrics: ProcessMetrics
    ) -> None:
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
        """How many turns there were, failed ones and beats included: what the watchdog watches."""
        self.started = False
        """For /startz: whether a first turn has ended, well or not. It loads the embedder and connects."""

    def run(self) -> None:
        """Run until stopped. Raises `GaveUp`, and whatever the worker raises that is not transient."""
        log.info("starting")
        try:
            while not self._stop.is_set():
                self._turn()
            log.info("draining", deadline_s=self._settings.drain)
            self._drain()
        finally:
            if self._worker:
                self._worker.close()  # while the deadline still runs: closing may hang, too
            if self._deadline:
                self._deadline.cancel()
        log.info("stopped")

    def stop(self) -> None:
        """End after the turn in hand. A timer forces the end if draining takes too long."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._deadline = threading.Timer(self._settings.drain, self._force, ["the drain deadline passed"])
        self._deadline.daemon = True  # it must not keep the process alive
        self._deadline.start()

    def beat(self) -> None:
        """A long piece of work is in hand, and gets on. That is as good as a turn for the watchdog and for
        /livez. May be called from any thread."""
        self._last_turn = time.monotonic()
        self.turns += 1

    def seconds_since_turn(self) -> float:
        """For /livez: how long the turn in hand takes by now, or how long ago its last beat was."""
        return time.monotonic() - self._last_turn

    def alive(self, stall_s: float) -> bool:
        """For /livez: whether the turn in hand takes no longer than it may. Building a worker loads models,
        which can't be interrupted for a beat: it may take as long as the settings say."""
        limit_s = stall_s if self._worker else max(stall_s, self._settings.start)
        return self.seconds_since_turn() < limit_s

    def unready(self) -> list[str]:
        """For /readyz: why not to count on this worker now."""
        if reason := self._trouble.reason():
            return [reason]
        return self._worker.unready() if self._worker else ["starting"]

    def standing(self) -> str:
        """For /readyz: the role of this worker, and what it does while it is ready."""
        worker = self._worker
        return f"{worker.name}, {worker.standing()}" if worker else "starting"

    def install_signal_handlers(self) -> None:
        """SIGTERM and SIGINT stop the loop, and a second one forces the end. Only in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            self._force(f"second {signal.Signals(number).name}")
        self.stop()

    def _force(self, why: str) -> None:
        # Not by the logger: this may be a signal handler, and the thread that it interrupts may hold its
        # lock.
        os.write(2, last_words(f"forced end: {why}"))
        os._exit(INTERRUPTED)

    def _turn(self) -> None:
        try:
            if self._worker is None:
                self._worker = self._build()
                self._built = True
                self._last_turn = time.monotonic()  # the first step has its own time
                log.info("started")
            self._worker.step()
        except TransientError as error:
            self._back_off(error)
        except (CredentialsRefused, StoreReplaced, ForeignLog) as error:
            self._begin_anew(error)
        else:
            self._trouble.over()
        self._last_turn = time.monotonic()
        self.turns += 1
        self.started = True
        self._metrics.turns.inc()

    def _drain(self) -> None:
        try:
            if self._worker:
                self._worker.drain()
        except (TransientError, CredentialsRefused, StoreReplaced, ForeignLog) as error:
            log.warning("could not drain; the next start picks up what is left", error=str(error))

    def _begin_anew(self, error: HurnetError) -> None:
        """The servers that answer now do not belong to what the worker holds in memory, or they refuse it. It
        is closed, so that nothing more is answered from that, and built anew: with files of secrets and
        certificates as they are by then."""
        if not self._built:
            raise error  # at the first start nothing was replaced: the settings are wrong
        refused = isinstance(error, CredentialsRefused)
        if self._worker:  # else it was closed in an earlier turn, and building it meets the same servers
            log.error(_REFUSED if refused else _REPLACED, error=str(error))
            self._close()
        dependency = error.dependency if isinstance(error, CredentialsRefused) else ""
        of_kafka = isinstance(error, ForeignLog) or dependency == "Kafka"
        failing = (KafkaFailing if of_kafka else RedisFailing)(str(error))
        failing.__cause__ = error  # which the metric of errors names
        self._back_off(failing)

    def _close(self) -> None:
        worker, self._worker = self._worker, None  # at once: `unready` must not ask a worker that is closing
        self._metrics.forget()
        try:
            if worker:
                worker.close()
        except HurnetError as error:
            log.warning("could not close cleanly", error=str(error))

    def _back_off(self, error: TransientError) -> None:
        failing_s = self._trouble.goes_on(error)
        if failing_s > self._settings.give_up:
            raise GaveUp(f"gave up after {failing_s:.0f} s of trying: {error}") from error
        doublings = min(self._trouble.failures - 1, 30)  # more of them would overflow a float in the end
        wait_s = min(self._settings.retry_most, self._settings.retry_first * 2**doublings)
        # At random, so that workers that lost the same server do not all come back at the same moment.
        self._stop.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
