"""What a load needs: a model of a few formulas over measured figures. Pure: figures in, a plan out.

The formulas are in `formulas`. Steps are taken if the load needs them: see `planned`. A plan never fills a
core by more than `BUSY_MOST`, nor a machine's memory by more than `FULL_MOST`; Redis forks to rewrite its
log, so of its machine it is given `REDIS_FULL_MOST`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Final

from hurnet_stream.operations.planning.figures import Numbers
from hurnet_stream.operations.planning.formulas import (
    fold_us,
    gather_us,
    redis_bytes,
    responder_bytes,
    responder_us,
    slice_us,
    solving_cores,
    store_bytes,
    store_cores,
    take_in_us,
    turn_s,
)
from hurnet_stream.operations.planning.shapes import (
    FULL_MOST,
    REDIS_FULL_MOST,
    Asked,
    Load,
    Machine,
    Part,
    Plan,
    Shape,
)

BUSY_MOST: Final = 0.6
"""Share of a core that a process may be busy. Above, waiting times grow much faster than the load."""
SLICES: Final = (1, *(1 << n for n in range(1, 13)))
"""How many slices are tried, 1 being a responder with everything."""
CLUSTER_LEAST: Final = 3
"""Primaries of a Redis Cluster."""


def planned(load: Load, machine: Machine, numbers: Numbers) -> Plan:
    """The plan with the fewest machines among those that keep the p99; if there is none, the quickest one.

    Segments are taken if Redis does not fit into one machine without them, a Cluster if it does not fit with
    them, or if appends take more than a core. Tiers and slices are whatever needs fewest machines.
    """
    store = _store_shape(load, machine, numbers)
    shapes = [
        Shape(slices, tiers, *store)
        for slices, tiers in product(SLICES, (False, True))
        if slices <= max(1, load.rows) and _fits(load, machine, numbers, slices, tiers)
    ]
    plans = [plan_of(load, shape, machine, numbers) for shape in shapes]
    kept = [plan for plan in plans if not plan.missing]
    return min(kept, key=_size) if kept else min(plans, key=lambda plan: plan.asked.p99_ms)


def plan_of(load: Load, shape: Shape, machine: Machine, numbers: Numbers) -> Plan:
    """What the load needs in this shape."""
    asked = _asked(load, shape, numbers)
    ingests = _ingests(load, numbers)
    partitions = _partitions(shape, ingests, asked.copies)
    parts = tuple(_parts(load, shape, numbers, ingests, asked.copies))
    memory = sum(part.processes * part.bytes_each for part in parts)
    cores = sum(part.cores for part in parts) / BUSY_MOST
    machines = max(
        math.ceil(cores / machine.cores), math.ceil(memory / machine.bytes_to_fill), load.replicas, 1
    )
    return Plan(
        load,
        shape,
        parts,
        asked,
        partitions,
        fill_hours=load.rows * take_in_us(load, numbers) / 1e6 / ingests / 3_600,
        machines=machines,
        cost_an_hour=_cost(machines, machine),
        missing=tuple(_missing(load, asked)),
    )


def _store_shape(load: Load, machine: Machine, numbers: Numbers) -> tuple[bool, int]:
    """Whether segments are sealed, and how many primaries Redis has."""
    segments = load.rows * store_bytes(load, numbers) > machine.redis_bytes
    full = redis_bytes(load, numbers, segments) / machine.redis_bytes
    busy = store_cores(load, numbers) / BUSY_MOST
    primaries = math.ceil(max(full, busy, 1.0))
    return segments, primaries if primaries == 1 else max(CLUSTER_LEAST, primaries)


def _fits(load: Load, machine: Machine, numbers: Numbers, slices: int, tiers: bool) -> bool:
    each = responder_bytes(load, numbers, slices, tiers)
    return each <= machine.bytes_to_fill or slices == SLICES[-1]


def _asked(load: Load, shape: Shape, numbers: Numbers) -> Asked:
    """With as many copies of everything as keep each process below `BUSY_MOST`."""
    alone, together = (_busiest_us(load, shape, numbers, how) for how in ("alone", "together"))
    hop_ms, beside_ms = numbers["hop_ms"], numbers["hop_p99_ms"]
    if shape.slices > 1:
        hop_ms += numbers["slice_rounds_ms"]
    copies = max(load.replicas, math.ceil(load.questions_s * together / 1e6 / BUSY_MOST), 1)
    rate = load.questions_s / copies
    turn = turn_s(rate, alone, together, hop_ms)
    busy = min(1.0, rate * turn)
    return Asked(copies, turn * (1 + busy / 2) * 1e3, turn * (1 + busy) * 1e3 + beside_ms)


def _busiest_us(load: Load, shape: Shape, numbers: Numbers, how: str) -> float:
    """Of one question: all the time on its way if it is alone, else that of the busiest process."""
    if shape.slices == 1:
        return responder_us(load, shape, numbers, how)
    both = slice_us(load, shape, numbers, how), gather_us(shape, numbers, how)
    return sum(both) if how == "alone" else max(both)


def _ingests(load: Load, numbers: Numbers) -> int:
    """As many as the stream of texts keeps busy, or a first fill, which may take all of a core."""
    us = take_in_us(load, numbers)
    filling = load.rows * us / 1e6 / (load.fill_hours * 3_600)
    return max(1, math.ceil(load.texts_s * us / 1e6 / BUSY_MOST), math.ceil(filling))


def _partitions(shape: Shape, ingests: int, copies: int) -> int:
    """As many as the processes that share them, and the same number for each slice."""
    least = max(4, ingests, copies, shape.primaries)
    return math.ceil(least / shape.slices) * shape.slices


def _parts(load: Load, shape: Shape, numbers: Numbers, ingests: int, copies: int) -> Iterator[Part]:
    texts_s, d = load.texts_s, load.dimensions
    yield Part("ingest", ingests, texts_s * take_in_us(load, numbers) / 1e6, numbers["ingest_bytes"])
    sums = numbers["solver_bytes"] + 16.0 * d * d + 8.0 * d * load.answers
    yield Part(
        "solver", min(2, load.replicas), texts_s * fold_us(d, numbers) / 1e6 + solving_cores(d, numbers), sums
    )
    yield from _answering(load, shape, numbers, copies)
    yield _redis(load, shape, numbers)
    logged = load.rows * (numbers["log_bytes"] + load.text_bytes) * load.kafka_replication
    flow = texts_s * numbers["log_us"] / 1e6 + load.questions_s * numbers["log_us_a_question"] / 1e6
    yield Part(
        "Kafka", load.kafka_replication, load.kafka_replication * flow, numbers["broker_bytes"], logged
    )
    if shape.segments:
        yield Part(
            "segments", 0, 0.0, 0.0, load.rows * (2.0 * d + load.text_bytes + numbers["segment_bytes"])
        )


def _answering(load: Load, shape: Shape, numbers: Numbers, copies: int) -> Iterator[Part]:
    followed = (
        load.texts_s * (numbers["follow_us"] + numbers["follow_us_a_dimension"] * load.dimensions) / 1e6
    )
    each = responder_bytes(load, numbers, shape.slices, shape.tiers)
    on_disk = load.rows * (2.5 * load.dimensions + load.text_bytes) * copies if shape.tiers else 0.0
    if shape.slices == 1:
        asked = load.questions_s * responder_us(load, shape, numbers, "together") / 1e6
        yield Part("responder", copies, asked + copies * followed, each, on_disk)
        return
    gathered = load.questions_s * gather_us(shape, numbers, "together") / 1e6
    yield Part("coordinator", copies, gathered, numbers["responder_bytes"])
    asked = shape.slices * load.questions_s * slice_us(load, shape, numbers, "together") / 1e6
    yield Part("slice", shape.slices * copies, asked + copies * followed, each, on_disk)


def _redis(load: Load, shape: Shape, numbers: Numbers) -> Part:
    """Its log on disk is rewritten: so that there is room for it twice."""
    held = redis_bytes(load, numbers, shape.segments)
    servers = shape.primaries * max(1, load.replicas)
    cores = store_cores(load, numbers) * max(1, load.replicas)
    each = numbers["redis_bytes"] + held / shape.primaries / REDIS_FULL_MOST * FULL_MOST
    return Part("Redis", servers, cores, each, 2 * held * max(1, load.replicas))


def _cost(machines: int, machine: Machine) -> float | None:
    if machine.price_core is None or machine.price_gib is None:
        return None
    return machines * (machine.cores * machine.price_core + machine.gib * machine.price_gib)


def _missing(load: Load, asked: Asked) -> Iterator[str]:
    if asked.p99_ms > load.p99_ms:
        yield f"99 of 100 questions take up to {asked.p99_ms:,.0f} ms, and {load.p99_ms:,.0f} ms are wanted"


def _size(plan: Plan) -> tuple[int, int, bool]:
    return plan.machines, plan.shape.slices, plan.shape.tiers
