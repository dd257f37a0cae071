"""Leading: one solver works, others stand by until its lease lapses.

A piece of work may take longer than the lease: a solve of thousands of dimensions, loading or saving a
large checkpoint. So while one is in hand a thread renews the lease, and tells whoever watches the loop that
it is at work. It does so for `patience` seconds at most since the work last got on: a solver that hangs loses
its lease, and then its process.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from hurnet.errors import HurnetError
from hurnet.ports import LeaseStore

log = structlog.get_logger()

BEAT_S = 5.0
"""Longest between two signs of life."""


class Leading:
    """One worker's claim to lead in its role."""

    def __init__(
        self,
        leases: LeaseStore,
        role: str,
        owner: str,
        lease: float,
        patience: float,
    ) -> None:
        self._leases = leases
        self._role = role
        self._owner = owner
        self._lease = lease
        self._patience = patience
        self.beat: Callable[[], None] = lambda: None
        self._renewed_at = -math.inf
        self._got_on_at = 0.0
        self.holder = owner
        """Who leads, as far as known."""

    def leads(self) -> bool:
        """Whether this worker is the one to work; renews the lease when a third of it is over."""
        now = time.monotonic()
        if self.holder == self._owner and now - self._renewed_at < self._lease / 3:
            return True
        holder = self._leases.acquire(self._role, self._owner, self._lease)
        if holder not in (self.holder, self._owner):
            log.warning("standing by: another worker leads", role=self._role, holder=holder)
        self.holder, self._renewed_at = holder, now
        return holder == self._owner

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within this the lease is kept, as long as the work gets on."""
        done = threading.Event()
        self.note_progress()
        keeper = threading.Thread(target=self._keep, args=[done], name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()  # lest it take the lease again after `release`

    def note_progress(self) -> None:
        """A part of the work is done: patience begins anew."""
        self._got_on_at = time.monotonic()

    def release(self) -> None:
        """Let the next one lead at once."""
        self._leases.release(self._role, self._owner)
        self._renewed_at = -math.inf

    def _keep(self, done: threading.Event) -> None:
        while not done.wait(min(self._lease / 3, BEAT_S)):
            if time.monotonic() - self._got_on_at > self._patience:
                log.error("a piece of work takes too long: the lease is no longer renewed", role=self._role)
                return
            self.beat()
            if not self._renewed():
                return

    def _renewed(self) -> bool:
        """False once another leads: then the next write will fail."""
        now = time.monotonic()
        try:
            holder = self._leases.acquire(self._role, self._owner, self._lease)
        except HurnetError as error:  # whoever is at work will meet it, too
            log.warning("the lease could not be renewed", role=self._role, error=str(error))
            return True
        if holder == self._owner:
            self._renewed_at = now
        return holder == self._owner
