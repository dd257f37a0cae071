"""What is around a request of core/slices on its way to a slice: the generation of the store that it is
about.

bytes 0-3     number of the generation, big-endian
bytes 4-      the request (core/slices/codec.py)
"""

from __future__ import annotations

from hurnet_stream.core.slices import codec
from hurnet_stream.core.slices.messages import Request

_HEAD = 4


def enveloped(generation: int, request: Request) -> bytes:
    """A request as it is sent."""
    return generation.to_bytes(_HEAD, "big") + codec.encode(request)


def opened(payload: bytes) -> tuple[int, Request]:
    """The generation and the request. Raises ValueError if it is something else."""
    return int.from_bytes(payload[:_HEAD], "big"), codec.decode(Request, payload[_HEAD:])


def kind_of(request: Request) -> str:
    """What a round is called in metrics: the first thing that it asks."""
    return type(request.asked[0]).__name__ if request.asked else "Close"
