"""POST /v1/ask: a question through Kafka, and its reply."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_schemas import Query, Reply
from hurnet_stream.client.switchboard import NoReply, NotSent
from hurnet_stream.gateway.body import message_of
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.problems import Problem, busy


def routes(gateway: Gateway) -> list[Route]:
    """Of asking."""

    async def ask(request: Request) -> Response:
        reply = await asked(gateway, await message_of(request, Query))
        return Response(reply.encode(), media_type="application/json")

    return [Route("/v1/ask", ask, methods=["POST"])]


async def asked(gateway: Gateway, query: Query) -> Reply:
    """The reply. Raises `Problem`: 503 if too many questions wait or Kafka is away, 504 if none came."""
    limits = gateway.settings.gateway
    if gateway.switchboard.waiting >= limits.in_flight:
        gateway.metrics.refused.labels("in-flight").inc()
        raise busy(503, f"{limits.in_flight} questions wait for their replies already")
    if trouble := gateway.switchboard.trouble():
        gateway.metrics.refused.labels("kafka").inc()
        raise busy(503, f"no replies can be read at the moment: {trouble}")
    future = asyncio.wrap_future(gateway.switchboard.ask(query))  # cancelled with the request
    gateway.metrics.questions.set(gateway.switchboard.waiting)
    try:
        return await asyncio.wait_for(future, limits.timeout)
    except NotSent as error:
        raise busy(503, str(error)) from None
    except (TimeoutError, NoReply):
        raise Problem(504, f"no reply within {limits.timeout:g} s: does a responder run?") from None
    finally:
        gateway.metrics.questions.set(gateway.switchboard.waiting)
