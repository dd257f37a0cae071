"""A client that hangs up frees what it has asked for, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request

T = TypeVar("T")


class HungUp(Exception):
    """The client is gone: nobody reads a response."""


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives. If the client hangs up first, `work` is cancelled, and this raises `HungUp`.

    The body must have been read."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise HungUp
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
