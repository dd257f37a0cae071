"""How probable it is that an answer is right, learned by asking a context what it was taught.

A rehearsal leaves taught pairs out and asks them: alone, so that the other phrasings of their answer must do,
and with all of their answer, so that whatever is answered is wrong. `fit` learns two things from it:

1. A probability. A logistic regression on three figures of the best candidate,

       log(e² + 0.01),   (e² - r²) / (e² + 0.02),   nearest,      e: its evidence, r: the runner-up's

   by Newton's method, from a prior that was fitted to question sets of all kinds. It sees both kinds of
   outcomes, so that it learns what speaks for an answer at all. Then its constant is fitted once more, to the
   answerable ones alone: the probability is that for a question that the context can answer.

2. For an error rate α, the lowest probability that is answered:

       sorted by probability                 0.99  0.97  0.96  0.90  0.80  0.60
       right or wrong                         r     r     r     w     r     w
       (1 + wrong so far) / so far           1.00  0.50  0.33  0.50  0.40  0.50       α = 0.4: 0.80

   Of the rehearsed questions that count here, one in six has no answer: the rate allows for as many people
   who ask in vain. Each outcome gets its probability from a regression on the other half of them, so that
   none judges itself.

   What is further from all entries than 98 of 100 answerable outcomes is not answered, however probable it
   looks: nothing like it was rehearsed. Most unrelated questions are such.

What is guaranteed: let as many questions be asked as were rehearsed, drawn in the same way. The number of
wrong answers to them, divided by that of rehearsed questions at or above the threshold, has a mean of at most
α, for any distribution and any number of outcomes. For as a threshold rises, (wrong ones asked) / (1 + wrong
ones rehearsed) is a supermartingale that begins with a mean of at most 1, and our threshold is a stopping
time of it (Barber and Candès 2015, theorem 2; for scores that were learned, Marandon, Lei, Mary and Roquain
2024). It is exact if both get their probabilities from one regression, which saw neither. Here two halves of
the outcomes serve, and all of them for who asks: with four coefficients that changes little.

What is not: people's own questions may be further from what was taught than its phrasings are from each
other. The features take a part of that shift. What is left was measured: docs/decisions/0179.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ANSWERABLE_MIN = 60
"""Fewer answerable outcomes say nothing."""
ANSWERABLE_EACH = 5
"""For so many answerable outcomes, one is counted of which the answer was left out."""
LOWEST = 0.5
"""What is more probably wrong than right is not answered, however few errors a context makes otherwise."""
FURTHEST = 0.02
"""The share of answerable outcomes that are further from all entries than what is answered may be."""
NEVER = 1.0
"""A threshold that no probability reaches."""
ERROR_RATES = tuple(k / 200 for k in range(1, 101))
"""The error rates, 0.5 % to 50 %, for which thresholds are kept."""

_CENTRE, _SPREAD = np.array([-1.5, 0.45, 0.65]), np.array([1.15, 0.35, 0.25])
"""Of the three features, so that the prior's coefficients can be compared."""
_PRIOR = np.array([0.2, 5.2, 0.2, -2.5])
"""The constant and three coefficients that ten question sets give together. The last is negative: evidence
grows with nearness by itself, and what counts is how much more there is of it."""
_STRENGTH = np.full(4, 3.0)
"""How much the prior counts: as the inverse of its variance."""
_CONSTANT_STRENGTH = np.array([0.5])
_LOGIT_MAX = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Rehearsed questions, (n,) each, in any order that does not depend on how they came out."""

    evidence: Floats
    """Of the best candidate, in [0, 1]; 0 if there was none."""
    margin: Floats
    """Its evidence minus the runner-up's, in [0, 1]."""
    nearest: Floats
    """The cosine of the nearest entry, in [0, 1]."""
    right: Bools
    """Whether the best candidate is the answer that was taught."""
    answerable: Bools
    """Whether any entry of that answer was left in."""


def joined(outcomes: Sequence[Outcomes]) -> Outcomes:
    """These outcomes, of which there is at least one, one after another."""
    names = (each.name for each in fields(Outcomes))
    return Outcomes(*(np.concatenate([getattr(each, name) for each in outcomes]) for name in names))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a rehearsal has shown: the probability of an answer, and which ones keep to an error rate."""

    coefficients: tuple[float, ...]
    """The constant, and one for each of the three features."""
    thresholds: tuple[float, ...]
    """The lowest probability that is answered, for each of `ERROR_RATES`."""
    nearest_min: float
    """The lowest cosine of the nearest entry with which something is answered."""
    rehearsed: int
    """How many outcomes they were learned from."""

    def probability(self, evidence: float, margin: float, nearest: float) -> float:
        """The probability that the best candidate is right, in (0, 1), if its question can be answered."""
        row = _features([evidence], [margin], [nearest])  # (1, 4)
        return float(_logistic(row @ np.array(self.coefficients))[0])

    def threshold(self, error_rate: float) -> float | None:
        """The lowest probability that is answered, so that at most `error_rate` of what is answered is wrong.
        `NEVER` if nothing is sure enough; None if too little was rehearsed to tell, whatever had come out."""
        kept = bisect_right(ERROR_RATES, error_rate + 1e-9) - 1
        # The bound (1 + wrong) / answered is lowest if all that can be answered are, and rightly.
        answerable = self.rehearsed - self.rehearsed // (ANSWERABLE_EACH + 1)
        return None if kept < 0 or answerable * ERROR_RATES[kept] < 1 else self.thresholds[kept]

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain types, for `decode`. As JSON it is below 3 kB."""
        return asdict(self)


def decode(encoded: Mapping[str, Any]) -> Calibration:
    """The calibration that `as_dict` gave. Raises ValueError if it is none."""
    try:
        coefficients = tuple(float(value) for value in encoded["coefficients"])
        thresholds = tuple(float(value) for value in encoded["thresholds"])
        nearest_min, rehearsed = float(encoded["nearest_min"]), int(encoded["rehearsed"])
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not a calibration: {type(error).__name__}: {error}") from error
    if (len(coefficients), len(thresholds)) != (len(_PRIOR), len(ERROR_RATES)) or rehearsed < 0:
        raise ValueError("not a calibration: wrong numbers of figures")
    if not np.isfinite([*coefficients, *thresholds, nearest_min]).all() or min(thresholds) < LOWEST:
        raise ValueError("not a calibration: figures out of bounds")
    return Calibration(coefficients, thresholds, nearest_min, rehearsed)


def fit(outcomes: Outcomes) -> Calibration | None:
    """What the outcomes show. None if fewer than `ANSWERABLE_MIN` of them are answerable.

    The same outcomes in the same order give the same calibration. Raises ValueError if a figure is not
    finite."""
    counted, half = _counted(outcomes.answerable)
    if not len(counted):
        return None
    rows = _features(outcomes.evidence, outcomes.margin, outcomes.nearest)[counted]  # (n, 4)
    right, answerable = outcomes.right[counted], outcomes.answerable[counted]
    if not np.isfinite(rows).all():
        raise ValueError("figures of rehearsed questions must be finite")
    by_others = np.empty(len(rows))  # the probability of each, by the other half
    for ours in (half == 0, half == 1):
        by_others[ours] = _logistic(rows[ours] @ _coefficients(rows[~ours], right[~ours], answerable[~ours]))
    nearest = outcomes.nearest[counted]
    nearest_min = float(np.quantile(nearest[answerable], FURTHEST, method="lower"))
    return Calibration(
        coefficients=tuple(_coefficients(rows, right, answerable).tolist()),
        thresholds=tuple(_thresholds(np.where(nearest < nearest_min, 0.0, by_others), right)),
        nearest_min=nearest_min,
        rehearsed=len(rows),
    )


def _counted(answerable: Bools) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The outcomes that count (n,): all answerable ones, and of the others the first, so many that they are
    one in six. And which half each is in, (n,). Both are empty if there are too few answerable ones."""
    those = np.flatnonzero(answerable)
    if len(those) < ANSWERABLE_MIN:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    others = np.flatnonzero(~answerable)[: len(those) // ANSWERABLE_EACH]
    halves = np.concatenate([np.arange(len(those)) % 2, np.arange(len(others)) % 2])
    return np.concatenate([those, others]), halves


def _features(evidence: ArrayLike, margin: ArrayLike, nearest: ArrayLike) -> Floats:
    """The rows of the regression, (n, 4): a constant 1, and the three features, centred and scaled."""
    best = np.clip(np.asarray(evidence, np.float64), 0, 1)
    second = np.clip(best - np.asarray(margin, np.float64), 0, best)
    ahead = (best**2 - second**2) / (best**2 + 0.02)  # 0.02: among weak candidates a lead says little
    features = np.stack([np.log(best**2 + 0.01), ahead, np.clip(np.asarray(nearest, np.float64), 0, 1)], 1)
    return np.column_stack([np.ones(len(best)), (features - _CENTRE) / _SPREAD])


def _logistic(logits: Floats) -> Floats:
    probabilities: Floats = 1 / (1 + np.exp(-np.clip(logits, -_LOGIT_MAX, _LOGIT_MAX)))
    return probabilities


def _coefficients(rows: Floats, right: Bools, answerable: Bools) -> Floats:
    """(4,): fitted to all outcomes, and then the constant alone to the answerable ones."""
    coefficients = _regression(rows, right, np.zeros(len(rows)), _PRIOR, _STRENGTH)
    known = rows[answerable]
    constant = _regression(
        known[:, :1], right[answerable], known @ coefficients, np.zeros(1), _CONSTANT_STRENGTH
    )
    coefficients[0] += constant[0]
    return coefficients


def _regression(rows: Floats, right: Bools, offsets: Floats, prior: Floats, strength: Floats) -> Floats:
    """The most probable coefficients b (f,) of a logistic regression with logits `offsets + rows @ b`, if
    each has a normal prior of mean `prior` and variance 1 / `strength`.

    By Newton's method with halved steps: the loss is strictly convex, so it falls until nothing moves."""

    def loss(b: Floats) -> float:
        logits = offsets + rows @ b
        unlikely = (np.logaddexp(0, logits) - right * logits).sum()
        return float(unlikely + (strength * (b - prior) ** 2).sum() / 2)

    b, lowest = prior.astype(np.float64), loss(prior)
    for _ in range(100):
        p = _logistic(offsets + rows @ b)
        gradient = rows.T @ (p - right) + strength * (b - prior)
        hessian = (rows * (p * (1 - p))[:, None]).T @ rows + np.diag(strength)
        step = np.linalg.solve(hessian, gradient)
        tried = [(loss(b - step * 0.5**k), k) for k in range(10)]
        best, halvings = min(tried)
        if not best < lowest - 1e-10 * (1 + abs(lowest)):
            break
        b, lowest = b - step * 0.5**halvings, best
    return b


def _thresholds(probabilities: Floats, right: Bools) -> list[float]:
    """The lowest probability that is answered for each of `ERROR_RATES`, not below `LOWEST`."""
    order = np.argsort(-probabilities, kind="stable")
    falling = probabilities[order]
    bound = (1 + np.cumsum(~right[order])) / np.arange(1, len(order) + 1)
    last = np.append(falling[1:] < falling[:-1], True)  # equal ones are answered all or not at all
    bound[~last | (falling < LOWEST)] = np.inf
    # The longest start of the order that keeps to the rate.
    lowest = [falling[np.flatnonzero(bound <= rate)[-1:]] for rate in ERROR_RATES]
    return [float(found[0]) if len(found) else NEVER for found in lowest]
