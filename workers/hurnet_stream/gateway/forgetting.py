"""DELETE of an entry, or of the entries of a key.

A deletion is a record of the topic of texts. When it is answered with 202 it is in Kafka, and will be done:
GET /v1/deletions says when it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_schemas import DEFAULT_CONTEXT
from hurnet_schemas.base import ContextName
from hurnet_schemas.text import RecordKey
from hurnet_stream.core.stored.entries import Entry, EntryId
from hurnet_stream.gateway.access import require
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.keys import Key
from hurnet_stream.gateway.places import place_in
from hurnet_stream.gateway.problems import Problem, busy
from hurnet_stream.gateway.reading import read
from hurnet_stream.gateway.requests import accepted, wanted_of
from hurnet_stream.operations import deletion_requests
from hurnet_stream.ports import Outgoing

TAKEN_IN_S: Final = 3.0
"""How long a deletion waits for an entry that was written and is not in the store yet."""
LOOK_S: Final = 0.1
_KEY: Final = TypeAdapter[str](RecordKey)
_CONTEXT: Final = TypeAdapter[str](ContextName)


def routes(gateway: Gateway) -> list[Route]:
    """Of forgetting."""

    async def forget_entry(request: Request) -> Response:
        key = require(request, "forget")
        place = place_of(request)
        await reached(gateway, request, key, place)
        messages = deletion_requests.of_entry(gateway.settings.kafka.texts, *place)
        return await _forgotten(gateway, request, messages)

    async def forget_key(request: Request) -> Response:
        key, context = _named(request)
        require(request, "forget", context)
        topic = gateway.settings.kafka.texts
        partitions = await read(gateway, request, partial(gateway.writes.sink.ends, topic))
        messages = deletion_requests.of_key(topic, partitions, key.encode(), context)
        return await _forgotten(gateway, request, messages)

    return [
        Route("/v1/texts/{partition}/{offset}", forget_entry, methods=["DELETE"]),
        Route("/v1/texts", forget_key, methods=["DELETE"]),
    ]


def place_of(request: Request) -> tuple[int, int]:
    """Partition and offset in the path. Raises `Problem` (404)."""
    place = place_in(request.path_params["partition"], request.path_params["offset"])
    if place is None:
        raise Problem(404, "a record is named by numbers: its partition and its offset")
    return place


async def reached(gateway: Gateway, request: Request, key: Key, place: EntryId) -> Entry:
    """The entry, if there is one that this key may forget. Raises `Problem`: 404 if there is none, or if it
    is of another context; 503 if it was written and is not in the store yet."""
    partition, offset = place
    deadline = time.monotonic() + TAKEN_IN_S
    look = partial(gateway.writes.entries().entry, partition, offset)
    while (entry := await read(gateway, request, look)) is None:
        if not await _is_coming(gateway, request, place):
            raise no_such_entry(partition, offset)
        if time.monotonic() >= deadline:
            raise busy(503, f"the text {partition}/{offset} is not taken in yet: does ingest run?")
        await asyncio.sleep(LOOK_S)
    if not key.may("forget", entry.context):
        raise no_such_entry(partition, offset)
    return entry


def no_such_entry(partition: int, offset: int) -> Problem:
    """404, whether it never was, is deleted, or is of a context that the key may not use."""
    return Problem(404, f"there is no entry {partition}/{offset} for this key")


async def _is_coming(gateway: Gateway, request: Request, place: EntryId) -> bool:
    """Whether the topic holds a record there that ingest has not come to yet."""
    partition, offset = place
    state = await read(gateway, request, partial(gateway.writes.entries().state, partition))
    if offset <= state.watermark:
        return False
    ends = await read(gateway, request, partial(gateway.writes.sink.ends, gateway.settings.kafka.texts))
    return offset < ends.get(partition, 0)


async def _forgotten(gateway: Gateway, request: Request, messages: Sequence[Outgoing]) -> Response:
    topic = gateway.settings.kafka.texts
    written = await gateway.writes.write(messages, wanted_of(request, b"", topic, len(messages)))
    records = [f"{topic}/{partition}/{offset}" for partition, offset in written.places]
    return accepted(written, {"records": records}, written.watermarks)


def _named(request: Request) -> tuple[str, str]:
    """The query parameters `key` and `context`. Raises `Problem` (422)."""
    given = request.query_params
    try:
        key = _KEY.validate_python(given.get("key", ""))
    except ValidationError:
        raise Problem(422, "names the texts to forget: 1 to 1,024 bytes", where="key") from None
    try:
        return key, _CONTEXT.validate_python(given.get("context", DEFAULT_CONTEXT))
    except ValidationError:
        raise Problem(422, "must be 1 to 64 of a-z, 0-9, '.', '_', '-'", where="context") from None
