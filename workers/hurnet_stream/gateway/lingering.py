"""How a connection is closed so that its client gets the last response."""

from __future__ import annotations

from typing import Any


class Lingering:
    """A transport that is closed by sending an end, and by reading what still comes until the client closes.

    If unread bytes wait when a socket is closed, the client's system is told of a reset, and may then throw
    away the response that came before it: a client that sends too much would not learn why it is refused."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is sent. What comes is thrown away then."""
        return self._ended or self._transport.is_closing()

    def close(self) -> None:
        """Send what is left, and the end. It is for the caller to end what the client does not close."""
        if self.is_closing():
            return
        self._ended = True
        if not self._transport.can_write_eof():  # TLS has no end of one direction
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
