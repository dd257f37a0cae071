"""Exactly one reply to each question: the promise, watched.

    ask q1      expected
    reply q1    the first
    reply q1    again: a duplicate, if it comes within a minute
    reply q2    unknown: somebody else's question

A question that was answered, or never was, is forgotten a minute later, so that what is held stays bounded.
"""

from __future__ import annotations

from typing import Final, Literal

REMEMBERED_S: Final = 60.0
"""For how long a second reply to a question is noticed."""


class OnceOnly:
    """The questions of the last minute, by correlation id. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._forget_at: dict[str, float] = {}  # in the order of these times, except for late replies
        self._replied: set[str] = set()

    def __len__(self) -> int:
        return len(self._forget_at)

    def expect(self, correlation: str, until: float) -> None:
        """A question was asked that is waited for until then."""
        self._forget_at[correlation] = until + REMEMBERED_S

    def replied(self, correlation: str, at: float) -> Literal["first", "again", "unknown"]:
        """A reply came."""
        if correlation not in self._forget_at:
            return "unknown"
        if correlation in self._replied:
            return "again"
        self._replied.add(correlation)
        del self._forget_at[correlation]
        self._forget_at[correlation] = at + REMEMBERED_S
        return "first"

    def forget(self, now: float) -> None:
        """Let go of what is over."""
        over = [correlation for correlation, at in self._forget_at.items() if at <= now]
        for correlation in over:
            del self._forget_at[correlation]
            self._replied.discard(correlation)
