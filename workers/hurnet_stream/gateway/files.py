"""POST /v1/files: a file of texts, taught. Its rows go to Kafka together or not at all; what is no text is
told and left out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_stream.gateway.access import require
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.parameters import context_of
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.requests import accepted
from hurnet_stream.gateway.teaching import records_of, taught
from hurnet_stream.operations.files import Reject, Row, Style, TextFile

STYLES: Final[dict[str, Style]] = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
}
ROWS_MOST: Final = 20_000
RECORDS_SHOWN: Final = 1_000
REJECTS_SHOWN: Final = 100
PREVIEW: Final = 20


@dataclass(slots=True)
class ReadFile:
    """What a file holds."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)


def routes(gateway: Gateway) -> list[Route]:
    """Of teaching files."""

    async def teach(request: Request) -> Response:
        require(request, "teach")
        require(request, "teach", context := context_of(request))
        with spooled() as file:
            held = await file_of(gateway, request, file, context)
        if not held.rows:
            raise Problem(422, "no row of the file is a text", **told(held))
        written = await taught(
            gateway, request, [(row.event, row.key, row.timestamp_ms) for row in held.rows]
        )
        records = records_of(gateway, written)[:RECORDS_SHOWN]
        return accepted(written, {"records": records, **told(held)}, written.watermarks)

    return [Route("/v1/files", teach, methods=["POST"])]


@contextmanager
def spooled() -> Iterator[BinaryIO]:
    """A file in memory, or on disk if it is large, which is gone at the end."""
    with tempfile.SpooledTemporaryFile(max_size=1 << 20) as file:
        yield file  # type: ignore[misc] # it has all that is used of one


async def file_of(gateway: Gateway, request: Request, file: BinaryIO, context: str) -> ReadFile:
    """The body, by way of `file`, as rows and rejects. Raises `Problem` 413, 415 or 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in STYLES:
        raise Problem(415, f"the body must be a file, and say of which kind: {', '.join(STYLES)}")
    async for piece in request.stream():
        file.write(piece)
    file.seek(0)
    held = await gateway.blocking(partial(_read, file, STYLES[kind], context))
    if len(held.rows) > ROWS_MOST:
        raise Problem(413, f"a file may have {ROWS_MOST:,} rows at most: cut it, or use `hurnet produce`")
    if not held.rows and not held.rejects:
        raise Problem(422, "the file has no rows")
    for name in sorted({row.event.context for row in held.rows}):
        require(request, "teach", name)
    return held


def _read(file: BinaryIO, style: Style, context: str) -> ReadFile:
    held, source = ReadFile(), TextFile(file, style, context)
    for row in source.rows():
        if isinstance(row, Reject):
            held.rejects.append(row)
        else:
            held.rows.append(row)
        if len(held.rows) > ROWS_MOST or len(held.rejects) > ROWS_MOST:
            break
    held.columns = source.columns
    return held


def told(held: ReadFile) -> dict[str, Any]:
    return {
        "rows": len(held.rows),
        "rejected": len(held.rejects),
        "rejects": [
            {"line": reject.line, "reason": reject.reason, "message": reject.message}
            for reject in held.rejects[:REJECTS_SHOWN]
        ],
        "columns": held.columns,
        "preview": [row.event.model_dump(mode="json", exclude_none=True) for row in held.rows[:PREVIEW]],
    }
