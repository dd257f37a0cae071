"""What is asked for, on which machines, and what a plan consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

FULL_MOST: Final = 0.8
"""Share of a machine's memory that is filled."""
REDIS_FULL_MOST: Final = 0.6
"""The same of a machine of Redis."""
GIB: Final = 1 << 30


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
