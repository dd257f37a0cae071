"""GET /v1/me, /v1/schemas, /v1/asyncapi.json: who asks, and what messages look like."""

from __future__ import annotations

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hurnet_schemas import MESSAGES, Message, Reply
from hurnet_stream.gateway import openapi
from hurnet_stream.gateway.access import key_of
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.operations import asyncapi


def routes(gateway: Gateway) -> list[Route]:
    """Of what the gateway tells of itself. Every key may see it."""
    kinds: tuple[type[Message], ...] = (*MESSAGES, Reply)
    schemas = {kind.__name__: kind.model_json_schema() for kind in kinds}

    async def me(request: Request) -> Response:
        key = key_of(request)
        return JSONResponse(
            {
                "name": key.name,
                "rights": sorted(key.rights),
                "contexts": list(key.contexts),
                "detail": key.detail,
                "open": gateway.keys.open_to_all,
            }
        )

    async def messages(_request: Request) -> Response:
        return JSONResponse(schemas)

    async def of_kafka(_request: Request) -> Response:
        return JSONResponse(asyncapi.document(gateway.settings.kafka, version("hurnet-stream"), server=False))

    async def of_http(_request: Request) -> Response:
        return JSONResponse(openapi.document(version("hurnet-stream")))

    return [
        Route("/v1/me", me),
        Route("/v1/schemas", messages),
        Route("/v1/openapi.json", of_http),
        Route("/v1/asyncapi.json", of_kafka),
    ]
