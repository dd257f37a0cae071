"""Texts stream in through Kafka; questions are answered from all of them by exact similarity."""

from __future__ import annotations

__all__ = ["AsyncClient", "Client"]

TYPE_CHECKING = False  # as in `typing`, whose import would take time before Ctrl-C is heeded

if TYPE_CHECKING:  # who checks types sees these two names, and that there are no others
    from hurnet_stream.client import AsyncClient, Client
else:

    def __getattr__(name: str) -> object:
        """The clients are loaded when they are asked for: workers and commands need none of them."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from hurnet_stream import client

        return getattr(client, name)
