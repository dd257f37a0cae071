"""`hurnet correct`: from what a person says, and what is answered now, to feedback."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from hurnet_schemas import Answer, InvalidMessage, Receipt
from hurnet_stream.client import Client
from hurnet_stream.client.over_http import OverHttp
from hurnet_stream.command_line import hurnet
from hurnet_stream.commands.correct import Said
from hurnet_stream.terminal.corrections import Common, parsed, send
from hurnet_stream.terminal.lines import Line
from tests.memory.hurnet import MemoryGateway, MemoryHurnet

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


COMMON = Common("support", {"source": "review"})


def line_of(text: str) -> Line:
    return Line(1, text.encode(errors="surrogateescape"), len(text))


def test_a_line_is_a_question_and_its_answer_or_feedback_or_a_retraction() -> None:
    plain = parsed(line_of("my parcel is late\ttrack"), COMMON)
    assert (plain.question, plain.verdict, plain.answer) == ("my parcel is late", "wrong", "track")
    assert (plain.context, plain.metadata) == ("support", {"source": "review"})
    own = '"context": "own", "metadata": {"source": "me"}'
    whole = parsed(line_of(f'{{"question": "q", "verdict": "right", "answer": "a", {own}}}'), COMMON)
    assert (whole.verdict, whole.context, whole.metadata) == ("right", "own", {"source": "me"})
    taken_back = parsed(line_of('{"question": "q", "verdict": "retracted"}'), COMMON)
    assert (taken_back.context, dict(taken_back.metadata)) == ("support", {})
    assert parsed(line_of("a\tb"), Common("default", {}, retract=True)).question == "a\tb"


@pytest.mark.parametrize(
    "line",
    [
        *("a question alone", "\tanswer", "question\t", "{", '{"question": "q"}', "\udcff\ta", "q\ta\0"),
        "q\t" + "x" * 20_000,
    ],
)
def test_a_line_that_is_no_feedback_says_why(line: str) -> None:
    with pytest.raises(InvalidMessage):
        parsed(line_of(line), COMMON)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--file", "-", "question"],
        ["--file", "-", "--right"],
        ["--file", "-", "--given", "x"],
        ["q", "a", "--metadata", "lang"],
        ["q", "a", "--metadata", "=en"],
        ["--file", "/no/such"],
    ],
)
def test_what_does_not_go_together_is_a_usage_error(arguments: list[str]) -> None:
    result = CliRunner().invoke(hurnet, ["correct", *arguments], input="a\tb\n")
    assert result.exit_code == 2
    assert "Error" in result.stderr


@pytest.fixture
def client() -> Iterator[Client]:
    inner = MemoryGateway(MemoryHurnet()).transport()
    with Client(OverHttp("http://127.0.0.1:8080", inner=inner)) as client:
        yield client


def test_many_are_sent_and_what_is_none_is_told_with_its_line(client: Client) -> None:
    texts = ["my parcel is late\ttrack", "nothing", "how to pay\tcard"]
    lines = [Line(number, text.encode(), 0) for number, text in enumerate(texts, start=1)]
    sent = list(send(client, lines, Common("default", {})))
    assert [each.line.number for each in sent if each.feedback] == [1, 3]
    assert [each.line.number for each in sent if each.why_not] == [2]
