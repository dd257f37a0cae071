"""A request's body as one of our messages."""

from __future__ import annotations

from typing import TypeVar

from starlette.requests import Request

from hurnet_schemas import InvalidMessage, Message
from hurnet_stream.gateway.problems import Problem

M = TypeVar("M", bound=Message)


async def message_of(request: Request, kind: type[M]) -> M:
    """The message in the body. Raises `Problem` (422) that names the field."""
    try:
        return kind.decode(await request.body())
    except InvalidMessage as error:
        raise Problem(422, error.detail, reason=error.reason) from None
