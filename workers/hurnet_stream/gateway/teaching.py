"""POST /v1/texts: one text, or up to 1,000, which are written together or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_schemas import KeyedText, TextEvent
from hurnet_stream.gateway.access import key_of, require
from hurnet_stream.gateway.body import message_in, messages_of, object_of
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.requests import accepted, wanted_of
from hurnet_stream.gateway.writes import Written
from hurnet_stream.ports import Outgoing

TEXTS_MOST: Final = 1_000
FREE: Final = 100
"""So many texts cost as much of the key's rate as a request."""


def routes(gateway: Gateway) -> list[Route]:
    """Of teaching."""

    async def teach(request: Request) -> Response:
        require(request, "teach")
        texts = _texts(await object_of(request))
        for context in {text.context for text in texts}:
            require(request, "teach", context)
        written = await taught(gateway, request, [(text, text.key, None) for text in texts])
        return accepted(written, {"records": records_of(gateway, written)}, written.watermarks)

    return [Route("/v1/texts", teach, methods=["POST"])]


async def taught(
    gateway: Gateway, request: Request, texts: Iterable[tuple[TextEvent, str | None, int | None]]
) -> Written:
    """Write texts, each with the key and the time of its record, together. Raises `Problem`."""
    topic = gateway.settings.kafka.texts
    messages = [
        Outgoing(topic, text.encode(), key.encode() if key else None, timestamp_ms=timestamp_ms)
        for text, key, timestamp_ms in texts
    ]
    gateway.charge(key_of(request), len(messages) // FREE)
    wanted = wanted_of(request, b"\n".join(map(_asks, messages)), topic, len(messages))
    return await while_there(request, gateway.writes.write(messages, wanted))


def _asks(message: Outgoing) -> bytes:
    """All that a text's message asks for."""
    time = b"" if message.timestamp_ms is None else b"\t%d" % message.timestamp_ms
    return (message.key or b"") + b"\t" + (message.value or b"") + time


def records_of(gateway: Gateway, written: Written) -> list[str]:
    """Where the texts are, as texts/0/41."""
    topic = gateway.settings.kafka.texts
    return [f"{topic}/{partition}/{offset}" for partition, offset in written.places]


def _texts(fields: dict[str, object]) -> Sequence[KeyedText]:
    """The texts of a body. Raises `Problem` (422), which names all that is wrong."""
    if "texts" not in fields:
        return [message_in(fields, KeyedText)]
    return messages_of(fields, KeyedText, "texts", TEXTS_MOST)
