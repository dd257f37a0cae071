"""Calls that block, made for a request: few at a time, each for a bounded time, and none for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from starlette.requests import Request

from hurnet_stream.errors import HurnetError
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.limits import TooMuch
from hurnet_stream.gateway.problems import busy
from hurnet_stream.settings.redaction import redacted

T = TypeVar("T")

READ_S: Final = 10.0


async def read(gateway: Gateway, request: Request, call: Callable[[], T]) -> T:
    """What `call` returns. Raises `Problem` 503 if too many wait already, or a server is away or too slow;
    errors of ours that are no failure of a server pass through."""
    try:
        with gateway.reading.held():
            async with asyncio.timeout(READ_S):
                return await while_there(request, gateway.blocking(call))
    except TooMuch:
        raise busy(503, "too many requests read from the system at once", refused="busy") from None
    except TimeoutError:
        raise busy(503, f"the system did not tell within {READ_S:g} s") from None
    except HurnetError as error:
        if getattr(error, "taken", None) is not None:
            raise
        raise busy(503, redacted(str(error)), after_s=2) from None
