"""GET /v1/receipts/{topic}/{partition}/{offset}: an answer that was given, with the question it answers.

The record of an answer is the lasting name of its receipt. Only topics of answers are read, and a key sees
those of its contexts: anything else is 404, whether it is there or not. 410 says that retention took it.
"""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_schemas import Answer, InvalidMessage, Query, Reply
from hurnet_schemas.places import record_place
from hurnet_stream.gateway.access import key_of, require
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.reading import read
from hurnet_stream.operations.again.asked import is_of
from hurnet_stream.overview.record_reader import NotHeld
from hurnet_stream.settings.types import matches


def routes(gateway: Gateway) -> list[Route]:
    """Of receipts."""

    async def receipt(request: Request) -> Response:
        reply = (await found(gateway, request)).limited(key_of(request).detail)
        return Response(reply.encode(), media_type="application/json")

    return [Route("/v1/receipts/{topic}/{partition}/{offset}", receipt)]


async def found(gateway: Gateway, request: Request) -> Reply:
    """The reply that the path names. Raises `Problem` 404 or 410."""
    require(request, "ask")
    topic, partition, offset = _place(gateway, request)
    name = f"{topic}/{partition}/{offset}"
    try:
        record = await read(gateway, request, partial(gateway.readings.record, topic, partition, offset))
        answer = Answer.decode(record.value)
    except InvalidMessage:
        raise _none(name) from None
    except NotHeld as error:
        raise Problem(410, str(error)) if error.taken else _none(name) from None
    _check_context(request, answer, name)
    return Reply.of(answer, await _question(gateway, request, answer), name)


def _place(gateway: Gateway, request: Request) -> tuple[str, int, int]:
    given = "/".join(request.path_params[each] for each in ("topic", "partition", "offset"))
    try:
        name, partition, offset, _ = record_place(given)
    except ValueError:
        raise _none(given) from None
    topic = name or ""
    settings = gateway.settings
    ours = (settings.kafka.answers, settings.gateway.replies)
    others = (
        settings.kafka.texts,
        settings.kafka.queries,
        settings.kafka.feedback,
        settings.kafka.dead_letters,
    )
    if topic not in ours and (topic in others or not matches(settings.responder.reply_topics, topic)):
        raise _none(given)
    return topic, partition, offset


def _check_context(request: Request, answer: Answer, name: str) -> None:
    """Raises `Problem` (404) if the key may not see the context that was asked."""
    key = require(request, "ask")
    seen = key.reaches_all if answer.receipt is None else key.reaches(answer.receipt.context)
    if not seen:
        raise _none(name)


async def _question(gateway: Gateway, request: Request, answer: Answer) -> str:
    """The text of the question, from its own record; "" if that is not there any more, or if the record is
    another question today."""
    if answer.receipt is None:
        return ""
    queries = gateway.settings.kafka.queries
    try:
        topic, partition, offset, _ = record_place(answer.receipt.query)
        if topic != queries:
            return ""
        record = await read(gateway, request, partial(gateway.readings.record, topic, partition, offset))
        query = Query.decode(record.value)
    except (NotHeld, ValueError):  # InvalidMessage among them
        return ""
    return query.text if is_of(answer, query) else ""


def _none(name: str) -> Problem:
    return Problem(404, f"there is no receipt {name[:300]!r} for this key")
