"""All routes together, and what every request passes."""

from __future__ import annotations

from starlette.applications import Starlette

from hurnet_stream.gateway import asking
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.problems import Problem, answer_problem

ROUTES = (asking.routes,)
"""One function a module: from the gateway to its routes."""


def make_app(gateway: Gateway) -> Starlette:
    """The application that uvicorn serves."""
    routes = [route for of_module in ROUTES for route in of_module(gateway)]
    return Starlette(routes=routes, exception_handlers={Problem: answer_problem})
