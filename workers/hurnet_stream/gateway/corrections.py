"""POST /v1/corrections: what was right or wrong, taught, and waited for until it has its effect."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hurnet_schemas import Feedback
from hurnet_stream.client.effects import Watermarks
from hurnet_stream.feedback.lessons import correction_key
from hurnet_stream.gateway.access import require
from hurnet_stream.gateway.body import message_of
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.idempotency import Wanted
from hurnet_stream.gateway.leaving import while_there
from hurnet_stream.gateway.parameters import number_of
from hurnet_stream.gateway.requests import accepted, wanted_of
from hurnet_stream.gateway.writes import Written
from hurnet_stream.ports import Outgoing

WAIT_MS: Final = 5_000
WAIT_MS_MOST: Final = 60_000


def routes(gateway: Gateway) -> list[Route]:
    """Of correcting."""

    async def correct(request: Request) -> Response:
        require(request, "teach")
        wait_ms = number_of(request, "wait_ms", WAIT_MS, 0, WAIT_MS_MOST)
        feedback = await message_of(request, Feedback)
        require(request, "teach", feedback.context)
        kafka = gateway.settings.kafka
        wanted = wanted_of(request, feedback.encode(), kafka.feedback, 1, kafka.texts)
        correcting = corrected(gateway, feedback, wanted, wait_ms / 1000)
        source, written, watermarks = await while_there(request, correcting)
        content = {"feedback": source, "taught": watermarks is not None}
        return accepted(written, content, watermarks or {})

    return [Route("/v1/corrections", correct, methods=["POST"])]


async def corrected(
    gateway: Gateway, feedback: Feedback, wanted: Wanted | None, wait_s: float
) -> tuple[str, Written, Watermarks | None]:
    """The feedback's coordinates, how it was written, and the watermarks of its effect; None if there was
    none within `wait_s`. Raises `Problem`."""
    kafka, writes = gateway.settings.kafka, gateway.writes
    key = correction_key(feedback.context, feedback.question)
    await writes.follow_effects()
    written = await writes.write([Outgoing(kafka.feedback, feedback.encode(), key)], wanted)
    partition, offset = written.places[0]
    source = f"{kafka.feedback}/{partition}/{offset}"
    return source, written, await writes.effect(source, written, kafka.texts, wait_s)
