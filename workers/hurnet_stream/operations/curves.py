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

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""The error rates of a curve."""
_GROUPS, _IN_A_GROUP = 10, 20
"""Most groups, and fewest questions in each."""
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
class Trust:
    """How far probabilities can be trusted: over `questions` with a known answer, and `unrelated` ones."""

    rehearsed: int
    questions: int
    unrelated: int
    calibration_error: float
    by_chance: float
    """The calibration error that true probabilities would show on so few questions."""
    curve: Sequence[Point]


def trust(
    calibration: Calibration, asked: Sequence[tuple[Ranking, bool]], unrelated: Sequence[Ranking]
) -> Trust:
    """How far the probabilities can be trusted: of questions, each with whether its best answer is right, and
    of questions that have none."""
    sure = np.array([probability_of(ranking, calibration) or 0.0 for ranking, _ in asked])  # (questions,)
    right = np.array([truth for _, truth in asked], bool)
    vain = np.array([probability_of(ranking, calibration) or 0.0 for ranking in unrelated])
    error, by_chance = _calibration_error(sure, right)
    curve = [_point(rate, calibration.threshold(rate), sure, right, vain) for rate in RATES]
    return Trust(calibration.rehearsed, len(asked), len(unrelated), error, by_chance, curve)


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


def _calibration_error(sure: Floats, right: NDArray[np.bool_]) -> tuple[float, float]:
    """The calibration error, and what it would be by chance: a sum of k coins of probability p misses its
    mean by sqrt(2 / π · k p (1 - p)) on average, if there are many."""
    if not len(sure):
        return 0.0, 0.0
    groups = np.array_split(np.argsort(sure, kind="stable"), max(1, min(_GROUPS, len(sure) // _IN_A_GROUP)))
    missed = [abs(float((sure[group] - right[group]).sum())) for group in groups]
    chance = [math.sqrt(2 / math.pi * float((sure[group] * (1 - sure[group])).sum())) for group in groups]
    return sum(missed) / len(sure), sum(chance) / len(sure)
