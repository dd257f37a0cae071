"""Whether the best answer is given: by the probability that it is right, or by its score.

If enough was rehearsed, the lowest probability decides with which the error rate is kept
(core/rule/confidence.py). The default, 50 %, asks no more than that an answer is more probably right than
wrong. Else the threshold decides: the lowest combined score that is answered.

    error rate 5 %, lowest probability 0.87        threshold 0.35
    probability 0.91    answered                   score 0.54    answered
    probability 0.41    abstained                  score 0.21    abstained

What is further from all entries than what was rehearsed is not answered by an error rate, whatever its
probability.
"""

from __future__ import annotations

from dataclasses import dataclass

from hurnet_stream.core.rule.confidence import NEVER, Calibration
from hurnet_stream.core.rule.rule import Ranking
from hurnet_stream.settings.settings import ResponderSettings
from hurnet_stream.visible import below

MOST_ERRORS = 0.5
"""The error rate that asks for nothing but that an answer is more probably right than wrong."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the best answer is given, and by which rule."""

    why_not: str | None
    """Why it is not given, for a person to read. None: it is."""
    probability: float | None
    """That it is right. None if too little was rehearsed to tell."""
    rehearsed: int | None
    """From how many rehearsed questions the probability was learned."""
    error_rate: float | None = None
    """What share of the answers may be wrong. None if the score decided."""
    lowest: float | None = None
    """The lowest probability that is answered. None if the score decided."""

    @property
    def decided_by(self) -> str:
        """What decided, as receipts call it."""
        return "threshold" if self.error_rate is None else "error-rate"


def decide(ranking: Ranking, settings: ResponderSettings, calibration: Calibration | None) -> Decision:
    """Whether the best answer of a ranking that has one is given. `calibration` is what a rehearsal of its
    context has shown, None if it could show nothing."""
    probability = probability_of(ranking, calibration) if calibration else None
    if calibration is None or probability is None:
        return Decision(_below_threshold(ranking, settings), probability=None, rehearsed=None)
    rate = settings.error_rate
    lowest = calibration.threshold(rate)
    if lowest is None:
        return Decision(_below_threshold(ranking, settings), probability, calibration.rehearsed)
    why_not = _too_far(ranking, calibration) or _too_unsure(probability, lowest, rate)
    return Decision(why_not, probability, calibration.rehearsed, rate, lowest)


def probability_of(ranking: Ranking, calibration: Calibration) -> float | None:
    """How probable it is that the best candidate is right. None if there is none."""
    best, second, nearest = ranking.best, ranking.runner_up, ranking.nearest
    if best is None or nearest is None:
        return None
    margin = best.evidence - (second.evidence if second else 0.0)
    return calibration.probability(best.evidence, margin, nearest)


def _too_far(ranking: Ranking, calibration: Calibration) -> str | None:
    nearest, least = ranking.nearest or 0.0, calibration.nearest_min
    if nearest >= least:
        return None
    shown = f"its nearest entry has the cosine {below(nearest, least)}, theirs {least:.4g} or more"
    return f"the question is further from what was taught than those that were rehearsed: {shown}"


def _too_unsure(probability: float, lowest: float, rate: float) -> str | None:
    if probability >= lowest:
        return None
    wanted = f"for an error rate of {100 * rate:g} %"
    if lowest == NEVER:
        return f"no answer is sure enough {wanted}; the best is right with probability {probability:.2f}"
    return f"the best is right with probability {below(probability, lowest)}, not {lowest:.4g} as {wanted}"


def _below_threshold(ranking: Ranking, settings: ResponderSettings) -> str | None:
    best, threshold = ranking.best, settings.threshold
    if best is None or best.combined >= threshold:
        return None
    said = f"best was {below(best.combined, threshold)}, below the threshold {threshold:g}"
    asked_for = 0 < settings.error_rate < MOST_ERRORS
    return f"{said}; too few pairs were taught for the error rate" if asked_for else said
