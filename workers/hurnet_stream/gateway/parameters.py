"""The query parameters of requests: those that a route has, each once, or a problem that names it.

DELETE /v1/texts?key=faq-7&contxt=support    422: passed over, it would delete in the context `default`
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hurnet_schemas import DEFAULT_CONTEXT
from hurnet_schemas.base import ContextName
from hurnet_stream.gateway.problems import Problem

_CONTEXT: Final = TypeAdapter[str](ContextName)


class OnlyKnown:
    """A route's application, which no request reaches with a parameter that it has not, or twice."""

    def __init__(self, app: ASGIApp, known: Collection[str]) -> None:
        self.app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check(QueryParams(scope["query_string"]), self._known)
        await self.app(scope, receive, send)


def check(given: QueryParams, known: Collection[str]) -> None:
    """Raises `Problem` (422)."""
    names = [name for name, _ in given.multi_items()]
    for name in names:
        shown = name[:40]
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise Problem(422, f"there is no parameter {shown!r} here: there is {there}", where=shown)
        if names.count(name) > 1:
            raise Problem(422, f"{shown} is there {names.count(name)} times: give it once", where=shown)


def number_of(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A parameter that is a whole number. Raises `Problem` (422)."""
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) < 10 and least <= int(given) <= most):
        raise Problem(422, f"{name} must be a whole number from {least:,} to {most:,}", where=name)
    return int(given)


def context_of(request: Request) -> str:
    """The parameter `context`. Raises `Problem` (422)."""
    try:
        return _CONTEXT.validate_python(request.query_params.get("context", DEFAULT_CONTEXT))
    except ValidationError:
        told = "context must be 1 to 64 of a-z 0-9 . _ -, and first a letter or digit"
        raise Problem(422, told, where="context") from None
