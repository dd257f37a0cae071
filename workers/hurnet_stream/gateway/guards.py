"""What every request passes before a route sees it, and every response on its way out.

    host, origin ─▶ key ─▶ rate ─▶ body bounded as it is read ─▶ route
    log, metrics ◀─ request id, strict headers ◀──────────────── response, or a problem

It stands outside of Starlette, so that unknown paths and errors pass it, too. The log has a line for each
request: the template of its path and never the path itself, no query string, no header, nothing of a body.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.types import ExceptionHandler, Message, Receive, Scope, Send

from hurnet_stream.gateway.access import KEY_STATE, recognised
from hurnet_stream.gateway.bodies import Body
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.headers import ALWAYS, NO_STORE, REQUEST_ID, request_id
from hurnet_stream.gateway.keys import Key
from hurnet_stream.gateway.leaving import HungUp
from hurnet_stream.gateway.origins import Origins, cors
from hurnet_stream.gateway.problems import Problem, busy
from hurnet_stream.metrics.gateway import OTHER, Refusal

log = structlog.get_logger()

WITH_KEY: Final = ("/v1/", "/mcp")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
STREAMS: Final = b"text/event-stream"
NO_PATH: Final = "there is no such path: GET /v1/openapi.json lists all"
HUNG_UP: Final = 499
"""The status in the log and the metrics of a request whose client did not wait for a response."""
_REFUSED: Final[dict[int, Refusal]] = {
    **{401: "key", 403: "right", 408: "slow", 413: "size", 421: "host", 429: "rate"}
}


class Guarded:
    """The application behind all guards, as ASGI has it. `handlers` make responses of exceptions."""

    def __init__(
        self, app: Starlette, gateway: Gateway, handlers: Mapping[type[Exception], ExceptionHandler]
    ) -> None:
        self.app = app
        self.gateway = gateway
        self._origins = Origins.of(gateway.settings.gateway)
        # Starlette's own outermost layer would answer a fault in plain text, and raise it all the same.
        self._routed = ExceptionMiddleware(app.router, dict(handlers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)  # the beginning and the end of the server
            return
        scope["app"] = self.app
        passing = _Passing(scope, receive, send, self.gateway)
        try:
            await self._pass(passing)
        except (HungUp, ClientDisconnect):
            passing.status = passing.status or HUNG_UP
        except asyncio.CancelledError:
            if passing.status or not self.gateway.ending.is_set():
                raise
            passing.body.complete = True
            await busy(503, "this gateway is stopping").response()(scope, receive, passing.send)
        finally:
            passing.end()

    async def _pass(self, passing: _Passing) -> None:
        try:
            self._admit(passing)
            if (answer := self._options(passing)) is None:
                await self._routed(passing.scope, passing.body.receive, passing.send)
                return
        except Problem as problem:
            passing.scope["state"]["problem"] = problem
            answer = problem.response()
        except (HungUp, ClientDisconnect):
            raise
        except Exception:
            log.exception("a request failed: this is a bug, please report it", **passing.facts())
            if passing.status:
                raise  # uvicorn closes the connection: the client sees that its response is cut off
            answer = Problem(500, "this is a fault of the gateway; its log has the request id").response()
        await answer(passing.scope, passing.body.receive, passing.send)

    def _admit(self, passing: _Passing) -> None:
        """Raises `Problem` if the request may not pass."""
        headers = passing.headers
        host = self._origins.check_host(headers.getlist("host"))
        passing.origin = self._origins.check_origin(headers, host)
        passing.body.check()
        path = passing.scope["path"]
        if passing.scope["method"] == "OPTIONS" or not path.startswith(WITH_KEY):
            return
        query = passing.scope["query_string"].decode("latin-1")
        key = recognised(self.gateway.keys, headers.getlist("authorization"), path, query)
        passing.admit(key)
        self.gateway.take(key)

    def _options(self, passing: _Passing) -> Response | None:
        """The answer to OPTIONS: which methods a path has, for pages of other origins too."""
        if passing.scope["method"] != "OPTIONS":
            return None
        allowed = methods_of(self.app, passing.scope)
        if not allowed:
            raise Problem(404, NO_PATH)
        response = Response(status_code=204, headers={"Allow": ", ".join(allowed)})
        if "access-control-request-method" in passing.headers:
            response.raw_headers.extend(cors(passing.origin, preflight=True))
        return response


class _Passing:
    """One request on its way in, and its response on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, gateway: Gateway) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self.body = Body(receive, self.headers, gateway.bodies)
        self.origin: str | None = None
        self.status = 0
        self._gateway = gateway
        self._send = send
        self._key: Key | None = None
        self._since = time.monotonic()
        self._streams = False
        self._id = request_id(self.headers.get(REQUEST_ID))
        scope["state"] = {**scope.get("state", {}), "request_id": self._id}

    def admit(self, key: Key) -> None:
        self._key = key
        self.scope["state"][KEY_STATE] = key

    async def send(self, message: Message) -> None:
        """With the headers that every response has. If the body was not read, the connection ends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._added(message["headers"])]
        elif not message.get("more_body", False) and not self.body.complete:
            await self._send({**message, "more_body": True})
            await self.body.read_away()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _added(self, given: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        names = {name.lower() for name, _ in given}
        self._streams = any(name == b"content-type" and STREAMS in value for name, value in given)
        yield from ALWAYS
        yield REQUEST_ID.encode(), self._id.encode()
        if b"cache-control" not in names:
            yield NO_STORE
        if not self.body.complete:
            yield b"connection", b"close"
        if b"access-control-allow-origin" not in names:
            yield from cors(self.origin)
        if self._gateway.settings.gateway.origins:
            yield b"vary", b"Origin"

    def facts(self) -> dict[str, Any]:
        """What the log may say of it."""
        return {
            "method": _method(self.scope),
            "route": _route(self.scope),
            "key": self._key.name if self._key else None,
            "request_id": self._id,
        }

    def end(self) -> None:
        """Count it and write its line."""
        self.body.end()
        metrics, seconds = self._gateway.metrics, time.monotonic() - self._since
        route, method = _route(self.scope), _method(self.scope)
        metrics.requests.labels(route, method, str(self.status)).inc()
        if not self._streams:
            metrics.http_seconds.labels(route).observe(seconds)
        problem = self.scope["state"].get("problem")
        if problem and (why := problem.refused or _REFUSED.get(problem.status)):
            metrics.refused.labels(why).inc()
        log.info("request", status=self.status, ms=round(1000 * seconds, 1), **self.facts())


def methods_of(app: Starlette, scope: Scope) -> list[str]:
    """The methods that this path has; empty if there is no such path."""
    found: set[str] = set()
    for route in app.routes:
        match, _ = route.matches({**scope, "method": "GET"})
        if match is not Match.NONE:
            found |= route.methods or set() if isinstance(route, Route) else {"GET", "HEAD"}
    return sorted(found | {"OPTIONS"}) if found else []


def _route(scope: Scope) -> str:
    """The template of the path, such as /v1/contexts/{name}."""
    route = scope.get("route")
    return route.path if isinstance(route, Route | Mount) else OTHER


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else OTHER


async def answer_unknown(request: Request, error: Exception) -> Response:
    """What Starlette calls for paths and methods that there are not."""
    if getattr(error, "status_code", 404) == 404:
        return Problem(404, NO_PATH).response()
    # Starlette's own header names the methods of one route, and a path may have several.
    allowed = ", ".join(methods_of(request.app, request.scope))
    detail = f"this path has no method {_method(request.scope)}: it has {allowed}"
    return Problem(405, detail, {"Allow": allowed}).response()
