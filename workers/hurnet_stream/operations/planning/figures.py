"""The measured figures that a plan is made of: figures.json beside this file, with where each comes from.

Each figure has three numbers, of which the first is what the plan shows and the other two are its spread:

    "fold_us": {"value": 0.5, "low": 0.4, "high": 2.2, "is": "processor time of a solver to add one pair ...",
                "by": "make bench ONLY=plan", "on": "2 cores of a shared AMD EPYC", "at": "2026-11-28"}

The low numbers together are a machine that is left alone, the high ones a busy one. So a plan is made three
times, and what it says lies between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

Which = Literal["low", "value", "high"]
WHICH: Final[tuple[Which, ...]] = ("low", "value", "high")
_EMBED: Final = "embed_us "
Numbers = Mapping[str, float]
"""Figures by name, the unit in the name."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is, by which command it was measured, on which machine and when."""

    name: str
    value: float
    low: float
    high: float
    what: str
    by: str
    on: str
    at: str

    def of(self, which: Which) -> float:
        number: float = getattr(self, which)
        return number


@cache
def figures() -> tuple[Figure, ...]:
    """All of them, in the order of the file."""
    said: dict[str, dict[str, Any]] = json.loads(
        files(__package__).joinpath("figures.json").read_text("utf-8")
    )
    return tuple(_figure(name, each) for name, each in said.items())


def _figure(name: str, said: dict[str, Any]) -> Figure:
    value, low, high = (float(said[key]) for key in ("value", "low", "high"))
    return Figure(name, value, low, high, said["is"], said["by"], said["on"], said["at"])


def embedders() -> Mapping[str, Figure]:
    """By name, those whose time for a text was measured."""
    return {
        figure.name.removeprefix(_EMBED): figure for figure in figures() if figure.name.startswith(_EMBED)
    }


def numbers(which: Which = "value") -> Numbers:
    """The figures as a plan takes them: as measured, at their least, or at their most."""
    return {figure.name: figure.of(which) for figure in figures()}
