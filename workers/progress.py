"""Readiness: has work been assigned, is the worker caught up, and does it move?

Kafka clients have been seen to stall silently (assigned, behind, no error, no records); a worker that is
behind and not moving is therefore unready, whatever its client says. A rebalance in passing is not.
"""

from __future__ import annotations

import time

from workers.settings import MetricsSettings


class Progress:
    """Told once a turn. A lack of assignment counts only after `stall` seconds: a rebalance is shorter."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._stall_s = settings.stall
        self._ready_lag = settings.ready_lag
        self._ever_assigned = False
        self._assigned_at = self._moved_at = time.monotonic()
        self._behind = 0

    def turn(self, assigned: bool, behind: int, moved: int) -> None:
        """One turn: whether anything is assigned, how many records or rows remain, how many were done."""
        now = time.monotonic()
        self._behind = behind
        if assigned:
            self._ever_assigned, self._assigned_at = True, now
        if moved or not behind:
            self._moved_at = now

    def unready(self) -> list[str]:
        """Why not to count on this worker; empty when it is ready."""
        now = time.monotonic()
        reasons = []
        if not self._ever_assigned or now - self._assigned_at > self._stall_s:
            reasons.append("nothing is assigned")
        if self._behind > self._ready_lag:
            reasons.append(f"{self._behind} behind")
        if now - self._moved_at > self._stall_s:
            reasons.append(f"{self._behind} behind and not moving for {now - self._moved_at:.0f} s")
        return reasons
