"""The OpenAPI document: it has every route and no other, and messages are what it says."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from hurnet_schemas import Message, Query, TextEvent
from hurnet_stream.command_line import hurnet
from hurnet_stream.gateway.openapi import document
from tests.acceptance.system import wait_for
from tests.unit.test_schemas import GOLDEN
from tests.worlds.gateway import GatewayWorld

DOCUMENT = document("0")
OPERATIONS = [
    (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path != "/v1/events"  # it does not end
]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def world() -> Iterator[GatewayWorld]:
    made = GatewayWorld(timeout=2, hosts="*")
    made.gateway.children.command = (sys.executable, "-c", "print({})")
    wait_for(lambda: made.gateway.writes.group.trouble() is None)
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(world: GatewayWorld) -> Any:
    return schemathesis.openapi.from_asgi("/v1/openapi.json", world.app)


def test_it_has_every_route_and_no_other(world: GatewayWorld) -> None:
    routes = {
        (route.path, method.lower())
        for route in world.app.app.routes
        if isinstance(route, Route) and route.path.startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    told = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert told == routes


def test_it_is_openapi_and_its_references_lead_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in DOCUMENT["components"]["schemas"]
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def validated(value: Any, schema: dict[str, Any]) -> None:
    jsonschema.validate(value, {**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "/v1/ask", {"text": "hi"}, 200),
        ("post", "/v1/ask", {"questions": [{"text": "hi"}, {"text": "yo", "top_k": 2}]}, 200),
        ("post", "/v1/texts", {"text": "hi", "answer": "hello", "key": "k"}, 202),
        ("post", "/v1/texts", {"texts": [{"text": "hi"}]}, 202),
        ("get", "/v1/contexts", None, 200),
        ("post", "/v1/corrections?wait_ms=0", {"question": "q", "verdict": "wrong", "answer": "a"}, 202),
        ("get", "/v1/me", None, 200),
        ("get", "/v1/dead-letters", None, 200),
    ],
)
def test_golden_requests_and_replies_are_what_it_says(
    world: GatewayWorld, method: str, path: str, body: Any, status: int
) -> None:
    operation = DOCUMENT["paths"][path.partition("?")[0]][method]
    if body is not None:
        validated(body, operation["requestBody"]["content"]["application/json"]["schema"])
    response = world.call(method.upper(), path, json=body) if body else world.call(method.upper(), path)
    assert response.status_code == status
    validated(response.json(), operation["responses"][str(status)]["content"]["application/json"]["schema"])


@pytest.mark.parametrize(
    ("kind", "raw"),
    [(kind, raw) for kind, raw in GOLDEN if kind.__name__ in DOCUMENT["components"]["schemas"]],
)
def test_golden_messages_of_topics_are_what_it_says_of_them(kind: type[Message], raw: str) -> None:
    validated(json.loads(raw), {"$ref": f"#/components/schemas/{kind.__name__}"})
    if kind in (TextEvent, Query):
        with pytest.raises(jsonschema.ValidationError):
            validated(json.loads(raw) | {"txt": "x"}, {"$ref": f"#/components/schemas/{kind.__name__}"})


def test_examples_are_taken(world: GatewayWorld) -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                if "example" not in content or path in ("/v1/rehearsals", "/v1/corrections"):
                    continue
                example = content["example"]
                raw = example if isinstance(example, str) else json.dumps(example)
                response = world.call(method.upper(), path, content=raw, headers={"content-type": kind})
                assert response.status_code in (200, 202), (path, response.text)


def test_the_command_prints_it() -> None:
    printed = CliRunner().invoke(hurnet, ["schemas", "--openapi"])
    assert json.loads(printed.stdout)["paths"].keys() == DOCUMENT["paths"].keys()
    assert CliRunner().invoke(hurnet, ["schemas", "--openapi", "--asyncapi"]).exit_code == 2


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_asked_there_is_no_fault_and_no_answer_that_it_does_not_tell(
    served: Any, method: str, path: str, mode: schemathesis.GenerationMode
) -> None:
    """What the document allows, and what it does not. 503 and 504 are answers, too."""
    operation = served[path][method]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def check(case: Any) -> None:
        if path == "/v1/corrections":
            case.query["wait_ms"] = 0  # nobody here teaches, so there is nothing to wait for
        response = case.call()
        assert response.status_code < 500 or response.status_code in (503, 504), response.text
        case.validate_response(response, checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # nothing could be wrong about it
        check()
