"""How far a context's probabilities can be trusted, by questions whose answers are known.

curve               for each error rate: what is answered, what of it is wrong, which unrelated questions are
                    answered too
calibration error   questions are sorted by probability and cut into groups of equal size; in each, the mean
                    probability should be the share of right answers

probability     0.9  0.9 | 0.6  0.4        means      0.9 | 0.5
right            r    r  |  r    w         right      1.0 | 0.5       error (0.1 + 0.0) / 2 = 0.05
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.rule.confidence import Calibration
from hurnet_stream.core.rule.rule import Ranking
from hurnet_stream.responder.deciding import probability_of

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The error rates of a curve; the last one is the default of the responder."""
_GROUPS, _IN_A_GROUP = 10, 20
"""Most groups, and fewest questions in each."""
_STEPS = 100
"""Most steps of a falling probability."""
_Z = 1.96
"""Half the width of a 95 % interval, in standard deviations."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """What one error rate comes to."""

    error_rate: float
    lowest_probability: float | None
    """That is answered. None: too little was rehearsed for this rate, so the threshold decides."""
    answered: int
    wrong: int
    wrong_low: float
    wrong_high: float
    """The 95 % interval of the share of wrong answers among all that would be given."""
    unrelated_answered: int


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of about the same probability."""

    questions: int
    probability: float
    """The mean of theirs."""
    right: float
    """The share of them that was answered right."""
    by_chance: float
    """How far these two would be apart, on average, if the probabilities were true."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How far probabilities can be trusted: over `questions` with a known answer, and `unrelated` ones."""

    rehearsed: int
    questions: int
    unrelated: int
    calibration_error: float
    by_chance: float
    """The calibration error that true probabilities would show on so few questions."""
    curve: Sequence[Point]
    groups: Sequence[Group]
    falling: Sequence[tuple[float, float]]
    """The share of questions that is answered, and the share of these that is wrong, the surest first."""


def trust(
    calibration: Calibration, asked: Sequence[tuple[Ranking, bool]], unrelated: Sequence[Ranking]
) -> Trust:
    """How far the probabilities can be trusted: of questions, each with whether its best answer is right, and
    of questions that have none."""
    rankings = [ranking for ranking, _ in asked]
    sure = np.array([probability_of(ranking, calibration) or 0.0 for ranking in rankings])  # (questions,)
    right = np.array([truth for _, truth in asked], bool)
    given, vain = _answerable(rankings, calibration), _answerable(unrelated, calibration)
    groups = _groups(sure, right)
    return Trust(
        rehearsed=calibration.rehearsed,
        questions=len(asked),
        unrelated=len(unrelated),
        calibration_error=sum(g.questions * abs(g.probability - g.right) for g in groups)
        / max(len(asked), 1),
        by_chance=sum(g.questions * g.by_chance for g in groups) / max(len(asked), 1),
        curve=[_point(rate, calibration.threshold(rate), given, right, vain) for rate in RATES],
        groups=groups,
        falling=_falling(sure, right),
    )


def _answerable(rankings: Sequence[Ranking], calibration: Calibration) -> Floats:
    """The probability of each, (questions,); 0 of what is too far from all entries to be answered."""
    near = [(ranking.nearest or 0.0) >= calibration.nearest_min for ranking in rankings]
    sure = [probability_of(ranking, calibration) or 0.0 for ranking in rankings]
    return np.where(near, sure, 0.0)


def _point(
    rate: float, lowest: float | None, sure: Floats, right: NDArray[np.bool_], unrelated: Floats
) -> Point:
    given = sure >= (math.inf if lowest is None else lowest)
    answered, wrong = int(given.sum()), int((~right[given]).sum())
    let_through = 0 if lowest is None else int((unrelated >= lowest).sum())
    return Point(rate, lowest, answered, wrong, *interval(wrong, answered), let_through)


def interval(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's formula: (0, 1) of nothing, and never beyond these."""
    if not of:
        return 0.0, 1.0
    share, z = hits / of, _Z**2 / of
    middle, half = share + z / 2, math.sqrt(z * share * (1 - share) + z * z / 4)
    return max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z))


def _groups(sure: Floats, right: NDArray[np.bool_]) -> list[Group]:
    """Groups of equal size, by rising probability."""
    if not len(sure):
        return []
    parts = np.array_split(np.argsort(sure, kind="stable"), max(1, min(_GROUPS, len(sure) // _IN_A_GROUP)))
    return [
        Group(len(part), float(sure[part].mean()), float(right[part].mean()), _by_chance(sure[part]))
        for part in parts
    ]


def _by_chance(sure: Floats) -> float:
    """How far the share of heads of coins with these probabilities is from its mean, on average: of many,
    sqrt(2 / π) of the standard deviation."""
    return math.sqrt(2 / math.pi * float((sure * (1 - sure)).sum())) / len(sure)


def _falling(sure: Floats, right: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """What is answered, and what of it is wrong, as the lowest probability falls: `_STEPS` shares of each."""
    n = len(sure)
    wrong = np.cumsum(~right[np.argsort(-sure, kind="stable")])
    ends = np.unique(np.linspace(1, n, min(n, _STEPS)).round().astype(int)).tolist()
    return [(end / n, float(wrong[end - 1] / end)) for end in ends]
