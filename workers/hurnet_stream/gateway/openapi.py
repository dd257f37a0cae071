"""The OpenAPI document: every route with its right, its messages and an example.

The messages are the pydantic models that routes read and write. The routes stand in `openapi_table`, which a
test compares with those of the application."""

from __future__ import annotations

from typing import Final

from pydantic.json_schema import models_json_schema

from hurnet_schemas import DeadLetter, Feedback, KeyedText, Query, Reply, TextEvent
from hurnet_schemas.places import OFFSET_MOST, PARTITION_MOST, TOPIC
from hurnet_stream.gateway.openapi_schemas import REF, SCHEMAS, Json
from hurnet_stream.gateway.openapi_table import CONTEXT, OPERATIONS, Operation, as_json
from hurnet_stream.gateway.problems import MEDIA_TYPE

_MODELS: Final = (Query, KeyedText, TextEvent, Feedback, Reply, DeadLetter)
_ANYWHERE: Final = (400, 401, 403, 404, 421, 429, 431, 500, 503)
_PATHS: Final[dict[str, Json]] = {
    "topic": {"type": "string", "pattern": f"^{TOPIC}$"},
    "partition": {"type": "integer", "minimum": 0, "maximum": PARTITION_MOST},
    "offset": {"type": "integer", "minimum": 0, "maximum": OFFSET_MOST},
    "name": CONTEXT,
}
_WITH_BODY: Final = (408, 413, 415, 422)
_WRITTEN: Final[Json] = {
    "Hurnet-Watermarks": {"schema": {"type": "string"}, "description": "What Hurnet-After takes."},
    "Idempotency-Replayed": {
        "schema": {"enum": ["true"]},
        "description": "There if an earlier try has written it.",
    },
}
_ERRORS: Final = {
    400: "Something in the request's line or headers is wrong.",
    401: "There is no key, or none that is in force.",
    403: "The key has no right to this, or a page of another origin asked.",
    404: "There is none, or the key may not see it.",
    408: "The body came too slowly.",
    409: "The same request is under way, or can't be.",
    410: "Retention has taken it.",
    413: "The body is too long, or a message too large for its topic.",
    415: "The body is of another type.",
    421: "The gateway does not answer to this name.",
    422: "The message is wrong: `errors` name each field. Or its topic refuses it: `detail` says why.",
    429: "More requests than the key may make: Retry-After says when.",
    431: "The request's line and headers are too long.",
    500: "A fault of the gateway: its log has the request id.",
    503: "Too much at the moment, or a server is away: Retry-After says when.",
    504: "No reply, or no result, in time.",
}


def document(release: str) -> Json:
    """The whole document."""
    _, made = models_json_schema([(model, "validation") for model in _MODELS], ref_template=REF + "{model}")
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hurnet-stream",
            "version": release,
            "description": "Ask, teach, correct and watch. Everything goes through Kafka.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": made["$defs"] | SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "hk_..."}},
        },
        "security": [{"key": []}, {}],
    }


def _operation(operation: Operation) -> Json:
    errors = {*_ANYWHERE, *operation.more, *(_WITH_BODY if operation.body else (422,))}
    right = f"Needs the right to {operation.right}." if operation.right else "For every key."
    told: Json = {
        "operationId": _id(operation),
        "summary": operation.summary,
        "description": right,
        "responses": {str(operation.status): _answer(operation)}
        | {str(status): _problem(status) for status in sorted(errors - {operation.status})},
    }
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    if parameters := [*map(_in_path, names), *operation.parameters]:
        told["parameters"] = parameters
    if operation.body:
        told["requestBody"] = {"required": True, "content": operation.body}
    return told


def _id(operation: Operation) -> str:
    words = [part.strip("{}") for part in operation.path.removeprefix("/v1/").split("/")]
    return "-".join([operation.method, *words]).replace(".", "-")


def _answer(operation: Operation) -> Json:
    content = operation.result if "content" in operation.result else as_json(operation.result)
    headers = {"headers": _WRITTEN} if operation.status == 202 else {}
    return {"description": operation.summary, **content, **headers}


def _problem(status: int) -> Json:
    told: Json = {
        "description": _ERRORS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF + "Problem"}}},
    }
    if status in (429, 503):
        told["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
    return told


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _PATHS[name]}
