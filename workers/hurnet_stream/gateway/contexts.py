"""GET /v1/contexts: what each context holds, its entries page by page, and its answers."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hurnet_schemas import Coordinates
from hurnet_schemas.places import place
from hurnet_stream.core.stored.entries import Entry, EntryId
from hurnet_stream.gateway.access import no_such_context, require, require_texts
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.parameters import number_of
from hurnet_stream.gateway.places import places_of
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.reading import read
from hurnet_stream.places import Places

ENTRIES_MOST: Final = 500
ENTRIES: Final = 50


def routes(gateway: Gateway) -> list[Route]:
    """Of reading contexts."""

    async def every(request: Request) -> Response:
        key = require(request, "ask")
        sizes = await read(gateway, request, gateway.readings.contexts)
        return JSONResponse({"contexts": [_sized(size) for size in sizes if key.reaches(size.name)]})

    async def one(request: Request) -> Response:
        return JSONResponse(_sized(await _found(gateway, request)))

    async def entries(request: Request) -> Response:
        require_texts(request)
        limit = number_of(request, "limit", ENTRIES, 1, ENTRIES_MOST)
        places = await places_of(gateway, request)
        after = _after(request, places)
        name = (await _found(gateway, request)).name
        page = await read(gateway, request, partial(gateway.readings.entries, name, after, limit))
        last = places.name((page[-1][0], page[-1][1].offset)) if len(page) == limit else None
        told = [_entry(places.coordinates((shard, entry.offset)), entry) for shard, entry in page]
        return JSONResponse({"entries": told, "next": last})

    async def answers(request: Request) -> Response:
        require_texts(request)
        name = (await _found(gateway, request)).name
        counts, complete = await read(gateway, request, partial(gateway.readings.answers, name))
        return JSONResponse({"answers": [asdict(count) for count in counts], "complete": complete})

    return [
        Route("/v1/contexts", every),
        Route("/v1/contexts/{name}", one),
        Route("/v1/contexts/{name}/entries", entries),
        Route("/v1/contexts/{name}/answers", answers),
    ]


async def _found(gateway: Gateway, request: Request) -> Any:
    """The size of the context in the path. Raises `Problem` (404)."""
    name = request.path_params["name"]
    require(request, "ask", name)
    sizes = await read(gateway, request, gateway.readings.contexts)
    size = next((size for size in sizes if size.name == name), None)
    if size is None:
        raise no_such_context(name)
    return size


def _sized(size: Any) -> dict[str, Any]:
    told = {name: value for name, value in asdict(size).items() if value is not None}
    return told | {"entries": told.pop("rows")}


def _after(request: Request, places: Places) -> EntryId | None:
    given = request.query_params.get("after", "")
    try:
        return places.entry(place(given)) if given else None
    except ValueError as error:
        raise Problem(422, f"after: {error}", where="after") from None


def _entry(where: Coordinates, entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {
        "entry": where.model_dump(mode="json"),
        "text": entry.text,
        "metadata": dict(entry.metadata),
        "timestamp_ms": entry.timestamp_ms,
    }
    if entry.answer is not None:
        told["answer"] = entry.answer
    if abs(entry.copies) != 1:
        told["weight"] = abs(entry.copies)
    return told | ({"refutes": True} if entry.refutes else {})
