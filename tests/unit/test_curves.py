"""How far probabilities can be trusted: figures counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from hurnet_stream.core.rule.confidence import ERROR_RATES, Calibration
from hurnet_stream.core.rule.rule import RankedAnswer, Ranking, Scores
from hurnet_stream.operations.curves import RATES, interval, trust


def calibration(rehearsed: int = 600, lowest: float = 0.7) -> Calibration:
    """A probability that grows with `nearest`, and is 1/2 at 0.65, whatever the evidence is."""
    return Calibration((0.0, 0.0, 0.0, 1.25), (lowest,) * len(ERROR_RATES), 0.05, rehearsed)


def ranking(nearest: float) -> Ranking:
    scores = Scores(0.5, 0.5, nearest, 0.0, 0.0, None)
    return Ranking((RankedAnswer("a", 0, scores, 0.5, 0.5),), nearest=nearest)


def asked(*nearest_and_right: tuple[float, bool]) -> list[tuple[Ranking, bool]]:
    return [(ranking(nearest), right) for nearest, right in nearest_and_right]


def test_a_point_counts_what_is_answered_wrong_and_in_vain() -> None:
    learned = calibration()
    questions = asked((1.0, True), (0.95, False), (0.9, True), (0.2, True))
    found = trust(learned, questions, [ranking(1.0), ranking(0.1), Ranking(())])
    far = trust(replace(learned, nearest_min=0.97), questions, [ranking(1.0), ranking(0.95)])
    assert [(p.answered, p.wrong, p.unrelated_answered) for p in far.curve] == [(1, 0, 1)] * len(RATES)
    (point,) = [point for point in found.curve if point.error_rate == 0.05]
    assert (point.answered, point.wrong, point.unrelated_answered) == (3, 1, 1)
    assert point.wrong_low < 1 / 3 < point.wrong_high
    assert (found.questions, found.unrelated, found.rehearsed) == (4, 3, 600)


def test_a_rate_that_can_not_be_shown_has_no_figures() -> None:
    found = trust(calibration(rehearsed=30), asked((1.0, True)), [ranking(1.0)])
    first, *_, last = found.curve
    assert (first.lowest_probability, first.answered, first.unrelated_answered) == (None, 0, 0)
    assert (last.lowest_probability, last.answered, last.unrelated_answered) == (0.7, 1, 1)


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_the_calibration_error_is_how_far_probabilities_are_off(shift: float) -> None:
    learned, draw = calibration(), np.random.default_rng(0)
    nearest = draw.uniform(0.3, 0.7, 4_000).tolist()
    true = [learned.probability(0.5, 0.5, each) for each in nearest]
    right = draw.random(4_000) < np.array(true) + shift
    found = trust(learned, asked(*zip(nearest, map(bool, right), strict=True)), [])
    assert found.calibration_error == pytest.approx(shift or found.by_chance, abs=0.012)


def test_as_the_lowest_probability_falls_more_is_answered_and_more_of_it_wrong() -> None:
    found = trust(calibration(), asked((0.9, True), (0.8, True), (0.7, False), (0.6, False)), [])
    assert found.falling == [(0.25, 0.0), (0.5, 0.0), (0.75, pytest.approx(1 / 3)), (1.0, 0.5)]
    many = trust(calibration(), asked(*((i / 1000, i > 500) for i in range(1000))), [])
    assert len(many.falling) == 100
    assert many.falling[-1] == (1.0, 0.501)
    assert [group.questions for group in many.groups] == [100] * 10
    assert many.groups[0].right == 0.0
    assert many.groups[-1].right == 1.0


def test_questions_that_nobody_asked_are_no_error() -> None:
    found = trust(calibration(), [], [])
    assert (found.calibration_error, found.by_chance) == (0.0, 0.0)
    assert all(point.answered == 0 for point in found.curve)
    assert (found.groups, found.falling) == ([], [])


def test_an_interval_holds_its_share_in_nineteen_of_twenty_draws() -> None:
    draw = np.random.default_rng(0).binomial(200, 0.05, 2_000)
    held = [low <= 0.05 <= high for low, high in (interval(int(hits), 200) for hits in draw)]
    assert 0.93 < np.mean(held) < 0.975
    assert interval(0, 0) == (0.0, 1.0)
    assert interval(0, 10)[0] == 0.0
    assert interval(10, 10)[1] == 1.0
