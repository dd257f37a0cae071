"""POST /v1/receipts/{topic}/{partition}/{offset}/replay: the question asked again, as of then, or as of now.

`hurnet replay` does it, in a process of its own: it loads a context of then into memory.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hurnet_stream.gateway.access import require_texts
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.receipts import found
from hurnet_stream.gateway.watching import plain

REPLAY_S: Final = 120.0
TRUE: Final = ("1", "true", "")
FALSE: Final = ("0", "false")


def routes(gateway: Gateway) -> list[Route]:
    """Of asking again."""

    async def replay(request: Request) -> Response:
        if not gateway.settings.gateway.replays:
            raise Problem(404, "replays are off (HURNET_GATEWAY_REPLAYS)")
        require_texts(request)
        as_of = _as_of(request)
        name = (await found(gateway, request)).record or ""
        command = ("replay", "--json", *as_of, "--", name)
        ended = await while_there(request, gateway.children.run("replay", command, REPLAY_S))
        if not ended.told:
            raise ended.failure("replay")
        return JSONResponse(plain(ended.told))

    return [Route("/v1/receipts/{topic}/{partition}/{offset}/replay", replay, methods=["POST"])]


def _as_of(request: Request) -> tuple[str, ...]:
    """The option that the request asks for. Raises `Problem` (422)."""
    now = request.query_params.get("now", "0")
    if now not in (*TRUE, *FALSE):
        raise Problem(422, "now must be 1 for as of now, or 0 for as of then", where="now")
    return ("--now",) if now in TRUE else ()
