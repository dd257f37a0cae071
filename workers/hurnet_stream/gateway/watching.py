"""GET /v1/status, /v1/events, /v1/dead-letters: how the system does."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hurnet_stream.gateway.access import require
from hurnet_stream.gateway.figures import LISTENERS_MOST, Figures, seen_by
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.keys import Key
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.limits import Places, TooMuch
from hurnet_stream.gateway.parameters import number_of
from hurnet_stream.gateway.problems import busy
from hurnet_stream.gateway.reading import read
from hurnet_stream.operations.dead_letter_reader import StoredLetter

LETTERS: Final = 20
LETTERS_MOST: Final = 200
EXCERPT_BYTES: Final = 500
EVENTS: Final = "text/event-stream"


def routes(gateway: Gateway) -> list[Route]:
    """Of watching."""
    figures, places = Figures(gateway), Places("listeners", LISTENERS_MOST, 5)

    async def status(request: Request) -> Response:
        key = require(request, "watch")
        return JSONResponse(plain(seen_by(key, await while_there(request, figures.once()))))

    async def events(request: Request) -> Response:
        key = require(request, "watch")
        if places.taken >= places.most:
            raise busy(503, f"{places.most} listen to events already", places.again_s, "busy")
        if request.method == "HEAD":  # has no body, so there is nothing that could come
            return Response(media_type=EVENTS)
        return StreamingResponse(_stream(gateway, figures, key, places), media_type=EVENTS)

    async def letters(request: Request) -> Response:
        key = require(request, "watch")
        limit = number_of(request, "limit", LETTERS, 1, LETTERS_MOST)
        newest = await read(gateway, request, partial(gateway.readings.letters, limit))
        return JSONResponse({"dead_letters": [_letter(letter, key) for letter in newest]})

    return [
        Route("/v1/status", status),
        Route("/v1/events", events),
        Route("/v1/dead-letters", letters),
    ]


async def _stream(gateway: Gateway, figures: Figures, key: Key, places: Places) -> AsyncIterator[bytes]:
    """As server-sent events, for as long as the key is in force."""
    looks = figures.listen()
    try:
        with places.held():
            yield b"retry: 2000\n\n"
            async for look in looks:
                if not gateway.keys.holds(key):
                    return
                if look is None:
                    yield b": still here\n\n"
                    continue
                data = json.dumps(plain(seen_by(key, look.figures)), separators=(",", ":"))
                yield f"event: figures\nid: {look.number}\ndata: {data}\n\n".encode()
    except TooMuch:
        yield b"event: full\ndata: {}\n\n"
    finally:
        await looks.aclose()


def plain(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def _letter(stored: StoredLetter, key: Key) -> dict[str, Any]:
    """The message, when it was written, and its excerpt as text: only for a key that reaches all contexts,
    since nobody knows which one a record belonged to that can't be read."""
    letter = stored.letter.model_dump(mode="json", exclude_none=True, exclude={"excerpt", "key"})
    letter |= {"record": "/".join(map(str, stored.record_id)), "put_aside_ms": stored.written_ms}
    if key.reaches_all and stored.letter.excerpt:
        letter["excerpt"] = stored.excerpt[:EXCERPT_BYTES].decode("utf-8", "replace")
    return letter
