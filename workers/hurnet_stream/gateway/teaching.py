"""POST /v1/texts: one text, or up to 1,000, which are written together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_schemas import InvalidMessage, KeyedText
from hurnet_stream.gateway.access import key_of, require
from hurnet_stream.gateway.body import invalid, messages_of, object_of
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.problems import Problem
from hurnet_stream.gateway.requests import accepted, wanted_of
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
        topic, messages = gateway.settings.kafka.texts, messages_of_texts(gateway, texts)
        gateway.charge(key_of(request), len(texts) // FREE)
        asks = b"\n".join((each.key or b"") + b"\t" + (each.value or b"") for each in messages)
        wanted = wanted_of(request, asks, topic, len(messages))
        written = await while_there(request, gateway.writes.write(messages, wanted))
        records = [f"{topic}/{partition}/{offset}" for partition, offset in written.places]
        return accepted(written, {"records": records}, written.watermarks)

    return [Route("/v1/texts", teach, methods=["POST"])]


def messages_of_texts(gateway: Gateway, texts: Sequence[KeyedText]) -> Sequence[Outgoing]:
    """The records of the texts."""
    topic = gateway.settings.kafka.texts
    return [Outgoing(topic, text.encode(), text.key.encode() if text.key else None) for text in texts]


def _texts(fields: dict[str, object]) -> Sequence[KeyedText]:
    """The texts of a body. Raises `Problem` (422), which names all that is wrong."""
    if "texts" not in fields:
        try:
            return [KeyedText.of_fields(fields)]
        except InvalidMessage as error:
            raise invalid(error) from None
    if unknown := sorted(fields.keys() - {"texts"}):
        raise Problem(422, f"{unknown[0][:40]!r} has no place beside texts", where=unknown[0][:40])
    return messages_of(fields["texts"], KeyedText, "texts", TEXTS_MOST)
