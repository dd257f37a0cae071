"""Whether an answer is given: by an error rate, by the threshold; and what an abstained reply offers."""

import json
import math
from dataclasses import replace

import pytest
from pydantic import ValidationError

from hurnet_schemas import Answer, Query
from hurnet_stream.core.rule import mix
from hurnet_stream.core.rule.confidence import ERROR_RATES, NEVER, Calibration
from hurnet_stream.core.rule.mix import PRIOR
from hurnet_stream.core.rule.rule import RankedAnswer, Ranking, Scores
from hurnet_stream.responder.deciding import decide
from hurnet_stream.settings.settings import ResponderSettings
from tests.worlds.responder import PAIRS, World, only, turn


def always(probability: float, lowest: float = 0.8, rehearsed: int = 720) -> Calibration:
    """A calibration that finds every answer equally probable, and for 5 % answers from `lowest` up."""
    thresholds = tuple(lowest if rate >= 0.05 else NEVER for rate in ERROR_RATES)
    return Calibration(
        (math.log(probability / (1 - probability)), 0.0, 0.0, 0.0), thresholds, 0.05, rehearsed
    )


def ranking(evidence: float, runner_up: float | None = None, nearest: float = 0.6) -> Ranking:
    scores = Scores(0.5, 0.5, nearest, 0.0, 0.0, None)
    found = [evidence] if runner_up is None else [evidence, runner_up]
    answers = [RankedAnswer(str(i), i, scores, e, (e + nearest) / 2) for i, e in enumerate(found)]
    return Ranking(answers, nearest=nearest)


def settings(**given: float) -> ResponderSettings:
    return ResponderSettings.model_validate({"threshold": 0.3, "error_rate": 0, **given})


def test_without_an_error_rate_the_score_decides_and_the_probability_is_told() -> None:
    decision = decide(ranking(0.1, nearest=0.2), settings(), always(0.99))
    assert decision.why_not == "best was 0.15, below the threshold 0.3"
    assert decision.probability == pytest.approx(0.99)
    assert (decision.rehearsed, decision.error_rate, decision.lowest) == (720, None, None)
    assert decide(ranking(0.9), settings(), always(0.01)).why_not is None


@pytest.mark.parametrize("rate", [-0.1, 0.001, 0.0049, 0.51, math.inf, math.nan])
def test_an_error_rate_that_can_not_be_kept_to_is_refused(rate: float) -> None:
    with pytest.raises(ValidationError):
        settings(error_rate=rate)
    assert settings(error_rate=0.005).error_rate == 0.005


def test_by_default_what_is_more_probably_right_than_wrong_is_answered() -> None:
    chosen = ResponderSettings()
    even = replace(always(0.51), thresholds=(0.5,) * len(ERROR_RATES))
    decision = decide(ranking(0.1, nearest=0.1), chosen, even)
    assert (decision.why_not, decision.lowest, decision.decided_by) == (None, 0.5, "error-rate")
    assert decide(ranking(0.9), chosen, replace(even, coefficients=(-0.1, 0.0, 0.0, 0.0))).why_not is not None
    assert decide(ranking(0.9), chosen, None).decided_by == "threshold"


def test_with_an_error_rate_the_probability_decides_whatever_the_score_is() -> None:
    given = decide(ranking(0.1, nearest=0.1), settings(error_rate=0.05), always(0.9))
    assert (given.why_not, given.error_rate, given.lowest) == (None, 0.05, 0.8)
    withheld = decide(ranking(0.99), settings(error_rate=0.05), always(0.6))
    assert withheld.why_not == "the best is right with probability 0.60, not 0.8 as for an error rate of 5 %"
    never = decide(ranking(0.99), settings(error_rate=0.01), always(0.6))
    assert never.lowest == NEVER
    assert (never.why_not or "").startswith("no answer is sure enough for an error rate of 1 %")


def test_what_is_further_than_all_that_was_rehearsed_is_not_answered() -> None:
    near_only = replace(always(0.99), nearest_min=0.61)
    why_not = decide(ranking(0.9, nearest=0.6), settings(error_rate=0.05), near_only).why_not or ""
    assert why_not.startswith("the question is further from what was taught than those that were rehearsed")
    assert "cosine 0.60, theirs 0.61 or more" in why_not
    assert decide(ranking(0.9, nearest=0.61), settings(error_rate=0.05), near_only).why_not is None
    assert decide(ranking(0.9, nearest=0.6), settings(), near_only).why_not is None  # the score decides


def test_a_probability_just_below_is_not_shown_as_the_lowest() -> None:
    why_not = decide(ranking(0.9), settings(error_rate=0.05), always(0.7999)).why_not or ""
    assert "probability 0.7999, not 0.8 " in why_not


@pytest.mark.parametrize("calibration", [None, always(0.99, rehearsed=15)])
def test_until_enough_is_taught_the_threshold_decides_and_the_reason_says_so(
    calibration: Calibration | None,
) -> None:
    decision = decide(ranking(0.1, nearest=0.1), settings(error_rate=0.05), calibration)
    assert decision.error_rate is None
    assert "below the threshold 0.3; too few pairs were taught" in (decision.why_not or "")
    assert decide(ranking(0.9), settings(error_rate=0.05), calibration).why_not is None


def test_the_probability_is_that_of_the_evidence_of_the_best_and_its_lead() -> None:
    learned = replace(always(0.5), coefficients=(0.0, 1.0, 2.0, -0.5))
    decision = decide(ranking(0.7, runner_up=0.4, nearest=0.6), settings(), learned)
    assert decision.probability == learned.probability(0.7, 0.7 - 0.4, 0.6)
    alone = decide(ranking(0.7, nearest=0.6), settings(), learned)
    assert alone.probability == learned.probability(0.7, 0.7, 0.6)


def asked(calibration: Calibration | None, query: Query) -> Answer:
    """The reply to a query that is to be answered at an error rate of 5 %."""
    world = World()
    world.teach(*PAIRS, ("thank you", "bye"))
    world.ask(query)
    answering = world.responder(error_rate=0.05)
    answering._memory.use_mix("default", replace(PRIOR, calibration=calibration))
    turn(answering)
    return only(world.answers())


def test_a_reply_says_the_probability_and_what_decided() -> None:
    answer = asked(always(0.9), Query(text="turn on the kitchen light"))
    receipt = answer.receipt
    assert receipt is not None
    assert (answer.outcome, answer.answer) == ("answered", "on")
    assert (receipt.decided_by, receipt.error_rate, receipt.lowest_probability) == ("error-rate", 0.05, 0.8)
    assert receipt.probability == pytest.approx(0.9)
    assert receipt.rehearsed == 720


def test_without_a_rehearsal_it_says_that_the_threshold_decided() -> None:
    answer = asked(None, Query(text="turn on the kitchen light"))
    receipt = answer.receipt
    assert receipt is not None
    assert (receipt.decided_by, receipt.threshold, receipt.probability) == ("threshold", 0.3, None)
    nothing = World()
    nothing.ask(Query(text="turn on the kitchen light"))
    turn(nothing.responder())
    assert (empty := only(nothing.answers()).receipt) is not None
    assert empty.decided_by is None
    sent = json.loads(answer.encode())["receipt"]
    assert not {"probability", "rehearsed", "error_rate", "lowest_probability"} & set(sent)


@pytest.mark.parametrize(("top_k", "offered"), [(1, 3), (4, 4)])
def test_an_abstained_reply_offers_three_answers_to_choose_from(top_k: int, offered: int) -> None:
    answer = asked(always(0.6), Query(text="turn on the kitchen light", top_k=top_k))
    assert (answer.outcome, answer.answer) == ("abstained", None)
    answers = [candidate.answer for candidate in answer.candidates]
    assert len(answers) == offered == len(set(answers))
    assert answers[0] == "on"
    assert answer.candidates_dropped is None


def test_an_answered_one_has_as_many_as_were_asked_for() -> None:
    assert len(asked(always(0.9), Query(text="turn on the kitchen light")).candidates) == 1


def test_a_mix_is_published_with_its_calibration() -> None:
    for calibration in (None, always(0.7)):
        published = json.loads(json.dumps(replace(PRIOR, version=3, calibration=calibration).as_dict()))
        assert mix.decode(published) == replace(PRIOR, version=3, calibration=calibration)
    with pytest.raises(ValueError, match="not a calibration"):
        mix.decode({**PRIOR.as_dict(), "calibration": {"thresholds": []}})
