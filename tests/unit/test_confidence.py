"""Calibrated probabilities and thresholds for an error rate, against their laws and other people's code."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from hurnet_stream.core.rule import confidence
from hurnet_stream.core.rule.confidence import (
    ANSWERABLE_MIN,
    ERROR_RATES,
    LOWEST,
    NEVER,
    Calibration,
    Outcomes,
    decode,
    fit,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def outcomes(n: int, seed: int, answerable: float = 5 / 6, sharp: float = 6.0) -> Outcomes:
    """Questions whose evidence says how probable a right answer is: with odds exp(sharp (2 evidence - 1))."""
    draw = np.random.default_rng(seed)
    known = draw.random(n) < answerable
    evidence = np.where(known, draw.beta(3, 2, n), draw.beta(2, 4, n))
    right = known & (draw.random(n) < 1 / (1 + np.exp(-sharp * (2 * evidence - 1))))
    return Outcomes(evidence, evidence * draw.random(n), draw.random(n), right, known)


def probabilities(calibration: Calibration, of: Outcomes) -> Floats:
    rows = confidence._features(of.evidence, of.margin, of.nearest)
    return confidence._logistic(rows @ np.array(calibration.coefficients))


def fitted(of: Outcomes) -> Calibration:
    calibration = fit(of)
    assert calibration is not None
    return calibration


def test_the_example_of_the_module() -> None:
    sure = np.array([0.99, 0.97, 0.96, 0.90, 0.80, 0.60])
    right = np.array([True, True, True, False, True, False])
    thresholds = dict(zip(ERROR_RATES, confidence._thresholds(sure, right), strict=True))
    assert thresholds[0.4] == 0.80
    assert thresholds[0.5] == 0.60
    assert thresholds[0.3] == NEVER


@given(
    st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.6, 0.7, 0.8, 0.9]), st.booleans()), min_size=1),
    st.sampled_from(ERROR_RATES),
)
def test_a_threshold_is_the_lowest_that_keeps_to_the_rate(
    asked: list[tuple[float, bool]], rate: float
) -> None:
    def keeps(threshold: float) -> bool:
        answered = [right for sure, right in asked if sure >= threshold]
        return bool(answered) and (1 + answered.count(False)) / len(answered) <= rate

    expected = min((sure for sure, _ in asked if sure >= LOWEST and keeps(sure)), default=NEVER)
    thresholds = confidence._thresholds(np.array([s for s, _ in asked]), np.array([r for _, r in asked]))
    assert thresholds[ERROR_RATES.index(rate)] == expected
    assert thresholds == sorted(thresholds, reverse=True)  # who allows more errors is answered more


def wrong_share(threshold_of: Callable[[Floats, Bools], float], n: int = 120) -> float:
    """Wrong answers to n questions, divided by the rehearsed ones that were let through: the mean of many
    contexts in which the probability says nothing, and four answers in five are right."""
    draw = np.random.default_rng(1)
    shares = []
    for _ in range(1_000):
        rehearsed, asked = draw.uniform(0.5, 1, (2, n))
        right, right_asked = draw.random((2, n)) < 0.8
        threshold = threshold_of(rehearsed, right)
        let_through = np.count_nonzero(rehearsed >= threshold)
        shares.append(float(np.count_nonzero(~right_asked[asked >= threshold]) / max(int(let_through), 1)))
    return float(np.mean(shares))


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_the_error_rate_is_kept_by_fresh_questions(rate: float) -> None:
    kept = ERROR_RATES.index(rate)
    assert wrong_share(lambda sure, right: confidence._thresholds(sure, right)[kept]) <= rate


def test_without_the_one_that_is_added_it_would_not_be_kept() -> None:
    def lucky(sure: Floats, right: Bools) -> float:
        order = np.argsort(-sure)
        bound = np.cumsum(~right[order]) / np.arange(1, len(sure) + 1)
        kept = np.flatnonzero(bound <= 0.1)
        return float(sure[order][kept[-1]]) if len(kept) else NEVER

    assert wrong_share(lucky) > 0.12


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_of_what_is_answered_at_most_the_rate_is_wrong(rate: float) -> None:
    """On the whole way: probabilities fitted, thresholds of halves, and fresh questions."""
    shares: list[float] = []
    answered: list[float] = []
    for seed in range(60):
        rehearsed, asked = outcomes(600, seed), outcomes(600, 1_000 + seed)
        calibration = fitted(rehearsed)
        threshold = calibration.threshold(rate) or NEVER
        let_through = np.count_nonzero(probabilities(calibration, rehearsed) >= threshold)
        given_answer = probabilities(calibration, asked) >= threshold
        shares.append(float(np.count_nonzero(~asked.right[given_answer]) / max(int(let_through), 1)))
        answered.append(float(given_answer.mean()))
    assert np.mean(shares) <= rate + 2 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(answered) > rate  # and it is not kept by answering nothing


def test_one_question_has_the_probability_of_many() -> None:
    asked = outcomes(50, 11)
    calibration = fitted(outcomes(300, 12))
    figures = zip(asked.evidence.tolist(), asked.margin.tolist(), asked.nearest.tolist(), strict=True)
    one_by_one = [calibration.probability(*each) for each in figures]
    np.testing.assert_allclose(one_by_one, probabilities(calibration, asked))


def test_probabilities_are_calibrated_for_questions_that_have_an_answer() -> None:
    calibration, asked = fitted(outcomes(2_000, 1)), outcomes(20_000, 2, answerable=1.0)
    sure = probabilities(calibration, asked)
    tenths = np.array_split(np.argsort(sure), 10)
    errors = [abs(sure[rows].mean() - asked.right[rows].mean()) for rows in tenths]
    assert np.mean(errors) < 0.05


def test_a_stricter_guarantee_lets_through_no_more() -> None:
    """MAPIE's thresholds (Learn then Test) keep to the rate in nine contexts of ten: a stronger promise."""
    compared = 0
    for seed in range(10):
        draw = np.random.default_rng(seed)
        sure = draw.uniform(0.5, 1, 2_000)
        right = draw.random(2_000) < sure**0.5
        reference = BinaryClassificationController(
            lambda rows: np.column_stack([1 - rows, rows]),
            "precision",
            target_level=0.9,
            confidence_level=0.9,
            list_predict_params=np.linspace(0.5, 0.9, 9),
        ).calibrate(sure[:, None], right.astype(int))
        if len(reference.valid_predict_params):
            ours = confidence._thresholds(sure, right)[ERROR_RATES.index(0.1)]
            assert ours <= reference.best_predict_param
            compared += 1
    assert compared > 5


def test_the_regression_is_the_one_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    rows = np.column_stack([np.ones(500), draw.normal(size=(500, 3))])
    right = draw.random(500) < 1 / (1 + np.exp(-rows @ [1.0, 2.0, -1.0, 0.5]))
    ours = confidence._regression(rows, right, np.zeros(500), np.zeros(4), np.full(4, 3.0))
    theirs = LogisticRegression(C=1 / 3, fit_intercept=False, tol=1e-10).fit(rows, right)
    np.testing.assert_allclose(ours, theirs.coef_[0], atol=1e-4)


@given(st.integers(0, 100), st.sampled_from(["right", "wrong", "by evidence", "against evidence"]))
def test_whatever_comes_out_the_figures_are_finite(seed: int, kind: str) -> None:
    """Also where one figure tells right from wrong without a mistake, and least squares would run away."""
    drawn = outcomes(150, seed, answerable=1.0)
    right = {
        "right": np.ones(150, bool),
        "wrong": np.zeros(150, bool),
        "by evidence": drawn.evidence > 0.5,
        "against evidence": drawn.evidence < 0.5,
    }[kind]
    calibration = fitted(replace(drawn, right=right))
    assert np.isfinite(calibration.coefficients).all()
    for figures in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)):
        assert 0 < calibration.probability(*figures) < NEVER
    if kind == "wrong":
        assert set(calibration.thresholds) == {NEVER}


def test_too_few_outcomes_say_nothing() -> None:
    drawn = outcomes(400, 3)
    few = drawn.answerable & (np.cumsum(drawn.answerable) < ANSWERABLE_MIN)
    assert fit(replace(drawn, answerable=few)) is None
    assert fit(replace(drawn, answerable=np.zeros(400, bool))) is None


def test_no_threshold_is_claimed_for_a_rate_that_so_few_outcomes_can_not_show() -> None:
    sure = outcomes(90, 4, answerable=1.0)
    calibration = fitted(replace(sure, right=np.ones(90, bool)))
    assert calibration.threshold(0.01) is None  # 1 wrong of 90 that might have been is more than 1 %
    assert calibration.threshold(0.001) is None
    assert calibration.threshold(0.05) == min(calibration.thresholds)
    assert calibration.threshold(0.9) == calibration.threshold(0.5)


def test_what_is_further_than_98_of_100_is_not_let_through() -> None:
    drawn = outcomes(1_000, 13, answerable=1.0)
    calibration = fitted(drawn)
    assert np.mean(drawn.nearest < calibration.nearest_min) == pytest.approx(0.02, abs=0.002)
    far = drawn.nearest < calibration.nearest_min
    wrong_if_far = fitted(replace(drawn, right=drawn.right & ~far))
    assert wrong_if_far.thresholds[-1] <= calibration.thresholds[-1] + 0.05


def test_one_in_six_of_those_that_count_has_no_answer() -> None:
    drawn = outcomes(600, 5, answerable=0.5)
    known = np.count_nonzero(drawn.answerable)
    assert fitted(drawn).rehearsed == known + known // 5


def test_unanswerable_outcomes_raise_the_threshold_and_not_the_probability() -> None:
    drawn = outcomes(1_200, 6)
    kept = drawn.answerable
    only = Outcomes(
        drawn.evidence[kept], drawn.margin[kept], drawn.nearest[kept], drawn.right[kept], kept[kept]
    )
    with_others, alone = fitted(drawn), fitted(only)
    assert (with_others.threshold(0.1) or 0) > (alone.threshold(0.1) or 0)
    sure, true = probabilities(with_others, only), only.right.mean()
    assert sure.mean() == pytest.approx(true, abs=0.01)


def test_the_same_outcomes_give_the_same_calibration() -> None:
    assert fit(outcomes(500, 7)) == fit(outcomes(500, 7))


def test_it_is_read_as_it_was_written() -> None:
    calibration = fitted(outcomes(1_500, 8))
    written = json.dumps(calibration.as_dict(), allow_nan=False)
    assert len(written) < 4_000
    assert decode(json.loads(written)) == calibration


@pytest.mark.parametrize(
    "broken",
    [
        {"coefficients": [1, 2, 3]},
        {"coefficients": None},
        {"coefficients": [1, 2, 3, "x"]},
        {"coefficients": [1, 2, 3, float("inf")]},
        {"thresholds": [0.9] * 99},
        {"thresholds": [0.1] * 100},
        {"thresholds": [float("nan")] * 100},
        {"nearest_min": float("nan")},
        {"rehearsed": -1},
        {"rehearsed": float("inf")},
    ],
)
def test_what_is_no_calibration_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode({**fitted(outcomes(200, 9)).as_dict(), **broken})
    with pytest.raises(ValueError, match="not a calibration"):
        decode({})


def test_figures_that_are_not_finite_are_refused() -> None:
    drawn = outcomes(200, 10)
    drawn.nearest[17] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit(drawn)
