"""A request's body as it comes in: cut off where it is too long, too slow, or too much together with others.

415   packed (Content-Encoding), which could become any size
413   longer than HURNET_GATEWAY_BODY: by its Content-Length before anything is read, else where it passes
408   no piece for PIECE_S, or not all of it after BODY_S
503   all bodies that are coming in hold more than `most` bytes of memory already
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from starlette.types import Message, Receive

from hurnet_stream.gateway.problems import Problem, busy

PIECE_S: Final = 10.0
BODY_S: Final = 60.0
TOGETHER: Final = 8
"""So many of the longest bodies may be held at once, or their bytes in shorter ones."""
READ_AWAY_BYTES: Final = 1 << 20
READ_AWAY_S: Final = 1.0


class Held:
    """Bytes of all bodies that are in memory now."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.most = TOGETHER * longest
        self.taken = 0


class Body:
    """One request's body; `receive` is what the application calls."""

    def __init__(self, receive: Receive, headers: Mapping[str, str], held: Held) -> None:
        self._receive = receive
        self._held = held
        self._read = 0
        self._since = time.monotonic()
        self._packed = headers.get("content-encoding", "identity").strip().lower()
        self._declared = _declared(headers)
        self.complete = self._declared == 0

    def check(self) -> None:
        """Raises `Problem` 413 or 415 if its headers say already that it can't be taken."""
        if self._packed != "identity":
            told = "the body must come as it is: leave out the header Content-Encoding, and unpack it"
            raise Problem(415, told, {"Accept-Encoding": "identity"})
        if self._declared is not None and self._declared > self._held.longest:
            raise self._too_long()

    async def receive(self) -> Message:
        """The next piece. Raises `Problem` 413, 408 or 503."""
        if self.complete:
            return await self._receive()
        message = await self._next()
        if message["type"] != "http.request":
            self.complete = True
            return message
        size = len(message.get("body", b""))
        self._read += size
        self._held.taken += size
        self.complete = not message.get("more_body", False)
        if self._read > self._held.longest:
            raise self._too_long()
        if self._held.taken > self._held.most:
            raise busy(503, "too many long requests are coming in at once", refused="busy")
        return message

    def end(self) -> None:
        """Give back the memory."""
        self._held.taken -= self._read
        self._read = 0

    async def read_away(self) -> None:
        """Read and drop a little of what is still to come: if a connection is closed with bytes unread, the
        client may lose the response."""
        left = READ_AWAY_BYTES
        try:
            async with asyncio.timeout(READ_AWAY_S):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    async def _next(self) -> Message:
        left_s = min(PIECE_S, self._since + BODY_S - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                return await self._receive()
        except TimeoutError:
            raise Problem(408, "the body came too slowly") from None

    def _too_long(self) -> Problem:
        return Problem(413, f"the body may have {self._held.longest:,} bytes at most (HURNET_GATEWAY_BODY)")


def _declared(headers: Mapping[str, str]) -> int | None:
    """The bytes that the body says it has; None if that shows only at its end."""
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else None
