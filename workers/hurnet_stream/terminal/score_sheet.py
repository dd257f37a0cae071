"""How a score came out, so that a person can check the sum by hand.

             part       value   counts as   factor   gives
             meaning    0.9090     0.8263     0.50   0.4131       squared
             spelling   0.9090     0.8263     0.50   0.4131       squared
             memory     1.0000     1.0000     0.15   0.1500
             lexical    0.4070     0.1656     2.00   0.3313       squared
             words      1.0000     1.0000     0.02   0.0200       squared
             sum                              3.17   1.3276
    evidence √(1.3276 / 3.17) = 0.6472
    score    (0.6472 + 1.0000) / 2 = 0.8236                       the other half is the nearest entry of all

It is the rule of `core/rule/rule.py`, from the numbers of the answer alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hurnet_schemas import Answer, Candidate, MixReceipt, Scores

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Term:
    """One part of the evidence: its value, what it counts as, and by which factor."""

    part: str
    value: float
    counts: float
    factor: float

    @property
    def gives(self) -> float:
        return self.counts * self.factor


@dataclass(frozen=True, slots=True)
class Sheet:
    """The sum for one candidate. `refuted` is the share that texts which refute it take away."""

    terms: tuple[Term, ...]
    refuted: float
    nearest: float

    @property
    def total(self) -> float:
        return sum(term.gives for term in self.terms)

    @property
    def factors(self) -> float:
        return sum(term.factor for term in self.terms)

    @property
    def evidence(self) -> float:
        return math.sqrt(self.total / self.factors) * (1 - self.refuted)

    @property
    def combined(self) -> float:
        return (self.evidence + self.nearest) / 2


def sheet(answer: Answer, candidate: Candidate) -> Sheet | None:
    """The sum for a candidate of the answer; None if the receipt does not say how it was mixed."""
    receipt = answer.receipt
    if receipt is None or receipt.mix is None or receipt.nearest is None:
        return None
    scores = candidate.scores
    return Sheet(tuple(_terms(scores, receipt.mix)), scores.refuted or 0.0, receipt.nearest)


def _terms(scores: Scores, mix: MixReceipt) -> Iterator[Term]:
    yield Term("meaning", scores.meaning, scores.meaning**2, mix.meaning)
    yield Term("spelling", scores.spelling, scores.spelling**2, 1 - mix.meaning)
    yield Term("memory", scores.memory, scores.memory, mix.memory)
    yield Term("lexical", scores.lexical, scores.lexical**2, mix.lexical)
    yield Term("words", scores.words, scores.words**2, mix.words)
    if scores.weights is not None:
        yield Term("weights", scores.weights, scores.weights**2, mix.weights)


def shown(answer: Answer) -> Iterator[RenderableType]:
    """The sums of all candidates, for a person."""
    for candidate in answer.candidates:
        if made := sheet(answer, candidate):
            yield from _shown(candidate.answer, made)


def _shown(answer: str, made: Sheet) -> Iterator[RenderableType]:
    from hurnet_stream.terminal.screen import facts, table

    rows = [
        (t.part, _number(t.value), _number(t.counts), _factor(t.factor), _number(t.gives)) for t in made.terms
    ]
    rows.append(("sum", "", "", _factor(made.factors), _number(made.total)))
    columns = ("part", ">value", ">counts as", ">factor", ">gives")
    yield table(columns, rows, title=f"how the score of “{answer}” came out")
    left = f" x (1 - {_number(made.refuted)}), since texts refute it" if made.refuted else ""
    evidence = f"√({_number(made.total)} / {_factor(made.factors)}){left} = {_number(made.evidence)}"
    half = f"({_number(made.evidence)} + {_number(made.nearest)}) / 2 = {_number(made.combined)}"
    yield facts([("evidence", evidence), ("score", f"{half}, with half for the nearest entry of all")])


def _number(value: float) -> str:
    return f"{value:.4f}"


def _factor(value: float) -> str:
    return f"{value:.4g}"
