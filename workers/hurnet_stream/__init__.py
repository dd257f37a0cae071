"""Texts stream in through Kafka; questions are answered from all of them by exact similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hurnet_stream.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """The clients are loaded when they are asked for: workers and commands need none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hurnet_stream import client

    return getattr(client, name)
