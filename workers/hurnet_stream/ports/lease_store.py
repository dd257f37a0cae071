"""One worker of a role at a time."""

from __future__ import annotations

from typing import Protocol


class LeaseStore(Protocol):
    """Leases that expire, so that a second worker of the same role stands by instead of starting.

    This is politeness and not the guarantee: that rests on fencing and compare-and-set, because a worker
    may be stopped for longer than its lease and then go on.
    """

    def acquire(self, role: str, owner: str, ttl_s: float) -> str:
        """Take or renew the lease for `ttl_s`. Returns who holds it now, which is `owner` if that worked."""

    def release(self, role: str, owner: str) -> None:
        """Give the lease up if `owner` holds it."""
