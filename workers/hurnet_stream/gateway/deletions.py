"""GET /v1/deletions/{partition}/{offset}: whether a deletion is done, and its audit."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hurnet_schemas.places import Place, watermarks_json
from hurnet_stream.core.solve.window import context_of
from hurnet_stream.core.stored.entries import EntryId
from hurnet_stream.gateway.access import require
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.keys import Key
from hurnet_stream.gateway.places import place_in, places_of
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.reading import read
from hurnet_stream.places import NotRead, Places
from hurnet_stream.ports import DeletionAudit


def routes(gateway: Gateway) -> list[Route]:
    """Of deletions that were asked for."""

    async def deletion(request: Request) -> Response:
        key = require(request, "forget")
        places, place = await places_of(gateway, request), place_in(request)
        shard, position = _deletion_at(places, place)
        name = places.record((shard, position))
        audit = await read(gateway, request, partial(gateway.readings.deletion, shard, position))
        if audit is None:
            taken_in = await read(gateway, request, partial(gateway.readings.taken_in, shard, position))
            return JSONResponse({"record": name, "done": False, "taken_in": taken_in})
        if not _may_see(key, audit):
            raise Problem(404, f"there is no deletion {name!r} for this key")
        return JSONResponse({"record": name, "done": True, "taken_in": True, **_told(audit, places)})

    return [
        Route("/v1/deletions/{partition}/{offset}", deletion),
        Route("/v1/deletions/{topic}/{partition}/{offset}", deletion),
    ]


def _deletion_at(places: Places, place: Place) -> EntryId:
    try:
        return places.deletion(place)
    except NotRead as error:
        raise Problem(404, str(error)) from None


def _may_see(key: Key, audit: DeletionAudit) -> bool:
    """Whether the key reaches each context that something was deleted from."""
    named = {audit.deletion.context} if audit.deletion.context else set()
    return key.reaches_all or all(key.reaches(context_of(name)) for name in named | audit.digests.keys())


def _told(audit: DeletionAudit, places: Places) -> dict[str, Any]:
    deletion = audit.deletion
    return {
        "asked_ms": deletion.timestamp_ms,
        "done_ms": audit.done_ms,
        "context": deletion.context,
        "deleted": audit.entries,
        "entries": [places.name((audit.partition, target)) for target in deletion.targets],
        "pairs": audit.pairs,
        "digests": {name: {"before": was, "after": now} for name, (was, now) in audit.digests.items()},
        "watermarks": watermarks_json(places.seen(audit.watermarks)),
    }
