"""What a load needs: a model of a few formulas over measured figures. Pure: figures in, a plan out.

A row is `d` dimensions and a text of `t` bytes. Names in `code` are figures of figures.json.

    taking in       µs a text        embedding + `ingest_own_us` + what Kafka and the store take beside it
    store           bytes a row      `store_bytes_a_dimension` d + `store_bytes_a_text_byte` t + `store_bytes`
                                     if sealed: `sealed_bytes`, and the rest lies in the segments
    responder       bytes a row      `held_bytes_a_dimension` d + `held_bytes_a_text_byte` t + `held_bytes`
                                     in tiers: the same of `tier_`, and all of it in files
    a question      µs of processor  q(n) = a + b d + n (c + e d) over n rows of one process, with a set of
                                     a, b, c, e for a question alone and one for each of many together

Questions that come while a turn is under way are answered together in the next one. So with `r` questions a
second in a process, a turn answers r * turn questions, and it takes

    turn = hop + alone(n) + (r turn) together(n)     hence     turn = (hop + alone) / (1 - r together)

where `hop` is the transaction. A question waits for the rest of the turn that it meets (half of it, at most
all of it), if there is one (a share `busy` = min(1, r turn) of the time), and then for its own:

    p50 = turn (1 + busy / 2)          p99 = turn (1 + busy) + `hop_p99_ms`

For example, a million rows of 256 dimensions and 100 questions a second: alone 10 ms, together 3 ms, hop
13 ms: turn = 23 / (1 - 0.3) = 33 ms, p50 = 49 ms, and p99 = 66 + 10 = 76 ms.

With `s` slices each process holds n = rows / s. All slices are asked each question, and search: what grows
with n above, and `slice_alone_us` or `slice_together_us` for the rest. A coordinator embeds, gathers and
ranks: `gather_alone_us` or `gather_together_us`, and `gather_us_a_slice` for each slice. The rounds between
them take `slice_rounds_ms`. Rows in tiers are read from files that are mapped: `tier_factor` times as long.

Steps are taken if the load needs them: see `planned`. A plan never fills a core by more than `BUSY_MOST`, nor
a machine's memory by more than `FULL_MOST`; Redis forks to rewrite its log, so of its machine it is given
`REDIS_FULL_MOST`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from hurnet_stream.operations.planning.figures import Numbers

BUSY_MOST: Final = 0.6
"""Share of a core that a process may be busy. Above, waiting times grow much faster than the load."""
FULL_MOST: Final = 0.8
REDIS_FULL_MOST: Final = 0.6
GIB: Final = 1 << 30
SLICES: Final = (1, *(1 << n for n in range(1, 13)))
"""How many slices are tried, 1 being a responder with everything."""
CLUSTER_LEAST: Final = 3
"""Primaries of a Redis Cluster."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for. Rates are a second, and what the busiest hour needs."""

    rows: int
    dimensions: int
    texts_s: float
    questions_s: float
    embed_us: float
    """Processor time of embedding one text."""
    text_bytes: float = 80.0
    """Of a text and its answer in UTF-8, on average."""
    keyed: bool = False
    """Whether texts come under keys, and replace each other by them."""
    answers: int = 1_000
    """Different ones that are taught."""
    replicas: int = 2
    """Of everything that answers, and copies of each primary of Redis: 2 outlive one machine."""
    kafka_replication: int = 3
    p99_ms: float = 1_000.0
    """What 99 of 100 questions should keep."""
    fill_hours: float = math.inf
    """In how many hours a first fill of all rows should be done."""
    kept_hours: float = 1.0
    """With sealed segments: the rows of so many hours are not sealed yet."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One of the machines: what it has, and what that costs an hour."""

    cores: int = 16
    gib: int = 64
    price_core: float | None = None
    price_gib: float | None = None

    @property
    def bytes_to_fill(self) -> float:
        return self.gib * GIB * FULL_MOST

    @property
    def redis_bytes(self) -> float:
        return self.gib * GIB * REDIS_FULL_MOST


@dataclass(frozen=True, slots=True)
class Part:
    """Processes of one kind. `cores` are busy in all of them together, memory is that of each."""

    name: str
    processes: int
    cores: float
    bytes_each: float
    disk_bytes: float = 0.0
    """Of all of them together."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Which steps are taken."""

    slices: int = 1
    tiers: bool = False
    segments: bool = False
    primaries: int = 1
    """Of Redis; a Cluster if there are several."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a question is answered: processes of each slice, and its times in ms (infinite: never)."""

    copies: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs in one shape."""

    load: Load
    shape: Shape
    parts: tuple[Part, ...]
    asked: Asked
    partitions: int
    fill_hours: float
    """Of all rows by the ingest processes of this plan, if nothing else is done."""
    machines: int
    cost_an_hour: float | None = None
    missing: tuple[str, ...] = field(default=())
    """What can't be kept."""

    @property
    def cores(self) -> float:
        return sum(part.cores for part in self.parts)

    @property
    def memory_bytes(self) -> float:
        return sum(part.processes * part.bytes_each for part in self.parts)

    @property
    def disk_bytes(self) -> float:
        return sum(part.disk_bytes for part in self.parts)


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
        fill_hours=load.rows * _take_in_us(load, numbers) / 1e6 / ingests / 3_600,
        machines=machines,
        cost_an_hour=_cost(machines, machine),
        missing=tuple(_missing(load, asked)),
    )


def held_bytes(load: Load, numbers: Numbers, tiers: bool) -> float:
    """Resident bytes of a row in a responder or slice."""
    kind = "tier" if tiers else "held"
    return _by_size(load, numbers, kind)


def store_bytes(load: Load, numbers: Numbers) -> float:
    """Bytes of a row in Redis that is not sealed."""
    return _by_size(load, numbers, "store") + (numbers["store_bytes_a_key"] if load.keyed else 0.0)


def sealed_bytes(load: Load, numbers: Numbers) -> float:
    """Bytes of a row in Redis that lies in a segment."""
    return numbers["sealed_bytes"] + (numbers["sealed_bytes_a_key"] if load.keyed else 0.0)


def question_us(rows: float, dimensions: int, numbers: Numbers, how: str) -> float:
    """Processor time of one question over the rows of one process: `how` is alone or together."""
    fixed = numbers[f"{how}_us"] + numbers[f"{how}_us_a_dimension"] * dimensions
    return fixed + search_us(rows, dimensions, numbers, how)


def search_us(rows: float, dimensions: int, numbers: Numbers, how: str) -> float:
    """What of it grows with the rows."""
    row_ns = numbers[f"{how}_ns_a_row"] + numbers[f"{how}_ns_a_row_and_dimension"] * dimensions
    return rows * row_ns / 1_000


def turn_s(rate: float, alone_us: float, together_us: float, hop_ms: float) -> float:
    """How long a turn takes at so many questions a second; infinite if they are more than can be answered."""
    full = rate * together_us / 1e6
    return math.inf if full >= 1 else (hop_ms / 1e3 + alone_us / 1e6) / (1 - full)


def _by_size(load: Load, numbers: Numbers, kind: str) -> float:
    vector = numbers[f"{kind}_bytes_a_dimension"] * load.dimensions
    return vector + numbers[f"{kind}_bytes_a_text_byte"] * load.text_bytes + numbers[f"{kind}_bytes"]


def _store_shape(load: Load, machine: Machine, numbers: Numbers) -> tuple[bool, int]:
    """Whether segments are sealed, and how many primaries Redis has."""
    segments = load.rows * store_bytes(load, numbers) > machine.redis_bytes
    full = redis_bytes(load, numbers, segments) / machine.redis_bytes
    busy = store_cores(load, numbers) / BUSY_MOST
    primaries = math.ceil(max(full, busy, 1.0))
    return segments, primaries if primaries == 1 else max(CLUSTER_LEAST, primaries)


def redis_bytes(load: Load, numbers: Numbers, segments: bool) -> float:
    """Of all primaries together."""
    if not segments:
        return load.rows * store_bytes(load, numbers)
    kept = min(load.rows, load.texts_s * load.kept_hours * 3_600)
    return kept * store_bytes(load, numbers) + (load.rows - kept) * sealed_bytes(load, numbers)


def _fits(load: Load, machine: Machine, numbers: Numbers, slices: int, tiers: bool) -> bool:
    each = responder_bytes(load, numbers, slices, tiers)
    return each <= machine.bytes_to_fill or slices == SLICES[-1]


def responder_bytes(load: Load, numbers: Numbers, slices: int, tiers: bool) -> float:
    """Resident bytes of a process that holds the rows of one slice."""
    return numbers["responder_bytes"] + load.rows / slices * held_bytes(load, numbers, tiers)


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
        return _responder_us(load, shape, numbers, how)
    both = slice_us(load, shape, numbers, how), gather_us(shape, numbers, how)
    return sum(both) if how == "alone" else max(both)


def _responder_us(load: Load, shape: Shape, numbers: Numbers, how: str) -> float:
    return question_us(load.rows, load.dimensions, numbers, how) * _tier_factor(shape, numbers)


def slice_us(load: Load, shape: Shape, numbers: Numbers, how: str) -> float:
    """Processor time of one slice for a question."""
    searched = search_us(load.rows / shape.slices, load.dimensions, numbers, how)
    return numbers[f"slice_{how}_us"] + searched * _tier_factor(shape, numbers)


def gather_us(shape: Shape, numbers: Numbers, how: str) -> float:
    """Processor time of a coordinator for a question."""
    return numbers[f"gather_{how}_us"] + numbers["gather_us_a_slice"] * shape.slices


def _tier_factor(shape: Shape, numbers: Numbers) -> float:
    return numbers["tier_factor"] if shape.tiers else 1.0


def _take_in_us(load: Load, numbers: Numbers) -> float:
    return load.embed_us + numbers["ingest_own_us"]


def store_cores(load: Load, numbers: Numbers) -> float:
    """Of Redis, to append what comes in."""
    text_us = numbers["append_us"] + numbers["append_us_a_dimension"] * load.dimensions
    return load.texts_s * (text_us + (numbers["append_us_a_key"] if load.keyed else 0.0)) / 1e6


def _ingests(load: Load, numbers: Numbers) -> int:
    """As many as the stream of texts keeps busy, or a first fill, which may take all of a core."""
    us = _take_in_us(load, numbers)
    filling = load.rows * us / 1e6 / (load.fill_hours * 3_600)
    return max(1, math.ceil(load.texts_s * us / 1e6 / BUSY_MOST), math.ceil(filling))


def _partitions(shape: Shape, ingests: int, copies: int) -> int:
    """As many as the processes that share them, and the same number for each slice."""
    least = max(4, ingests, copies, shape.primaries)
    return math.ceil(least / shape.slices) * shape.slices


def _parts(load: Load, shape: Shape, numbers: Numbers, ingests: int, copies: int) -> Iterator[Part]:
    texts_s, d = load.texts_s, load.dimensions
    yield Part("ingest", ingests, texts_s * _take_in_us(load, numbers) / 1e6, numbers["ingest_bytes"])
    sums = numbers["solver_bytes"] + 16.0 * d * d + 8.0 * d * load.answers
    yield Part(
        "solver", min(2, load.replicas), texts_s * _fold_us(d, numbers) / 1e6 + _solving(d, numbers), sums
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
        asked = load.questions_s * _responder_us(load, shape, numbers, "together") / 1e6
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


def _fold_us(dimensions: int, numbers: Numbers) -> float:
    return numbers["fold_us"] + numbers["fold_us_a_dimension"] * dimensions


def _solving(dimensions: int, numbers: Numbers) -> float:
    """Cores: it solves every five seconds, and the time grows with the cube of the dimensions."""
    return numbers["solve_ms_at_1024"] / 1e3 * (dimensions / 1_024) ** 3 / 5.0


def _cost(machines: int, machine: Machine) -> float | None:
    if machine.price_core is None or machine.price_gib is None:
        return None
    return machines * (machine.cores * machine.price_core + machine.gib * machine.price_gib)


def _missing(load: Load, asked: Asked) -> Iterator[str]:
    if asked.p99_ms > load.p99_ms:
        yield f"99 of 100 questions take up to {asked.p99_ms:,.0f} ms, and {load.p99_ms:,.0f} ms are wanted"


def _size(plan: Plan) -> tuple[int, int, bool]:
    return plan.machines, plan.shape.slices, plan.shape.tiers
