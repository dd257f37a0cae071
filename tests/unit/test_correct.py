"""`hurnet correct`: from what a person says, and what is answered now, to feedback."""

from __future__ import annotations

import click
import pytest

from hurnet_schemas import Answer, Receipt
from hurnet_stream.commands.correct import Said

QUESTION = "where is my parcel"


def said(answer: str | None = None, verdict: str | None = None, given: str | None = None) -> Said:
    return Said(QUESTION, answer, verdict, given, "default")


def now(answer: str | None) -> Answer:
    receipt = Receipt(
        query="queries/0/7",
        context="default",
        rows=1,
        embedder="e",
        fingerprint="f",
        watermarks={},
        threshold=0.3,
        seconds=0.1,
    )
    return Answer(id="7", outcome="answered" if answer else "abstained", answer=answer, receipt=receipt)


@pytest.mark.parametrize(
    ("what", "answered", "verdict", "answer", "given"),
    [
        (said("track"), "returns", "wrong", "track", "returns"),
        (said("track"), "track", "right", "track", None),
        (said("track"), None, "wrong", "track", None),
        (said("track", given="refunds"), None, "wrong", "track", "refunds"),
        (said(verdict="right"), "track", "right", "track", None),
        (said(verdict="wrong"), "track", "wrong", None, "track"),
        (said(verdict="wrong", given="track"), None, "wrong", None, "track"),
        (said(verdict="retracted"), None, "retracted", None, None),
    ],
)
def test_the_verdict_is_on_what_is_answered_now(
    what: Said, answered: str | None, verdict: str, answer: str | None, given: str | None
) -> None:
    what.check()
    feedback = what.feedback(now(answered) if what.asks_first else None)
    assert (feedback.question, feedback.context) == (QUESTION, "default")
    assert (feedback.verdict, feedback.answer, feedback.given) == (verdict, answer, given)
    assert feedback.query == ("queries/0/7" if what.asks_first else None)


def test_a_right_answer_is_taken_even_if_nobody_replies() -> None:
    assert said("track").feedback(None).verdict == "wrong"


@pytest.mark.parametrize("verdict", ["right", "wrong"])
@pytest.mark.parametrize("reply", [None, now(None)])
def test_what_is_not_answered_can_not_be_judged(verdict: str, reply: Answer | None) -> None:
    with pytest.raises(click.UsageError, match="name the right ANSWER"):
        said(verdict=verdict).feedback(reply)


@pytest.mark.parametrize(
    "what",
    [
        said(),
        said("track", "right"),
        said("track", "retracted"),
        said(verdict="right", given="track"),
        said(verdict="retracted", given="track"),
    ],
)
def test_one_thing_is_said_at_a_time(what: Said) -> None:
    with pytest.raises(click.UsageError):
        what.check()


@pytest.mark.parametrize("answer", [" ", "\0", "x" * 20_000])
def test_what_no_message_can_hold_is_a_usage_error(answer: str) -> None:
    with pytest.raises(click.UsageError, match="answer"):
        said(answer, given="track").feedback(None)
