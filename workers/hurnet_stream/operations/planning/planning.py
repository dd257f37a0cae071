"""A plan with its spread: one shape, at the figures as measured, at their least, and at their most.

    figures     machines     the plan says
    as measured 43           43 (31 to 78)
    at their least 31
    at their most 78

The shape, that is which steps are taken, is that of the figures as measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hurnet_stream.operations.planning.figures import Which, embedders, numbers
from hurnet_stream.operations.planning.model import plan_of, planned
from hurnet_stream.operations.planning.shapes import Load, Machine, Plan
from hurnet_stream.operations.planning.steps import Step, steps


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what it is at the least and the most of all figures, and which steps it takes from where on."""

    plan: Plan
    least: Plan
    most: Plan
    steps: tuple[Step, ...]

    def spread(self, of: Callable[[Plan], float]) -> tuple[float, float, float]:
        """One number of the plan, and its least and most."""
        said = of(self.plan), of(self.least), of(self.most)
        return said[0], min(said), max(said)


def plan(load: Load, machine: Machine, embedder: str = "") -> Planned:
    """What the load needs. The time of embedding a text is that of the `embedder`, if one is named."""
    measured = _embedding(load, embedder, "value")
    best = planned(measured, machine, numbers())
    least, most = (
        plan_of(_embedding(load, embedder, which), best.shape, machine, numbers(which))
        for which in ("low", "high")
    )
    return Planned(best, least, most, steps(best, machine, numbers()))


def _embedding(load: Load, embedder: str, which: Which) -> Load:
    return replace(load, embed_us=embedders()[embedder].of(which)) if embedder else load
