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
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx

from hurnet_schemas import DEFAULT_CONTEXT, Feedback, InvalidMessage, Message, Query, Reply, base
from hurnet_stream.client import addresses
from hurnet_stream.client.connecting import advice, maker
from hurnet_stream.client.errors import ClientError, InvalidRequest, NoReply, Unreachable
from hurnet_stream.client.lanes import Lanes
from hurnet_stream.client.problems import error_of, is_passing
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks
from hurnet_stream.client.retrying import Again, Deadline, retry_after_s, tried
from hurnet_stream.client.transport import Forget, Keyed

_log = logging.getLogger(__name__)
MessageT = TypeVar("MessageT", bound=Message)

CONNECTIONS_MOST: Final = 64
CONNECT_S: Final = 5.0
RESPONSE_BYTES_MOST: Final = 8 << 20
"""No gateway sends as much; what stands at a wrong address may."""
_NOBODY_THERE: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
_SLACK_S: Final = 1.0
"""Our own time-out comes first, and httpx's this much later: its errors would not say what was waited for."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, the same at each try."""

    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Response:
    """What came. `after_s` is what Retry-After says, and `elsewhere` the server that it sends on to."""

    status: int
    content: bytes
    after_s: float | None
    elsewhere: str


class _Written(base.OwnMessage):
    """What a gateway says of texts that it has written."""

    watermarks: base.Watermarks


class _Corrected(_Written):
    """The same of a correction."""

    feedback: str
    taught: bool


class _Forgotten(_Written):
    """The same of a deletion."""

    records: tuple[str, ...]


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
        self._lanes = Lanes(maker(self._name, _headers(api_key), inner), CONNECTIONS_MOST)

    def __repr__(self) -> str:
        return f"OverHttp({self._name!r})"

    async def ask(self, query: Query, timeout_s: float) -> Reply:
        return await self._send(_Call("POST", "/v1/ask", query.encode()), Reply, timeout_s)

    async def teach(self, texts: Sequence[Keyed], timeout_s: float) -> Watermarks:
        content = b'{"texts":[' + b",".join(map(_text, texts)) + b"]}"
        written = await self._send(_write("POST", "/v1/texts", content), _Written, timeout_s)
        return Watermarks(written.watermarks)

    async def correct(self, feedback: Feedback, wait_s: float, timeout_s: float) -> Corrected:
        path = f"/v1/corrections?wait_ms={round(1000 * wait_s)}"
        said = await self._send(_write("POST", path, feedback.encode()), _Corrected, timeout_s)
        return Corrected(said.feedback, Watermarks(said.watermarks), said.taught)

    async def forget(self, what: Forget, timeout_s: float) -> Forgotten:
        if what.entry is not None:
            path = f"/v1/texts/{quote(str(what.entry))}"
        else:
            named = {"key": what.key or "", "context": what.context or DEFAULT_CONTEXT}
            path = f"/v1/texts?{urlencode(named)}"
        said = await self._send(_write("DELETE", path), _Forgotten, timeout_s)
        return Forgotten(said.records, Watermarks(said.watermarks))

    async def close(self) -> None:
        await self._lanes.close()

    async def _send(self, call: _Call, kind: type[MessageT], timeout_s: float) -> MessageT:
        """What a response says that is a success. Raises `ClientError`."""
        deadline = Deadline(timeout_s)
        response = await tried(partial(self._once, call, deadline), deadline)
        try:
            return kind.decode(response.content)
        except InvalidMessage as error:
            raise self._strange(response.status, str(error)) from None

    async def _once(self, call: _Call, deadline: Deadline) -> _Response | Again:
        try:
            async with asyncio.timeout(deadline.left_s), self._lanes.lane() as lane:
                response = await self._response(lane, call, deadline)
        except TimeoutError:
            raise NoReply(f"no reply from {self._name} within {deadline.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            return self._failed(error)
        self._met = True
        return self._judged(response)

    async def _response(self, lane: httpx.AsyncClient, call: _Call, deadline: Deadline) -> _Response:
        timeout = httpx.Timeout(deadline.left_s + _SLACK_S, connect=CONNECT_S)
        sent = lane.stream(
            call.method, call.path, content=call.content, headers=call.headers, timeout=timeout
        )
        async with sent as response:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > RESPONSE_BYTES_MOST:
                    raise self._strange(response.status_code, f"more than {RESPONSE_BYTES_MOST:,} bytes")
            after_s = retry_after_s(response.headers.get("Retry-After"))
            elsewhere = _server_of(response.headers.get("Location", ""))
            return _Response(response.status_code, bytes(content), after_s, elsewhere)

    def _failed(self, error: httpx.HTTPError) -> Again:
        """After a try without a response."""
        if not isinstance(error, httpx.TransportError):
            raise ClientError(f"{self._name}: {error}") from error
        said = str(error).rstrip(".") or type(error).__name__
        unreachable = Unreachable(f"no gateway answers at {self._name}: {said}. {advice(said)}")
        if not self._met and isinstance(error, _NOBODY_THERE):
            raise unreachable from error
        _log.debug("%s failed, and is tried again: %s", self._name, said)
        return Again(unreachable)

    def _judged(self, response: _Response) -> _Response | Again:
        if 200 <= response.status < 300:
            return response
        if 300 <= response.status < 400:
            to = f" to {response.elsewhere}: if that is the gateway, name it" if response.elsewhere else ""
            raise self._strange(response.status, f"it sends on{to}")
        error = error_of(response.status, response.content, self._name, response.after_s)
        if is_passing(response.status, response.after_s):
            _log.debug("%s answered %d, and is tried again", self._name, response.status)
            return Again(error, response.after_s)
        raise error

    def _strange(self, status: int, why: str) -> ClientError:
        return Unreachable(f"{self._name} answered {status}, but not as a gateway does: {why}")


def _server_of(url: str) -> str:
    """The scheme, host and port alone of where a response sends on to; "" if it names none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return base.shortened(f"{parts.scheme}://{host}", 200) if parts.scheme and host else ""


def _headers(api_key: object) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if api_key is not None:
        if not isinstance(api_key, str) or not re.fullmatch(r"[!-~]+", api_key):
            raise InvalidRequest("it is not a key that `hurnet keys new` made", "api_key")
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


def _text(text: Keyed) -> bytes:
    """A text as JSON, with its key."""
    encoded = text.event.encode()
    return encoded if text.key is None else b'{"key":' + json.dumps(text.key).encode() + b"," + encoded[1:]
