"""All routes together, behind the guards that every request passes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from hurnet_stream.gateway import (
    about,
    agents,
    asking,
    contexts,
    corrections,
    deletions,
    files,
    forgetting,
    pages,
    receipts,
    rehearsals,
    replays,
    teaching,
    watching,
)
from hurnet_stream.gateway.gateway import Gateway
from hurnet_stream.gateway.guards import Guarded, answer_unknown
from hurnet_stream.gateway.openapi_table import PARAMETERS
from hurnet_stream.gateway.parameters import OnlyKnown
from hurnet_stream.gateway.problems import Problem, answer_problem

ROUTES = (
    asking.routes,
    teaching.routes,
    corrections.routes,
    forgetting.routes,
    contexts.routes,
    receipts.routes,
    replays.routes,
    rehearsals.routes,
    files.routes,
    deletions.routes,
    watching.routes,
    about.routes,
    pages.routes,
    agents.routes,
)
"""One function a module: from the gateway to its routes."""


def make_app(gateway: Gateway) -> Guarded:
    """The application that uvicorn serves."""
    routes = [_strict(route) for of_module in ROUTES for route in of_module(gateway)]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # to an address made of the header Host
    return Guarded(app, gateway, {Problem: answer_problem, HTTPException: answer_unknown})


def _strict(route: Route) -> Route:
    """The route, which takes no parameters but those that the OpenAPI document tells of it."""
    for method in route.methods or ():
        if (known := PARAMETERS.get((route.path, method))) is not None:
            route.app = OnlyKnown(route.app, known)
    return route
