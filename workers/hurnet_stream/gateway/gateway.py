"""What all routes share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from hurnet_stream.client.switchboard import Switchboard
from hurnet_stream.metrics.gateway import GatewayMetrics
from hurnet_stream.settings.settings import Settings

T = TypeVar("T")

BLOCKING_MOST: Final = 4
"""Calls at once that block a thread: of Redis, and of Kafka's administration."""


@dataclass(slots=True)
class Gateway:
    """One running gateway. `threads` are for calls that block."""

    settings: Settings
    switchboard: Switchboard
    metrics: GatewayMetrics
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(BLOCKING_MOST, thread_name_prefix="blocking")
    )

    async def blocking(self, call: Callable[[], T]) -> T:
        """What `call` returns. It runs in one of a few threads, so that it holds up no other request."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)

    def unready(self) -> list[str]:
        """Why it can't serve; empty if it can."""
        trouble = self.switchboard.trouble()
        return [trouble] if trouble else []

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.switchboard.close()
