"""POST /v1/ask: a question through Kafka, and its reply; or up to 64 questions at once.

A question that is given up, because its client hung up or its time is over, is forgotten here, and responders
that read it later see by its `timeout_ms` that nobody waits any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hurnet_schemas import Query, Reply
from hurnet_schemas.detail import least
from hurnet_schemas.places import ShardName, watermarks
from hurnet_stream.asker import signed
from hurnet_stream.client.switchboard import NoReply, NotSent
from hurnet_stream.errors import UpgradeNeeded
from hurnet_stream.gateway.access import key_of, require
from hurnet_stream.gateway.body import message_in, messages_of, object_of
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.keys import Key
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.problems import Problem, busy
from hurnet_stream.ports import Headers, TraceContext
from hurnet_stream.ports.tracing import TRACEPARENT, parse_traceparent
from hurnet_stream.settings.redaction import redacted

QUESTIONS_MOST: Final = 64
AFTER: Final = "hurnet-after"
PATIENCE_S: Final = 2.0
"""We wait so much longer than a responder may, so that its reply has time to come."""


def routes(gateway: Gateway) -> list[Route]:
    """Of asking."""

    async def ask(request: Request) -> Response:
        require(request, "ask")
        fields = await object_of(request)
        if "questions" not in fields:
            query = _ready(gateway, request, message_in(fields, Query))
            reply = await while_there(request, asked(gateway, query, trace_of(request), key_of(request)))
            return Response(reply.encode(), media_type="application/json")
        queries = messages_of(fields, Query, "questions", QUESTIONS_MOST)
        ready = [_ready(gateway, request, query) for query in queries]
        gateway.charge(key_of(request), len(ready) - 1)
        return await while_there(request, _all_asked(gateway, ready, trace_of(request), key_of(request)))

    return [Route("/v1/ask", ask, methods=["POST"])]


async def asked(
    gateway: Gateway, query: Query, trace: TraceContext | None = None, key: Key | None = None
) -> Reply:
    """The reply. Raises `Problem`: 503 if too many questions wait or Kafka is away, 504 if none came."""
    _check_room(gateway, 1)
    return await _asked(gateway, query, trace, key)


def trace_of(request: Request) -> TraceContext | None:
    """The trace that the client's own header `traceparent` names."""
    given = request.headers.get(TRACEPARENT)
    return parse_traceparent(given.encode("latin-1")) if given else None


def watermarks_of(request: Request) -> dict[ShardName, int]:
    """What the header Hurnet-After says: 0=41,tickets/3=39. Raises `Problem` (422)."""
    try:
        return watermarks(",".join(request.headers.getlist(AFTER)))
    except ValueError as error:
        raise Problem(422, f"Hurnet-After: {error}", where=AFTER) from None


async def _asked(gateway: Gateway, query: Query, trace: TraceContext | None, key: Key | None) -> Reply:
    limit_s = gateway.settings.gateway.timeout
    future = asyncio.wrap_future(
        gateway.switchboard.ask(query, trace, _signing(gateway, key))
    )  # cancelled with the request
    gateway.metrics.questions.set(gateway.switchboard.waiting)
    try:
        async with asyncio.timeout(limit_s):
            return await future
    except NotSent as error:
        raise busy(503, redacted(f"not asked: {error}"), refused="kafka") from None
    except UpgradeNeeded as error:  # while responders are upgraded before the gateways
        raise busy(503, str(error)) from None
    except (TimeoutError, NoReply):
        told = f"no reply within {limit_s:g} s: does a responder run?"
        raise _untaken(gateway) or Problem(504, told) from None
    finally:
        future.cancel()
        gateway.metrics.questions.set(gateway.switchboard.waiting)


def _signing(gateway: Gateway, key: Key | None) -> Callable[[bytes, bytes], Headers] | None:
    """Makes the headers that say who asks, if an audit may want to know it."""
    secret = gateway.settings.privacy.current("audit_secret")
    return partial(signed, secret, key.name) if secret and key else None


async def _all_asked(
    gateway: Gateway, queries: Sequence[Query], trace: TraceContext | None, key: Key
) -> Response:
    """All replies, in order. One that did not come has the outcome timed-out."""
    _check_room(gateway, len(queries))
    asking = [asyncio.ensure_future(_asked(gateway, query, trace, key)) for query in queries]
    try:
        replies = [await _or_timed_out(one, query) for one, query in zip(asking, queries, strict=True)]
    finally:
        for one in asking:
            one.cancel()
    return JSONResponse({"replies": [r.model_dump(mode="json", exclude_none=True) for r in replies]})


async def _or_timed_out(asking: asyncio.Future[Reply], query: Query) -> Reply:
    try:
        return await asking
    except Problem as problem:
        if problem.status != 504:
            raise
        return Reply(id=query.id or "", outcome="timed-out", reason=problem.detail, question=query.text)


def _check_room(gateway: Gateway, count: int) -> None:
    """Raises `Problem` (503) if so many questions can't be sent now. A batch that is larger than the limit is
    taken if nothing else waits."""
    most, waiting = gateway.settings.gateway.in_flight, gateway.switchboard.waiting
    if waiting and waiting + count > most:
        raise busy(503, f"{waiting:,} questions wait for their replies already", refused="in-flight")
    if trouble := gateway.switchboard.trouble():
        raise busy(503, redacted(f"no replies can be read at the moment: {trouble}"), refused="kafka")
    if problem := _untaken(gateway):
        raise problem


def _untaken(gateway: Gateway) -> Problem | None:
    """503 if Kafka leaves a question lying for longer than a broker may take to answer. The client of Kafka
    itself goes on trying for twice as long before it says so."""
    limit_s = gateway.settings.kafka.request_timeout
    if gateway.switchboard.untaken_s() <= limit_s:
        return None
    return busy(503, f"Kafka is away: it did not take a question within {limit_s:g} s", refused="kafka")


def _ready(gateway: Gateway, request: Request, query: Query) -> Query:
    """The query as it is sent: its key may ask there, and it says how long anybody waits for its reply."""
    key = require(request, "ask", query.context)
    limit_s = gateway.settings.gateway.timeout
    longest_ms = round(1000 * max(limit_s - PATIENCE_S, limit_s / 2))
    after = dict(query.min_watermarks)
    for partition, offset in watermarks_of(request).items():
        after[partition] = max(offset, after.get(partition, offset))
    waits_ms, detail = min(query.timeout_ms or longest_ms, longest_ms), least((query.detail, key.detail))
    return query.model_copy(update={"timeout_ms": waits_ms, "min_watermarks": after, "detail": detail})
