"""POST /v1/rehearsals: what a file would teach, before it is taught.

file ─▶ rows and rejects ─▶ `hurnet evaluate` in a process of its own ─▶ how many of the pairs, each left
                                                                         out in turn, the others answer
"""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hurnet_schemas import DEFAULT_CONTEXT
from hurnet_stream.gateway.access import require
from hurnet_stream.gateway.files import file_of, spooled, told
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.parameters import context_of
from hurnet_stream.gateway.watching import plain
from hurnet_stream.operations.files import Row

REHEARSAL_S: Final = 180.0
PAIRS_MIN: Final = 2


def routes(gateway: Gateway) -> list[Route]:
    """Of rehearsing."""

    async def rehearse(request: Request) -> Response:
        require(request, "teach")
        require(request, "teach", context := context_of(request))
        with spooled() as file:
            held = await file_of(gateway, request, file, context)
        pairs = [row for row in held.rows if row.event.answer is not None]
        alone = len(held.rows) - len(pairs)
        seen = told(held) | {"without_answer": alone, "accuracy": None, "rehearsed": 0}
        if len(pairs) < PAIRS_MIN:
            return JSONResponse(seen | {"notes": ["too few rows have an answer to be left out in turn"]})
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as written:
            await gateway.blocking(partial(_write, written, pairs))
            command = ("evaluate", "--pairs", written.name, "--json")
            ended = await while_there(request, gateway.children.run("rehearsal", command, REHEARSAL_S))
        if ended.code or not ended.told:
            raise ended.failure("rehearsal")
        left_out = ended.told.get("left_out", {})
        figures = {"accuracy": left_out.get("accuracy"), "rehearsed": left_out.get("questions", 0)}
        return JSONResponse(plain(seen | figures | {"notes": ended.told.get("notes", [])}))

    return [Route("/v1/rehearsals", rehearse, methods=["POST"])]


def _write(file: Any, rows: list[Row]) -> None:
    """One object a line, all in one context, since each is rehearsed by itself."""
    for row in rows:
        file.write(row.event.model_copy(update={"context": DEFAULT_CONTEXT}).encode() + b"\n")
    file.flush()
