"""Workers in threads of the test's process, for tests with many cases: a process takes seconds to start."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from hurnet_stream.adapters.redis import Bound
from hurnet_stream.metrics.roles import ROLES
from hurnet_stream.runtime.loop import Loop
from hurnet_stream.settings.settings import LifecycleSettings, Settings
from hurnet_stream.wiring.builders import BUILDERS
from tests.acceptance.system import wait_for

DEADLINE_S = 120.0
LOOP = LifecycleSettings(drain=60, retry_most=0.5)


@dataclass
class InThread:
    """A worker in a thread. `said` is all that an operator would see: log lines, the last one included."""

    role: str
    settings: Settings
    lines: list[str] = field(default_factory=list)
    error: BaseException | None = None

    def start(self) -> InThread:
        metrics = self.metrics = ROLES[self.role]()
        bound = Bound()
        self.loop = Loop(
            lambda: BUILDERS[self.role](self.settings, metrics, bound, self.loop.beat, None), LOOP, metrics
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self.loop.run()
        except Exception as error:  # what wiring/running.py logs at the end
            self.error = error

    @property
    def said(self) -> str:
        return "\n".join([*self.lines, str(self.error or "")])

    def stop(self) -> None:
        if self.thread.is_alive():  # a loop that has ended would let its deadline run, and end this process
            self.loop.stop()
        self.thread.join(DEADLINE_S)
        if deadline := self.loop._deadline:  # set after the loop's end, nobody else would cancel it
            deadline.cancel()
        assert not self.thread.is_alive(), "the worker does not stop"


def come_to(worker: InThread, done: Callable[[], Any], what: str) -> bool:
    """Waits until it is done, or the worker has ended by itself."""
    try:
        wait_for(lambda: worker.error or done(), DEADLINE_S)
    except AssertionError:
        raise AssertionError(f"not {what} within {DEADLINE_S} s; said: {worker.said}") from None
    return worker.error is None


@contextmanager
def logged_to(lines: list[str]) -> Iterator[None]:
    """Whatever is logged, by structlog or by the standard library, becomes a line."""

    def keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        lines.append(" ".join(map(str, event.values())))
        raise structlog.DropEvent

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    structlog.configure(processors=[keep])
    handler = Handler(logging.WARNING)
    logging.getLogger("hurnet_stream").addHandler(handler)
    yield
    logging.getLogger("hurnet_stream").removeHandler(handler)
    structlog.reset_defaults()
