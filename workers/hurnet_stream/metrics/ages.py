"""How old things are by their timestamps, as far as a timestamp can be believed: its clock is somebody
else's."""

from __future__ import annotations

AHEAD_S = 60.0
"""Clocks differ a little. What is further ahead than this has no age that could be told."""
DAY_S = 86_400.0


def age_s(timestamp_ms: int, now_s: float, oldest_s: float) -> float | None:
    """Seconds from the timestamp to `now_s` (seconds since the epoch), 0 if it is a little ahead; None if it
    is further ahead, or older than `oldest_s`."""
    seconds = now_s - timestamp_ms / 1000
    return max(0.0, seconds) if -AHEAD_S <= seconds <= oldest_s else None
