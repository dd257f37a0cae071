"""When a slice takes entries in, and when it holds still.

A question takes a coordinator several rounds, and all of them must see the same entries. So a slice takes
nothing in while conversations are open. That must not last for ever, neither because a coordinator was killed
in the middle, nor because there is always another conversation:

    0 ms      conversation a opens                    it holds still
    20 ms     b opens                                 b joins
    60 ms     c opens                                 too late (a tenth of `hold` has passed): c waits
    80 ms     a and b have ended                      it takes entries in, then c opens
    or
    500 ms    a has not ended: `hold` has passed      it takes entries in; a is told that it has moved, and
                                                      its coordinator begins again
"""

from __future__ import annotations

JOINING = 0.1
"""The share of `hold` within which others may join."""


class Stillness:
    """The conversations that are open. Times are monotonic seconds."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._open: set[str] = set()
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def joins(self, conversation: str, now: float) -> bool:
        """Whether this conversation may go on, or begin, before anything is taken in."""
        in_time = now - self._since <= JOINING * self._hold_s
        return not self._open or conversation in self._open or in_time

    def began(self, conversation: str, now: float) -> None:
        """It is open from now on, unless it was before."""
        if not self._open:
            self._since = now
        self._open.add(conversation)

    def ended(self, conversation: str) -> None:
        """It needs the entries no longer."""
        self._open.discard(conversation)

    def left_s(self, now: float) -> float:
        """How long it must hold still yet; 0 if it need not."""
        return max(0.0, self._since + self._hold_s - now) if self._open else 0.0

    def moved(self) -> int:
        """Entries are taken in. Returns how many conversations that cuts off."""
        cut = len(self._open)
        self._open.clear()
        return cut
