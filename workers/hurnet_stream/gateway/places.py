"""Places that requests name in their paths and parameters: 0/41, or tickets/3/41."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request

from hurnet_schemas.places import Place, place
from hurnet_stream.core.stored.entries import EntryId
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.reading import read
from hurnet_stream.places import NotRead, Places


def place_in(request: Request) -> Place:
    """The place that the path names. Raises `Problem` (404)."""
    given = request.path_params
    try:
        return place("/".join(given[part] for part in ("topic", "partition", "offset") if part in given))
    except ValueError as error:
        raise Problem(404, str(error)) from None


async def places_of(gateway: Gateway, request: Request) -> Places:
    """The names of what is in the store. Raises `Problem` (503)."""
    return await read(gateway, request, partial(known_places, gateway))


def known_places(gateway: Gateway) -> Places:
    """The same; it blocks, and raises `HurnetError`."""
    return Places.of(gateway.writes.entries().topics(), gateway.settings.kafka.texts)


def entry_at(places: Places, named: Place) -> EntryId:
    """The entry at a place. Raises `Problem` (404) if there can be none."""
    try:
        return places.entry(named)
    except NotRead as error:
        raise Problem(404, str(error)) from None
