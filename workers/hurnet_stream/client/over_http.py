"""Over HTTP, to a gateway.

A call that fails for a while is tried again until its time is up: after 429, 502, 503 and 504, and if a
connection was lost. A write has an `Idempotency-Key` that all its tries have in common, so that it happens
once, even if only the response was lost. A server that was never reached is not waited for: the address may
be wrong.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

import httpx

from hurnet_schemas import DEFAULT_CONTEXT, Feedback, InvalidMessage, Query, Reply
from hurnet_schemas.places import shard
from hurnet_stream.client import addresses
from hurnet_stream.client.errors import (
    ClientError,
    Closed,
    InvalidRequest,
    NoReply,
    Unreachable,
)
from hurnet_stream.client.lanes import Lanes
from hurnet_stream.client.problems import error_of, is_passing
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks
from hurnet_stream.client.retrying import Again, Deadline, retry_after_s, tried
from hurnet_stream.client.transport import Forget, Keyed

_log = logging.getLogger(__name__)

CONNECTIONS_MOST: Final = 64
CONNECT_S: Final = 5.0
_SLACK_S: Final = 1.0
"""Our own time-out comes first, and httpx's this much later: its errors would not say what was waited for."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, the same at each try."""

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def _write(method: str, path: str, content: bytes | None = None) -> _Call:
    return _Call(method, path, content, {"Idempotency-Key": uuid.uuid4().hex})


class OverHttp:
    """Fills `Transport`. Making one connects to nothing yet.

    Proxies are taken from the environment (HTTPS_PROXY, NO_PROXY), but never for this machine itself.
    `inner` takes the place of the network."""

    def __init__(
        self, address: str, api_key: str | None = None, inner: httpx.AsyncBaseTransport | None = None
    ) -> None:
        parts = addresses.split(address)
        self._name = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._met = False
        self._closed = False
        trust_env = not addresses.is_loopback(parts.hostname or "")
        make = partial(
            httpx.AsyncClient,
            base_url=self._name,
            headers=_headers(api_key),
            transport=inner,
            trust_env=trust_env,
            verify=httpx.create_ssl_context(trust_env=trust_env),  # once, since it takes 20 ms
        )
        self._lanes = Lanes(make, CONNECTIONS_MOST)

    def __repr__(self) -> str:
        return f"OverHttp({self._name!r})"

    async def ask(self, query: Query, timeout_s: float) -> Reply:
        response = await self._send(_Call("POST", "/v1/ask", query.encode()), timeout_s)
        try:
            return Reply.decode(response.content)
        except InvalidMessage as error:
            raise self._strange(response, str(error)) from None

    async def teach(self, texts: Sequence[Keyed], timeout_s: float) -> Watermarks:
        content = b'{"texts":[' + b",".join(map(_text, texts)) + b"]}"
        response = await self._send(_write("POST", "/v1/texts", content), timeout_s)
        return cast(Watermarks, self._fields(response)["watermarks"])

    async def correct(self, feedback: Feedback, wait_s: float, timeout_s: float) -> Corrected:
        path = f"/v1/corrections?wait_ms={round(1000 * wait_s)}"
        response = await self._send(_write("POST", path, feedback.encode()), timeout_s)
        fields = self._fields(response, feedback=str, taught=bool)
        return Corrected(fields["feedback"], fields["watermarks"], fields["taught"])

    async def forget(self, what: Forget, timeout_s: float) -> Forgotten:
        if what.entry is not None:
            path = f"/v1/texts/{quote(str(what.entry))}"
        else:
            named = {"key": what.key or "", "context": what.context or DEFAULT_CONTEXT}
            path = f"/v1/texts?{urlencode(named)}"
        response = await self._send(_write("DELETE", path), timeout_s)
        fields = self._fields(response, records=list)
        return Forgotten(tuple(map(str, fields["records"])), fields["watermarks"])

    async def close(self) -> None:
        self._closed = True
        await self._lanes.close()

    async def _send(self, call: _Call, timeout_s: float) -> httpx.Response:
        """The response, which is a success. Raises `ClientError`."""
        deadline = Deadline(timeout_s)
        return await tried(partial(self._once, call, deadline), deadline)

    async def _once(self, call: _Call, deadline: Deadline) -> httpx.Response | Again:
        try:
            async with asyncio.timeout(deadline.left_s), self._lanes.lane() as lane:
                response = await lane.request(
                    call.method,
                    call.path,
                    content=call.content,
                    headers=call.headers,
                    timeout=httpx.Timeout(deadline.left_s + _SLACK_S, connect=CONNECT_S),
                )
        except TimeoutError:
            raise NoReply(f"no reply from {self._name} within {deadline.timeout_s:g} s") from None
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: httpx was closed meanwhile
            return self._failed(error)
        self._met = True
        return self._judged(response)

    def _failed(self, error: Exception) -> Again:
        """After a try without a response."""
        if self._closed:
            raise Closed(f"the client of {self._name} was closed") from None
        if not isinstance(error, httpx.TransportError):
            raise ClientError(f"{self._name}: {error}") from error
        said = str(error).rstrip(".") or type(error).__name__
        unreachable = Unreachable(
            f"no gateway answers at {self._name}: {said}. Does `hurnet gateway` run there?"
        )
        if not self._met and isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol):
            raise unreachable from error
        _log.debug("%s failed, and is tried again: %s", self._name, said)
        return Again(unreachable)

    def _judged(self, response: httpx.Response) -> httpx.Response | Again:
        if response.is_success:
            return response
        after_s = retry_after_s(response.headers.get("Retry-After"))
        error = error_of(response.status_code, response.content, self._name, after_s)
        if is_passing(response.status_code, after_s):
            _log.debug("%s answered %d, and is tried again", self._name, response.status_code)
            return Again(error, after_s)
        raise error

    def _fields(self, response: httpx.Response, **kinds: type) -> dict[str, Any]:
        """The response's JSON object, which has fields of these kinds, and `watermarks`."""
        try:
            fields = response.json()
            fields["watermarks"] = Watermarks({shard(p): int(o) for p, o in fields["watermarks"].items()})
            missing = [name for name, kind in kinds.items() if not isinstance(fields[name], kind)]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._strange(response, f"{type(error).__name__}: {error}") from None
        if missing:
            raise self._strange(response, f"no {', '.join(missing)}")
        return cast(dict[str, Any], fields)

    def _strange(self, response: httpx.Response, why: str) -> ClientError:
        return Unreachable(f"{self._name} answered {response.status_code}, but not as a gateway does: {why}")


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if api_key is not None:
        if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
            raise InvalidRequest("it is not a key that `hurnet keys new` made", "api_key")
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


def _text(text: Keyed) -> bytes:
    """A text as JSON, with its key."""
    encoded = text.event.encode()
    return encoded if text.key is None else b'{"key":' + json.dumps(text.key).encode() + b"," + encoded[1:]
