"""DELETE of an entry, or of the entries of a key.

A deletion is a record of the topic of texts, or of the entry's own topic if that may be written to. When it
is answered with 202 it is in Kafka, and will be done: GET /v1/deletions says when it was.
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

from hurnet_schemas.places import Place, shard_name
from hurnet_schemas.text import MAX_KEY, OWN_KEYS, RecordKey
from hurnet_stream.core.places import last_position, offset_of
from hurnet_stream.core.stored.entries import Entry, EntryId
from hurnet_stream.gateway.access import require
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.keys import Key
from hurnet_stream.gateway.parameters import context_of
from hurnet_stream.gateway.places import entry_at, place_in, places_of
from hurnet_stream.gateway.problems import Problem, busy
from hurnet_stream.gateway.reading import read
from hurnet_stream.gateway.requests import accepted, wanted_of
from hurnet_stream.operations import deletion_requests
from hurnet_stream.ports import EntryStore, Outgoing

TAKEN_IN_S: Final = 3.0
"""How long a deletion waits for an entry that was written and is not in the store yet."""
LOOK_S: Final = 0.1
_KEY: Final = TypeAdapter[str](RecordKey)


def routes(gateway: Gateway) -> list[Route]:
    """Of forgetting."""

    async def forget_entry(request: Request) -> Response:
        key = require(request, "forget")
        place = place_in(request)
        await reached(gateway, request, key, place._replace(chunk=0))
        topic = _topic_of(gateway, place)
        messages = deletion_requests.of_entry(topic, place.partition, place.offset)
        return await _forgotten(gateway, request, topic, messages)

    async def forget_key(request: Request) -> Response:
        require(request, "forget")
        key, context = _record_key(request), context_of(request)
        require(request, "forget", context)
        topic = gateway.settings.kafka.texts
        partitions = await read(gateway, request, partial(gateway.writes.sink.ends, topic))
        messages = deletion_requests.of_key(topic, partitions, key.encode(), context)
        return await _forgotten(gateway, request, topic, messages)

    return [
        Route("/v1/texts/{partition}/{offset}", forget_entry, methods=["DELETE"]),
        Route("/v1/texts/{topic}/{partition}/{offset}", forget_entry, methods=["DELETE"]),
        Route("/v1/texts", forget_key, methods=["DELETE"]),
    ]


async def reached(gateway: Gateway, request: Request, key: Key, place: Place) -> Entry:
    """The first entry of a record, if there is one that this key may forget. Raises `Problem`: 404 if there
    is none, or if it is of another context; 503 if it was written and is not in the store yet."""
    entry_at = await _entry_id(gateway, request, place)
    deadline = time.monotonic() + TAKEN_IN_S
    while True:
        watermark, entry = await read(gateway, request, partial(_looked_up, gateway, entry_at))
        if entry is not None:
            break
        if entry_at[1] <= watermark or not await _is_written(gateway, request, place):
            raise no_such_entry(place)
        if time.monotonic() >= deadline:
            raise busy(503, f"the text {place} is not taken in yet: does ingest run?")
        await asyncio.sleep(LOOK_S)
    if not key.may("forget", entry.context):
        raise no_such_entry(place)
    return entry


def no_such_entry(place: Place) -> Problem:
    """404, whether it never was, is deleted, or is of a context that the key may not use."""
    return Problem(404, f"there is no entry {place} for this key")


def first_entry(store: EntryStore, shard: int, position: int) -> Entry | None:
    """The first of the entries of the record that begins at this position; None if there is none."""
    last = last_position(shard, offset_of(shard, position))
    if (found := store.entry(shard, position)) or last == position:
        return found
    # The first chunk of a record is missing only if it could not be embedded.
    there = (e.offset for batch in store.stored_at(shard, range(position, last)) for e in batch.entries)
    return next((entry for at in there if (entry := store.entry(shard, at))), None)


def _looked_up(gateway: Gateway, entry: EntryId) -> tuple[int, Entry | None]:
    """The watermark of its shard and the entry. In this order: what ingest takes in between the two is found,
    and not missed as one that ingest has come to."""
    store = gateway.writes.entries()
    return store.state(entry[0]).watermark, first_entry(store, *entry)


async def _entry_id(gateway: Gateway, request: Request, place: Place) -> EntryId:
    return entry_at(await places_of(gateway, request), place)


def _topic_of(gateway: Gateway, place: Place) -> str:
    """The topic that the deletion goes to. Raises `Problem` (409) if it may not be written to."""
    settings = gateway.settings
    try:
        return deletion_requests.Deletable(settings.kafka.texts, settings.topics).topic_of(place)
    except deletion_requests.NotWritable as error:
        raise Problem(409, str(error), where="entry") from None


async def _is_written(gateway: Gateway, request: Request, place: Place) -> bool:
    """Whether the topic reaches beyond the record."""
    topic = place.topic or gateway.settings.kafka.texts
    ends = await read(gateway, request, partial(gateway.writes.sink.ends, topic))
    return place.offset < ends.get(place.partition, 0)


async def _forgotten(
    gateway: Gateway, request: Request, topic: str, messages: Sequence[Outgoing]
) -> Response:
    written = await gateway.writes.write(messages, wanted_of(request, b"", topic, len(messages)))
    records = [str(Place(topic, partition, offset)) for partition, offset in written.places]
    other = None if topic == gateway.settings.kafka.texts else topic
    marks = {shard_name(other, partition): offset for partition, offset in written.watermarks.items()}
    return accepted(written, {"records": records}, marks)


def _record_key(request: Request) -> str:
    """The query parameter `key`. Raises `Problem` (422)."""
    try:
        return _KEY.validate_python(request.query_params.get("key", ""))
    except ValidationError:
        told = (
            f"key must be the record key of the texts to forget: 1 to {MAX_KEY:,} bytes without control"
            f" characters, and not hurnet's own ({OWN_KEYS}...)"
        )
        raise Problem(422, told, where="key") from None
