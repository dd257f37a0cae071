"""A request's body as our messages, or as a problem that names each wrong field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, TypeVar

from starlette.requests import Request

from hurnet_schemas import InvalidMessage, Message
from hurnet_schemas.base import parse_object
from hurnet_stream.gateway.problems import Problem

M = TypeVar("M", bound=Message)

JSON: Final = "application/json"
MOST: Final = 10_000
"""Objects in a body, and fields in an object: more than any message has, or 1,000 of them together."""


async def object_of(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises `Problem`: 415 for another type, 422 if it is none, or has a name
    twice."""
    # A page of another origin can't send this type without asking first, so no form can pass for a client.
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != JSON:
        raise Problem(415, f"the body must be JSON, and say so: Content-Type: {JSON}")
    raw = await request.body()
    try:
        fields = parse_object(raw)
    except InvalidMessage as error:
        raise invalid(error) from None
    _check_names(raw)
    return fields


async def message_of(request: Request, kind: type[M]) -> M:
    """The message in the body. Raises `Problem` (415, 422)."""
    return message_in(await object_of(request), kind)


def message_in(fields: dict[str, Any], kind: type[M]) -> M:
    """The message that an object is. Raises `Problem` (422)."""
    try:
        return kind.of_fields(fields, exact=True)
    except InvalidMessage as error:
        raise invalid(error) from None


def messages_of(fields: dict[str, Any], kind: type[M], name: str, most: int) -> Sequence[M]:
    """The messages in a list of objects, which is the only member of a body, `name`. Raises `Problem` (422),
    which names what is wrong in all of them."""
    if unknown := sorted(fields.keys() - {name}):
        raise Problem(422, f"{unknown[0][:40]!r} has no place beside {name}", where=unknown[0][:40])
    items = fields[name]
    if not isinstance(items, list) or not 0 < len(items) <= most:
        raise Problem(422, f"{name} must be a list of 1 to {most:,} objects", where=name)
    messages: list[M] = []
    errors: list[dict[str, str]] = []
    for number, item in enumerate(items):
        try:
            if not isinstance(item, dict):
                raise InvalidMessage("not-json", "expected a JSON object")
            messages.append(kind.of_fields(item, exact=True))
        except InvalidMessage as error:
            errors += _faults(error, f"{name}.{number}")
    if errors:
        raise Problem(
            422, f"{len(items) - len(messages):,} of {len(items):,} {name} are wrong", errors=errors[:100]
        )
    return messages


def invalid(error: InvalidMessage) -> Problem:
    """422, with each wrong field."""
    return Problem(422, error.detail, reason=error.reason, errors=_faults(error))


def _check_names(raw: bytes) -> None:
    """Raises `Problem` (422) if an object has two fields of one name: readers differ in which of them counts.
    `raw` is JSON."""
    objects = count(1)

    def check(pairs: list[tuple[str, object]]) -> None:
        if next(objects) > MOST or len(pairs) > MOST:
            raise Problem(422, f"a body may have {MOST:,} objects, and each {MOST:,} fields, at most")
        if len(dict(pairs)) < len(pairs):
            raise _twice([name for name, _ in pairs])

    # Its values were read already.
    json.loads(raw, object_pairs_hook=check, parse_int=len, parse_float=len)


def _twice(names: list[str]) -> Problem:
    twice = Counter(names).most_common(1)[0][0][:40]
    return Problem(422, f"{twice!r} is there twice in one object: give it once", where=twice)


def _faults(error: InvalidMessage, prefix: str = "") -> list[dict[str, str]]:
    faults = error.faults or (("", error.detail),)
    return [
        {"where": ".".join(part for part in (prefix, where) if part), "message": message}
        for where, message in faults
    ]
