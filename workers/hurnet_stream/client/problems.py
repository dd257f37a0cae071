"""From what a gateway answers, if it is no success, to the error that a caller gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hurnet_schemas.base import InvalidMessage, parse_object, shortened
from hurnet_stream.client.errors import (
    AccessRefused,
    Busy,
    ClientError,
    InvalidRequest,
    NoReply,
    NotThere,
    Problem,
    Unreachable,
)

_OF_THE_REQUEST: Final = frozenset({400, 405, 413, 415, 422})
_OVERLOADED: Final = frozenset({408, 425, 429, 503})
_KINDS: Final[Mapping[int, type[ClientError]]] = {
    401: AccessRefused,
    403: AccessRefused,
    404: NotThere,
    410: NotThere,
    504: NoReply,
}
_PASSING: Final = _OVERLOADED | {502, 504}


def is_passing(status: int, after_s: float | None) -> bool:
    """Whether the same request may succeed later. A 409 may if the server says when: its first try is still
    under way."""
    return status in _PASSING or (status == 409 and after_s is not None)


def error_of(status: int, content: bytes, server: str, after_s: float | None) -> ClientError:
    """The error for a response. `server` is the address, for the message."""
    problem = problem_of(status, content)
    if problem is None:
        return Unreachable(f"{server} answered {status}, but not as a gateway does. Is this its address?")
    said = problem.detail or problem.title
    if status in _OF_THE_REQUEST or (status == 409 and problem.where):
        return InvalidRequest(said, problem.where or "", problem)
    if status in _OVERLOADED:
        return Busy(f"{server} has too much to do: {said}", problem, after_s)
    if status == 401:
        said += " (a client takes it as api_key)"
    return _KINDS.get(status, ClientError)(f"{server} answered {status}: {said}", problem)


def problem_of(status: int, content: bytes) -> Problem | None:
    """The problem in a body; None if it is none."""
    try:
        fields = parse_object(content)
    except InvalidMessage:
        return None
    if not isinstance(fields.get("title"), str):
        return None
    where = fields.get("where")
    return Problem(
        status,
        shortened(fields["title"]),
        shortened(str(fields.get("detail") or "")),
        shortened(where) if isinstance(where, str) else None,
        tuple(map(_one, _objects(fields.get("errors")))),
        fields,
    )


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _one(error: Mapping[str, Any]) -> tuple[str, str]:
    return shortened(str(error.get("where", ""))), shortened(str(error.get("message", "")))
