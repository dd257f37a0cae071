"""Many small requests in one transaction: while one is under way, what comes meanwhile waits for the next.

    request A, 1 text     ─┐                ┌─ transaction 1: A              7 ms
    request B, 1,000 texts ├─▶ queue ─▶ one thread
    request C, 1 text     ─┘                └─ transaction 2: B and C        23 ms

A request lies wholly in one transaction, so its records are written together or not at all. The queue is
bounded in requests, bytes and time: what finds no room, or waits too long, fails and was not written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from hurnet_stream.errors import HurnetError, Undeliverable
from hurnet_stream.ports import AtomicSink, Outgoing

log = structlog.get_logger()

Places = Sequence[tuple[int, int]]
"""The (partition, offset) of each message."""

REQUESTS_MOST: Final = 2_000
BYTES_MOST: Final = 64 << 20
WAIT_S: Final = 5.0
"""The longest that a request waits for its transaction to begin."""
RECORDS_TOGETHER: Final = 2_000
BYTES_TOGETHER: Final = 8 << 20
"""What one transaction takes, unless a single request is larger."""
RETRY_S: Final = 1.0
"""How long after a failure to connect the next one is tried."""
RECORD_BYTES: Final = 100
"""What a record takes beside its key and value."""


class NotWritten(HurnetError):
    """Nothing was written, and nothing will be: there was no room, or no Kafka."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request in the queue. `under` is the name it must be written under, None if any will do."""

    messages: Sequence[Outgoing]
    under: str | None
    size: int
    since: float = field(default_factory=time.monotonic)
    future: Future[Places] = field(default_factory=Future)

    def fail(self, error: Exception) -> None:
        with suppress(InvalidStateError):  # it may be cancelled at any moment, by another thread
            self.future.set_exception(error)


class GroupCommit:
    """Writes by one sink. Safe for any number of threads."""

    def __init__(self, sink: AtomicSink) -> None:
        self._sink = sink
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._trouble: str | None = "not connected to Kafka yet"
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The name that the sink writes under. Raises `NotWritten` while it can't write."""
        name = self._sink.name
        if self._trouble or not name:
            raise NotWritten(f"nothing can be written at the moment: {self._trouble or 'connecting'}")
        return name

    def trouble(self) -> str | None:
        """Why nothing can be written at the moment; None if something can."""
        return self._trouble

    def submit(self, messages: Sequence[Outgoing], under: str | None = None) -> Future[Places]:
        """Have the messages written together.

        The future, or this call, fails with `NotWritten`, with `Undeliverable` if a message or topic is
        refused (and nothing was written), or with another `HurnetError`: then nobody knows. Nothing is
        written if `under` is not the sink's name when the turn comes, or if the future was cancelled by then.
        """
        waiting = _Waiting(messages, under, _size(messages))
        with self._changed:
            if self._closing or self._trouble:
                raise NotWritten(self._trouble or "the gateway is stopping")
            full = len(self._queue) >= REQUESTS_MOST or self._bytes + waiting.size > BYTES_MOST
            if full and self._queue:
                raise NotWritten(f"{len(self._queue):,} requests wait to be written already")
            self._queue.append(waiting)
            self._bytes += waiting.size
            self._changed.notify_all()
        return waiting.future

    def close(self) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(2 * WAIT_S)
        self._sink.close()

    def _run(self) -> None:
        while True:
            ready = self._begin()
            with self._changed:
                if self._closing and (not self._queue or not ready):
                    break
                if not ready or not self._queue:
                    self._changed.wait(RETRY_S)
            if ready and (group := self._next_group()):
                self._write(group)
        self._refuse(NotWritten("the gateway is stopping"))

    def _begin(self) -> bool:
        """Whether the sink can write."""
        try:
            self._sink.begin()
        except Exception as error:  # whatever it is: this thread goes on, and tells those who wait
            if not isinstance(error, HurnetError):
                log.exception("can't write")
            elif self._trouble != str(error):
                log.warning("can't write", error=str(error))
            self._trouble = str(error)
            self._refuse(NotWritten(f"nothing can be written at the moment: {error}"))
            return False
        self._trouble = None
        return True

    def _refuse(self, error: NotWritten) -> None:
        with self._changed:
            waiting, self._queue, self._bytes = list(self._queue), deque(), 0
        for each in waiting:
            each.fail(error)

    def _next_group(self) -> list[_Waiting]:
        """The first requests of the queue that fit into one transaction, and can still be written."""
        group: list[_Waiting] = []
        records = size = 0
        with self._changed:
            while self._queue:
                first = self._queue[0]
                records, size = records + len(first.messages), size + first.size
                if group and (records > RECORDS_TOGETHER or size > BYTES_TOGETHER):
                    break
                self._bytes -= self._queue.popleft().size
                if self._may_begin(first):
                    group.append(first)
        return group

    def _may_begin(self, waiting: _Waiting) -> bool:
        if not waiting.future.set_running_or_notify_cancel():
            return False
        if time.monotonic() - waiting.since > WAIT_S:
            waiting.fail(NotWritten(f"it waited for more than {WAIT_S:g} s"))
            return False
        return True

    def _write(self, group: Sequence[_Waiting]) -> None:
        """Write them in one transaction. If some are refused for what they are, write the others without."""
        groups = [group]
        while groups:
            if ready := self._ready(groups.pop()):
                groups += self._attempt(ready)

    def _ready(self, group: Sequence[_Waiting]) -> list[_Waiting]:
        """Those that may be written under the name that the sink has now."""
        try:
            self._sink.begin()
        except Exception as error:  # whatever it is: `_begin` meets it again, and logs it
            for waiting in group:
                waiting.fail(NotWritten(str(error)))
            return []
        name = self._sink.name
        for waiting in group:
            if waiting.under not in (None, name):
                waiting.fail(NotWritten("the connection to Kafka was made anew meanwhile"))
        return [waiting for waiting in group if not waiting.future.done()]

    def _attempt(self, group: Sequence[_Waiting]) -> Sequence[Sequence[_Waiting]]:
        """Write them in one transaction. If some are refused: in which groups to try the others."""
        messages = [message for waiting in group for message in waiting.messages]
        try:
            places = list(self._sink.write(messages, self._sink.name))
        except Undeliverable as error:
            return _apart(group, error)
        except Exception as error:  # whatever it is: this thread goes on, and tells those who wait
            if not isinstance(error, HurnetError):
                log.exception("writing failed: this is a bug, please report it")
            if not self._sink.name:  # until it is ready again, nobody need wait for it
                self._trouble = str(error)
            for waiting in group:
                waiting.fail(error)
            return ()
        for waiting in group:
            count = len(waiting.messages)
            waiting.future.set_result(places[:count])
            del places[:count]
        return ()


def _apart(group: Sequence[_Waiting], error: Undeliverable) -> list[list[_Waiting]]:
    """Tells those that are certainly refused; returns the suspects each alone, and behind them all others
    together."""
    suspects = _requests_of(error, group)
    others = [waiting for waiting in group if waiting not in suspects]
    if error.topics or len(suspects) == 1:
        for waiting in suspects:
            waiting.fail(error)
        return [others]
    return [*([waiting] for waiting in suspects), others]


def _requests_of(error: Undeliverable, group: Sequence[_Waiting]) -> list[_Waiting]:
    """Whose messages are the suspects: all, if none are named."""
    suspects: list[_Waiting] = []
    first = 0
    for waiting in group:
        if error.suspects & set(range(first, first + len(waiting.messages))):
            suspects.append(waiting)
        first += len(waiting.messages)
    return suspects or list(group)


def _size(messages: Sequence[Outgoing]) -> int:
    return sum(len(m.value or b"") + len(m.key or b"") + RECORD_BYTES for m in messages)
