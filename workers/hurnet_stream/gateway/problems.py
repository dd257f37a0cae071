"""Errors over HTTP, as RFC 9457 has them: `application/problem+json`.

{"type": "about:blank", "title": "Unprocessable Content", "status": 422, "detail": "text: Field required",
 "errors": [{"where": "text", "message": "Field required"}]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hurnet_stream.metrics.gateway import Refusal

MEDIA_TYPE: Final = "application/problem+json"


class Problem(Exception):
    """Ends a request with this status. `detail` is for a person: what is wrong, and what would be right.
    `more` are further members of the object, and `headers` those of the response. `refused` is how it counts
    in the metrics, if not by its status."""

    refused: Refusal | None = None

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        content = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        } | self.more
        return JSONResponse(content, self.status.value, self.headers, MEDIA_TYPE)


def busy(status: int, detail: str, after_s: float = 1.0, refused: Refusal | None = None) -> Problem:
    """Too much at the moment (429 or 503): come back after so many seconds."""
    problem = Problem(status, detail, {"Retry-After": str(max(1, math.ceil(after_s)))})
    problem.refused = refused
    return problem


async def answer_problem(request: Request, problem: Exception) -> Response:
    """The handler that Starlette calls for a `Problem`. The guards look at it on the way out."""
    assert isinstance(problem, Problem)  # noqa: S101 - it is registered for these alone
    request.scope["state"]["problem"] = problem
    return problem.response()
