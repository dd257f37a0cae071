"""Who asks, and whether they may: what handlers call."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from hurnet_stream.gateway.keys import PREFIX, Key, Keys, Right
from hurnet_stream.gateway.problems import Problem

_MEANT: Final = "Authorization: Bearer hk_..."
KEY_STATE: Final = "key"
_KEY: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
"""A whole key: contexts and record keys may begin as one does."""


def key_of(request: Request) -> Key:
    """Who was recognised."""
    key: Key = request.scope["state"][KEY_STATE]
    return key


def require(request: Request, right: Right, context: str | None = None) -> Key:
    """The key, if it has this right, in this context if one is named. Raises `Problem`: 403 without the
    right, and 404 for another context, as if that were not there."""
    key = key_of(request)
    if right not in key.rights:
        raise Problem(403, f"this key has no right to {right}")
    if context is not None and not key.reaches(context):
        raise no_such_context(context)
    return key


def require_texts(request: Request) -> None:
    """Raises `Problem` (403) unless the key may read what contexts hold."""
    if not key_of(request).sees_texts:
        raise Problem(403, "this key sees answers, and not the texts that they come from")


def no_such_context(name: str) -> Problem:
    """The same for a context that is not there and for one that the key may not use."""
    return Problem(404, f"there is no context {name!r} for this key", where="context")


def recognised(keys: Keys, authorizations: list[str], path: str, query: str) -> Key:
    """Who has sent these headers Authorization. Raises `Problem` 400 or 401."""
    if _KEY.search(query) or _KEY.search(path):
        raise Problem(
            400,
            "a key must not stand in a URL, which proxies and browsers write down: take it out of"
            f" HURNET_GATEWAY_KEYS, make another one, and send it as {_MEANT}",
        )
    key = keys.find(_bearer(authorizations))
    if key is None:
        raise Problem(
            401,
            f"this needs a key that is in force, as {_MEANT}",
            {"WWW-Authenticate": 'Bearer realm="hurnet"'},
        )
    return key


def _bearer(authorizations: list[str]) -> str | None:
    if len(authorizations) != 1:
        return None
    scheme, _, given = authorizations[0].partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None
