"""Each role with the store after some work, which leaves something in nearly all of its metrics."""

from __future__ import annotations

from hurnet_schemas import Query
from hurnet_stream.metrics.process import ProcessMetrics
from tests.worlds import ingest, responder, solver


def everybody_worked() -> dict[str, ProcessMetrics]:
    """The metrics of ingest, responder and solver, by role. Each has worked in a world of its own."""
    return {"ingest": _ingest(), "responder": _responder(), "solver": _solver()}


def _ingest() -> ProcessMetrics:
    world = ingest.World()
    world.send(*ingest.numbered(0, 3), b"nonsense")
    ingest.turn(world.worker())
    return world.metrics


def _responder() -> ProcessMetrics:
    world = responder.World()
    world.teach(*responder.PAIRS)
    world.solve()
    world.ask(Query(text="turn on the light"), b"nonsense")
    worker = world.responder()
    responder.turn(worker)
    return worker._metrics


def _solver() -> ProcessMetrics:
    world = solver.World()
    world.append(*solver.pairs(0, 5))
    worker = world.solver(segments="/a/folder")  # a store in memory seals nothing, and is asked to
    for _ in range(3):
        worker.step()
    return worker._metrics
