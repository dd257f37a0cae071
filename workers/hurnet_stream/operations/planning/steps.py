"""From which load on which step is needed: one load after the other, the rest as it is asked for.

    step          begins as soon as
    processes     ingest is busier than `BUSY_MOST`
    segments      the rows that are not sealed fill the machine of one Redis
    cluster       what stays of sealed rows does, or appends take more than a core
    tiers         a responder with all rows fills a machine
    slices        it does so in tiers, or the p99 of a question is more than is wanted

The rows at which a step begins are found by halving: each of these conditions holds for all rows beyond.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from hurnet_stream.operations.planning import formulas
from hurnet_stream.operations.planning.figures import Numbers
from hurnet_stream.operations.planning.model import BUSY_MOST, plan_of
from hurnet_stream.operations.planning.shapes import Load, Machine, Plan, Shape

ROWS_MOST: Final = 10**13


@dataclass(frozen=True, slots=True)
class Step:
    """`rows` and `texts_s` are from where on it is needed, infinite if that never makes it so."""

    name: str
    why: str
    taken: bool
    rows: float = math.inf
    texts_s: float = math.inf


def steps(plan: Plan, machine: Machine, numbers: Numbers) -> tuple[Step, ...]:
    """All of them, in the order in which one grows."""
    load, shape = plan.load, plan.shape
    text_us = load.embed_us + numbers["ingest_own_us"]
    append_us = 1e6 * formulas.store_cores(replace(load, texts_s=1.0), numbers)

    def beyond(is_over: Callable[[Load], bool]) -> float:
        return first_rows(lambda rows: is_over(replace(load, rows=rows)))

    def fills(tiers: bool) -> float:
        return beyond(lambda at: formulas.responder_bytes(at, numbers, 1, tiers) > machine.bytes_to_fill)

    slow = beyond(lambda at: plan_of(at, Shape(), machine, numbers).asked.p99_ms > load.p99_ms)
    return (
        Step(
            "several ingest processes",
            "embedding takes more than a core",
            _processes(plan, "ingest") > 1,
            texts_s=1e6 * BUSY_MOST / text_us,
        ),
        Step(
            "sealed segments",
            "Redis does not fit into one machine",
            shape.segments,
            rows=beyond(lambda at: at.rows * formulas.store_bytes(at, numbers) > machine.redis_bytes),
        ),
        Step(
            "memory tiers",
            "a responder with all rows does not fit into one machine",
            shape.tiers,
            rows=fills(tiers=False),
        ),
        Step(
            "slices",
            "one process can't hold all rows in tiers, or is too slow for the p99",
            shape.slices > 1,
            rows=min(fills(tiers=True), slow),
        ),
        Step(
            "Redis Cluster",
            "one Redis can't hold what stays of sealed rows, or append what comes in",
            shape.primaries > 1,
            rows=beyond(lambda at: formulas.redis_bytes(at, numbers, True) > machine.redis_bytes),
            texts_s=1e6 * BUSY_MOST / append_us,
        ),
    )


def first_rows(is_over: Callable[[int], bool]) -> float:
    """The least number of rows for which it holds, as it does for all beyond; infinite if there is none."""
    least, most = 0, ROWS_MOST
    if not is_over(most):
        return math.inf
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if is_over(middle) else (middle + 1, most)
    return float(most)


def _processes(plan: Plan, name: str) -> int:
    return sum(part.processes for part in plan.parts if part.name == name)
