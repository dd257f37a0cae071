"""What requests that write have in common: the header Idempotency-Key, and how they are answered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hurnet_schemas.places import Marks, watermarks_json, watermarks_text
from hurnet_stream.gateway.access import key_of
from hurnet_stream.gateway.idempotency import Wanted, digest
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.writes import Written

IDEMPOTENCY_KEY: Final = "idempotency-key"
WATERMARKS: Final = "Hurnet-Watermarks"
AGAIN: Final = "Idempotency-Replayed"
KEY: Final = r"[!-~]{1,255}"
_KEY: Final = re.compile(KEY)


def wanted_of(request: Request, asks: bytes, topic: str, count: int, *watched: str) -> Wanted | None:
    """What is to be written once; None if the request has no key. `asks` is all that it asks for beside its
    address. Raises `Problem` (400) for a key that is none."""
    given = request.headers.getlist(IDEMPOTENCY_KEY)
    if not given:
        return None
    key = given[0].strip().removeprefix('"').removesuffix('"')  # the draft has it in quotes
    if len(given) > 1 or not _KEY.fullmatch(key):
        raise Problem(
            400,
            "Idempotency-Key must be one value of 1 to 255 visible ASCII characters, such as a UUID",
            where="Idempotency-Key",
        )
    # Each client has keys of its own.
    scope = digest(key_of(request).name.encode(), key.encode())
    address = f"{request.method} {request.url.path}?{request.url.query}".encode()
    return Wanted(scope, digest(address, asks), topic, count, watched)


def accepted(written: Written, content: Mapping[str, Any], watermarks: Marks) -> Response:
    """202, with the watermarks as a header, too: `Hurnet-After` takes them."""
    headers = {WATERMARKS: watermarks_text(watermarks)} if watermarks else {}
    if written.again:
        headers[AGAIN] = "true"
    return JSONResponse({**content, "watermarks": watermarks_json(watermarks)}, 202, headers)
