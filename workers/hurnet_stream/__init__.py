"""Texts stream in through Kafka; questions are answered from all of them by exact similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["AsyncClient", "Client"]

if TYPE_CHECKING:  # who checks types sees these two names, and that there are no others
    from hurnet_stream.client import AsyncClient, Client
else:

    def __getattr__(name: str) -> object:
        """The clients are loaded when they are asked for: workers and commands need none of them."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from hurnet_stream import client

        return getattr(client, name)
