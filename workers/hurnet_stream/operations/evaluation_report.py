"""What `hurnet evaluate` has to say of one embedder, in plain types: printed as JSON, or as tables.

accuracy, parts, mrr, coverage, ...    over all questions, and under "files" for each file (`Figures`)
left_out                               the pairs themselves, each left out and asked of the others
mix                                    how much each part counts, and what was rehearsed to learn it
confidence                             how far the probabilities can be trusted (`curves`)
unrelated                              how many of the unrelated questions were answered all the same
misses                                 the surest of the wrong answers
latency_ms                             of one question at a time
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hurnet_schemas import TextEvent
from hurnet_stream.core.rule.mix import FACTORS, KINDS, PRIOR, Mix
from hurnet_stream.operations.curves import Trust, trust
from hurnet_stream.operations.evaluation import Asked, Evaluation, figures, is_answered
from hurnet_stream.responder.deciding import probability_of
from hurnet_stream.settings.settings import ResponderSettings

TIMED = 200
"""How many questions are asked once more, one at a time, for the latencies."""
MISSES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Miss:
    """A wrong answer, and how sure it looked."""

    text: str
    expected: str
    answered: str
    probability: float | None
    """That it is right. None: too little was taught to tell."""
    score: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one embedder made of all questions."""

    embedder: str
    evaluation: Evaluation
    asked: Mapping[str, Sequence[Asked]]
    """By file."""
    unrelated: Sequence[Asked]
    notes: Sequence[str]
    """What a person should know of how it was taught."""

    @property
    def every(self) -> list[Asked]:
        """The questions of all files."""
        return [question for group in self.asked.values() for question in group]

    @property
    def trust(self) -> Trust | None:
        """How far its probabilities can be trusted. None if the pairs are too few for any."""
        if (calibration := self.evaluation.calibration) is None:
            return None
        rankings = [(question.ranking, question.right()) for question in self.every]
        return trust(calibration, rankings, [question.ranking for question in self.unrelated])


def report(outcome: Outcome, settings: ResponderSettings) -> dict[str, Any]:
    """All of it. `settings` say what a responder would answer."""
    evaluation, calibration = outcome.evaluation, outcome.evaluation.calibration
    by_file = {name: figures(group, settings, calibration) for name, group in outcome.asked.items()}
    found = outcome.trust
    vain = sum(is_answered(question, settings, calibration) for question in outcome.unrelated)
    return {
        **asdict(figures(outcome.every, settings, calibration)),
        "files": {name: asdict(share) for name, share in by_file.items()},
        "left_out": left_out(evaluation.mix),
        "mix": mixed(evaluation.mix),
        "confidence": None if found is None else asdict(found),
        "unrelated": {"queries": len(outcome.unrelated), "answered": vain},
        "misses": [asdict(miss) for miss in misses(outcome)],
        "latency_ms": latencies(outcome),
        "rows": evaluation.rows,
        "threshold": settings.threshold,
        "error_rate": settings.error_rate,
        "embedder": outcome.embedder,
        "notes": list(outcome.notes),
    }


def left_out(mix: Mix) -> dict[str, Any]:
    """How many of the pairs were left out and asked, and the share that the others answered rightly; None if
    none could be: each answer is taught only once."""
    questions = sum(mix.rehearsed.values())
    right = sum((share * mix.rehearsed.get(kind, 0) for kind, share in mix.right.items()), 0.0)
    return {"questions": questions, "accuracy": right / questions if questions else None}


def mixed(mix: Mix) -> dict[str, Any]:
    """By kind of answers: the factors, which of them differ from the prior, how many pairs were rehearsed to
    learn them, and the share of these that the others answered rightly."""
    return {
        kind: {
            "factors": asdict(getattr(mix, kind)),
            "learned": [n for n in FACTORS if getattr(getattr(mix, kind), n) != _prior(kind, n)],
            "rehearsed": mix.rehearsed.get(kind, 0),
            "right": mix.right.get(kind),
        }
        for kind in KINDS
    }


def _prior(kind: str, factor: str) -> float:
    value: float = getattr(getattr(PRIOR, kind), factor)
    return value


def misses(outcome: Outcome) -> list[Miss]:
    """The wrong answers that looked surest: with the highest probabilities, or scores if there are none."""
    calibration = outcome.evaluation.calibration
    wrong = [
        Miss(
            question.text,
            question.expected,
            question.ranking.best.answer,
            None if calibration is None else probability_of(question.ranking, calibration),
            question.score(),
        )
        for question in outcome.every
        if question.ranking.best and not question.right()
    ]
    return sorted(wrong, key=lambda miss: (-(miss.probability or 0.0), -miss.score))[:MISSES_SHOWN]


def latencies(outcome: Outcome) -> dict[str, float]:
    """The median and the 99th percentile of the milliseconds that a question takes if it is asked alone."""
    questions = [TextEvent(text=question.text) for question in outcome.every]
    step = max(1, len(questions) // TIMED)
    seconds = outcome.evaluation.time(questions[::step][:TIMED]) or [0.0]
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def compared(base: Outcome, other: Outcome) -> dict[str, int]:
    """How many questions only `other` has right (gained), and how many only `base` has (lost)."""
    pairs = list(zip(base.every, other.every, strict=True))
    return {
        "gained": sum(after.right() and not before.right() for before, after in pairs),
        "lost": sum(before.right() and not after.right() for before, after in pairs),
    }
