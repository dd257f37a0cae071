"""Leading: one solver works, and the others stand by until its lease expires.

One portion of work may take longer than the lease: a solve of thousands of dimensions, or loading and saving
a large checkpoint. So while the solver works, a thread renews the lease and tells the watchdog that it is
alive:

    solver     |-- step ------- solve (longer than the lease) ------- progress --|
    thread       renew   renew   renew   renew   renew   renew   renew
                                                 ^ after `patience_s` without progress it stops

So a solver that hangs loses its lease, and then the watchdog ends its process.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from hurnet_stream.errors import HurnetError
from hurnet_stream.ports import LeaseStore

log = structlog.get_logger()

BEAT_S = 5.0
"""Longest time between two signs of life."""


class Leading:
    """One worker's claim to lead in its role."""

    def __init__(
        self,
        leases: LeaseStore,
        role: str,
        owner: str,
        lease_s: float,
        patience_s: float,
    ) -> None:
        self._leases = leases
        self._role = role
        self._owner = owner
        self._lease_s = lease_s
        self._patience_s = patience_s
        self.beat: Callable[[], None] = lambda: None
        self._renewed_at = -math.inf  # monotonic seconds, as the next
        self._progress_at = 0.0
        self.holder = owner
        """Who leads, as far as known."""

    def leads(self) -> bool:
        """Whether this worker is the one to work. Renews the lease if a third of it is over."""
        now = time.monotonic()
        if self.holder == self._owner and now - self._renewed_at < self._lease_s / 3:
            return True
        holder = self._leases.acquire(self._role, self._owner, self._lease_s)
        if holder not in (self.holder, self._owner):  # said once for each holder, not at every look
            log.warning("standing by: another worker leads", role=self._role, holder=holder)
        self.holder, self._renewed_at = holder, now
        return holder == self._owner

    @property
    def holds(self) -> bool:
        """Whether the lease is this worker's now. May be asked from any thread."""
        return self.holder == self._owner and time.monotonic() - self._renewed_at < self._lease_s

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within this the lease is renewed, as long as `note_progress` is called often enough."""
        done = threading.Event()
        self.note_progress()
        keeper = threading.Thread(target=self._keep, args=[done], name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            # Wait for the thread: otherwise it might take the lease again after `release`.
            keeper.join()

    def note_progress(self) -> None:
        """A portion of the work is done: patience begins anew."""
        self._progress_at = time.monotonic()

    def release(self) -> None:
        """Let another worker lead at once."""
        self._leases.release(self._role, self._owner)
        self._renewed_at = -math.inf

    def _keep(self, done: threading.Event) -> None:
        while not done.wait(min(self._lease_s / 3, BEAT_S)):
            if time.monotonic() - self._progress_at > self._patience_s:
                log.error("a piece of work takes too long: the lease is no longer renewed", role=self._role)
                return
            self.beat()
            if not self._renewed():
                return  # another one leads: nothing is left to keep

    def _renewed(self) -> bool:
        """False once another worker leads: then the solver's next write will fail."""
        now = time.monotonic()
        try:
            holder = self._leases.acquire(self._role, self._owner, self._lease_s)
        except HurnetError as error:  # the solver's own thread will meet it too, and handle it
            log.warning("the lease could not be renewed", role=self._role, error=str(error))
            return True
        if holder == self._owner:
            self._renewed_at = now
        return holder == self._owner
