"""How a coordinator asks slices: a channel for each address, and all of them at once.

A channel that failed is closed, and the next question makes a new one: so certificates are read again, and a
slice that is back is reached at once, not after gRPC's own growing pauses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import grpc

from hurnet_stream.adapters.grpc import credentials
from hurnet_stream.ports.slices import NoReply, Silence
from hurnet_stream.settings.slices import SliceSettings

CHANNELS_MOST: Final = 4_096
SECRET_AGE_S: Final = 1.0
"""How old the secret may be that was read from its file."""
_LOST: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""After these the next question makes a new connection."""
_BROKE: Final = ("socket closed", "connection reset", "end of tcp stream", "goaway", "broken pipe")
"""What gRPC says of a connection that ended under a request. It has no code of its own for that."""


class GrpcSliceCalls:
    """`SliceCalls` (see hurnet_stream/ports/slices.py) over gRPC. One thread uses it."""

    def __init__(self, settings: SliceSettings) -> None:
        self._settings = settings
        self._channels: dict[str, Any] = {}
        self._answered: set[str] = set()
        """Of the channels, those by which something was answered."""
        self._metadata: tuple[tuple[str, bytes], ...] = ()
        self._read_at = float("-inf")

    def ask(self, calls: Sequence[tuple[str, bytes]], timeout_s: float) -> Sequence[bytes | NoReply]:
        self._renew()
        sent = [self._send(address, payload, timeout_s) for address, payload in calls]
        return [self._outcome(address, future) for (address, _), future in zip(calls, sent, strict=True)]

    def close(self) -> None:
        for address in list(self._channels):
            self._drop(address)

    def _send(self, address: str, payload: bytes, timeout_s: float) -> Any:
        try:
            ask = self._channel(address).unary_unary(credentials.METHOD)
            return ask.future(payload, timeout=timeout_s, metadata=self._metadata)
        except (OSError, ValueError) as error:  # certificates that can't be read, a channel just closed
            return NoReply(f"{address}: {error}")

    def _outcome(self, address: str, future: Any) -> bytes | NoReply:
        if isinstance(future, NoReply):
            return future
        try:
            reply = bytes(future.result())
        except grpc.RpcError as error:
            # A handshake that fails looks like a connection that ends. It is no request's fault.
            why = _explained(address, error, had_answered=address in self._answered)
            if error.code() in _LOST:
                self._drop(address)
            return why
        self._answered.add(address)
        return reply

    def _channel(self, address: str) -> Any:
        if address not in self._channels:
            if len(self._channels) >= CHANNELS_MOST:
                self._drop(next(iter(self._channels)))
            tls = credentials.of_client(self._settings)
            self._channels[address] = (
                grpc.secure_channel(address, tls, credentials.OPTIONS)
                if tls
                else grpc.insecure_channel(address, credentials.OPTIONS)
            )
        return self._channels[address]

    def _drop(self, address: str) -> None:
        self._answered.discard(address)
        if channel := self._channels.pop(address, None):
            channel.close()

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._read_at > SECRET_AGE_S:
            self._metadata, self._read_at = credentials.metadata(self._settings), now


def _explained(address: str, error: Any, had_answered: bool) -> NoReply:
    code, details = error.code(), str(error.details() or "")
    kind = _kind(code, details.lower())
    reason = f"{address}: {code.name.lower().replace('_', '-')}: {details[:200]}"
    return NoReply(reason, "away" if kind == "broke" and not had_answered else kind)


def _kind(code: Any, details: str) -> Silence:
    if code == grpc.StatusCode.UNAVAILABLE and any(said in details for said in _BROKE):
        return "broke"
    if code == grpc.StatusCode.ABORTED or "concurrent rpc" in details:
        return "busy"
    # The last one says of a message that it is too long: it always will be.
    return "failed" if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED) else "away"
