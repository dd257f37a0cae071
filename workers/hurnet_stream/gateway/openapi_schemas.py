"""The schemas of the OpenAPI document that are no messages, and what schemas are written with."""

from __future__ import annotations

from typing import Any, Final

from hurnet_schemas.detail import DETAILS
from hurnet_stream.gateway.keys import RIGHTS

Json = dict[str, Any]

REF: Final = "#/components/schemas/"


def fields(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def ref(name: str) -> Json:
    return {"$ref": REF + name}


def listed(schema: Json, most: int | None = None) -> Json:
    return {"type": "array", "items": schema} | ({"minItems": 1, "maxItems": most} if most else {})


NUMBER: Final = {"type": "integer"}
STRING: Final = {"type": "string"}
FREE: Final = {"type": "object"}
MARKS: Final = {"type": "object", "additionalProperties": NUMBER}
SCHEMAS: Final[Json] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": STRING,
            "title": STRING,
            "status": NUMBER,
            "detail": STRING,
            "reason": STRING,
            "where": STRING,
            "errors": listed(fields(where=STRING, message=STRING)),
        },
    },
    "Accepted": {
        "type": "object",
        "description": "Kafka has it: the header Hurnet-After of a question takes the watermarks.",
        "required": ["watermarks"],
        "properties": {"watermarks": MARKS, "records": listed(STRING)},
    },
    "Corrected": fields(feedback=STRING, taught={"type": "boolean"}, watermarks=MARKS),
    "TaughtFile": fields(
        records=listed(STRING),
        watermarks=MARKS,
        rows=NUMBER,
        rejected=NUMBER,
        rejects=listed(fields(line=NUMBER, reason=STRING, message=STRING)),
        columns={"type": "object", "additionalProperties": STRING},
        preview=listed(ref("TextEvent")),
    ),
    "ContextSize": {
        "type": "object",
        "required": ["name", "entries", "bytes"],
        "properties": {
            "name": STRING,
            **dict.fromkeys(("entries", "bytes", "pairs", "answers", "weights"), NUMBER),
        },
    },
    "Me": fields(
        name=STRING,
        rights=listed({"enum": list(RIGHTS)}),
        contexts=listed(STRING),
        detail={"enum": list(DETAILS)},
        open={"type": "boolean"},
    ),
}
