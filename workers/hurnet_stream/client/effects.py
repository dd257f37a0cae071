"""What corrections have taught, told to all who wait for it: one reader for as many as there are.

    a correction ──▶ feedback/0/3 ──▶ the feedback worker ──▶ texts/0/57, header feedback=feedback/0/3
                     of("feedback/0/3"): a future         ◀── the reader sees it: watermark 0=57

The reader begins before the feedback is sent, so that nothing passes by, and reads the one partition that all
corrections go to. It ends if nobody has wanted it for a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from hurnet_schemas.feedback import SOURCE
from hurnet_stream.errors import HurnetError
from hurnet_stream.ports import Listener, Record

_log = logging.getLogger(__name__)

POLL_S: Final = 0.25
IDLE_S: Final = 60.0
REMEMBERED: Final = 10_000
"""So many effects are remembered: one may be seen before anybody asks for it."""

Watermarks = Mapping[int, int]


class Effects:
    """Follows corrections. Safe for any number of threads."""

    def __init__(self, listen: Callable[[], Listener]) -> None:
        """`listen` makes a reader of the partition of `texts` that corrections go to."""
        self._listen = listen
        self._opening = threading.Lock()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wanted_until = 0.0
        self._seen: OrderedDict[str, dict[int, int]] = OrderedDict()
        self._waiting: dict[str, list[Future[Watermarks]]] = {}

    def begin(self) -> None:
        """From its return on no effect is missed for a minute. Blocks while the reader is made."""
        with self._opening:
            with self._lock:
                self._wanted_until = time.monotonic() + IDLE_S
                if self._thread is not None:
                    return
            thread = threading.Thread(target=self._read, args=(self._listen(),), name="effects", daemon=True)
            with self._lock:
                self._thread = thread
            thread.start()

    def of(self, source: str) -> Future[Watermarks]:
        """The watermarks of what the feedback at these coordinates has taught. It may be cancelled; it fails
        if the reader does."""
        future: Future[Watermarks] = Future()
        with self._lock:
            if source in self._seen:
                future.set_result(self._seen[source])
                return future
            self._waiting.setdefault(source, []).append(future)
        future.add_done_callback(partial(self._forget, source))
        return future

    def seen(self, source: str) -> Watermarks | None:
        """The same, if it is known already."""
        with self._lock:
            return self._seen.get(source)

    def close(self) -> None:
        """End the reader at its next turn."""
        with self._lock:
            self._wanted_until = 0.0
            thread = self._thread
        if thread is not None:
            thread.join(4 * POLL_S)

    def _read(self, listener: Listener) -> None:
        try:
            while self._goes_on():
                self._told(listener.poll(POLL_S))
        except Exception as error:  # whatever it is: nobody waits in vain, and the next one begins anew
            _log.warning("can't see what corrections teach: %s", error)
            self._fail(HurnetError(f"what it taught can't be seen at the moment: {error}"))
        finally:
            listener.close()

    def _goes_on(self) -> bool:
        """Whether somebody wants the reader. If not, it ends, and `begin` makes another one."""
        with self._lock:
            if self._waiting or time.monotonic() < self._wanted_until:
                return True
            self._thread = None
            return False

    def _told(self, records: Sequence[Record]) -> None:
        effects = effects_of(records)
        with self._lock:
            told = [(self._waiting.pop(source, []), marks) for source, marks in effects.items()]
            self._seen.update(effects)
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        for waiting, watermarks in told:
            for future in waiting:
                if future.set_running_or_notify_cancel():
                    future.set_result(watermarks)

    def _fail(self, error: HurnetError) -> None:
        with self._lock:
            self._thread = None
            waiting, self._waiting = self._waiting, {}
        for future in (future for of_source in waiting.values() for future in of_source):
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _forget(self, source: str, future: Future[Watermarks]) -> None:
        with self._lock:
            left = [each for each in self._waiting.get(source, ()) if each is not future]
            if left:
                self._waiting[source] = left
            else:
                self._waiting.pop(source, None)


def effects_of(records: Sequence[Record]) -> dict[str, dict[int, int]]:
    """By source the highest offset in each partition of the records that it has made. They become visible
    together, because they were written in one transaction."""
    effects: dict[str, dict[int, int]] = {}
    for record in records:
        if source := record.header(SOURCE):
            marks = effects.setdefault(source.decode(errors="replace"), {})
            marks[record.partition] = max(record.offset, marks.get(record.partition, -1))
    return effects
