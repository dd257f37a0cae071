"""`hurnet correct`: a verdict on an answer, and the right one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_schemas import Answer, Feedback
    from hurnet_schemas.places import Marks
    from hurnet_stream.client import Client, Corrected

EPILOG = """\b
Examples:
  hurnet correct "my parcel is late" "track-order"      # that is the right answer
  hurnet correct "my parcel is late" --right            # what is answered now is right
  hurnet correct "my parcel is late" --wrong            # what is answered now is wrong
  hurnet correct "my parcel is late" --retract          # take back what was said of it
  hurnet correct --file corrections.tsv --metadata source=review
"""


def metadata_of(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """The values of --metadata, KEY=VALUE each. Raises `BadParameter`."""
    pairs = [value.partition("=") for value in values]
    for value, (key, equal, _) in zip(values, pairs, strict=True):
        if not (key.strip() and equal):
            raise click.BadParameter(f"{value!r} is not KEY=VALUE", ctx, param)
    return {key.strip(): value for key, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of the answer to a question. `given` is what was answered, if that is known."""

    question: str
    answer: str | None
    verdict: str | None
    given: str | None
    context: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises `UsageError` if it is not one verdict."""
        if self.question is None:
            raise click.UsageError("Name the QUESTION, or a --file of them.")
        if (self.answer is None) == (self.verdict is None):
            raise click.UsageError("Say one thing: the right ANSWER, --right, --wrong or --retract.")
        if self.given is not None and self.verdict in ("right", "retracted"):
            raise click.UsageError("--given is what was answered wrong: it goes with ANSWER or --wrong.")

    def check_with(self, file: BinaryIO | None) -> None:
        """Raises `UsageError` if it is not one verdict, or one for all lines of a file."""
        if file is None:
            self.check()
        elif self.question is not None or self.given is not None or self.verdict not in (None, "retracted"):
            raise click.UsageError(
                "--file has questions and answers of its own: only --retract goes with it."
            )

    @property
    def asks_first(self) -> bool:
        """Whether the verdict is on what is answered now."""
        return self.given is None and self.verdict != "retracted"

    def feedback(self, now: Answer | None) -> Feedback:
        """The feedback to send. `now` is what is answered now, None if nobody was asked or replied. Raises
        `UsageError` if it is needed, or if something is not as a message must be."""
        from hurnet_stream.client import InvalidRequest
        from hurnet_stream.client.messages import feedback

        given = self.given or (now.answer if now else None)
        if self.verdict in ("right", "wrong") and given is None:
            raise click.UsageError("Nothing is answered now that could be judged: name the right ANSWER.")
        right = given if self.verdict == "right" else self.answer
        receipt = now.receipt if now else None
        query = receipt.query if receipt else None
        fields = {"context": self.context, "query": query, "metadata": dict(self.metadata)}
        try:
            return feedback(self.question, right, given, self.verdict == "retracted", fields)
        except InvalidRequest as error:
            raise click.UsageError(str(error)) from None


@click.command(epilog=EPILOG)
@click.argument("question", required=False)
@click.argument("answer", required=False)
@click.option(
    "--file",
    type=click.File("rb"),
    help="Send many at once, a line each: question, TAB, right answer; an object of feedback; or with"
    " --retract a question alone. - is standard input. The effect is not waited for.",
)
@click.option(
    "--metadata",
    multiple=True,
    metavar="KEY=VALUE",
    callback=metadata_of,
    help="What the taught pair carries, so that questions with a filter find it. May be repeated.",
)
@click.option("--right", "verdict", flag_value="right", help="What is answered now is right.")
@click.option("--wrong", "verdict", flag_value="wrong", help="What is answered now is wrong.")
@click.option(
    "--retract", "verdict", flag_value="retracted", help="Take back all that was said of this question."
)
@click.option(
    "--given", metavar="TEXT", help="What was answered wrong. Default: the question is asked first."
)
@click.option("--context", metavar="NAME", help="The context that was asked. Default: default.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0.1, 60),
    default=10.0,
    show_default=True,
    help="Longest time in seconds to wait for a reply, and then for the effect.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def correct(file: BinaryIO | None, wait_s: float, as_json: bool, context: str | None, **said: Any) -> None:
    """Say that an answer was right or wrong, and what is right.

    The right ANSWER to QUESTION is taught as a pair, and the question is asked again. What is said later of
    the same question replaces what was said before, so nothing counts twice, and --retract leaves everything
    as if nothing had been said. Exit code 1: nobody taught it, or replied, in time; or lines of the file are
    no feedback. 2: nothing was sent.
    """
    from hurnet_stream.client import Client
    from hurnet_stream.client.over_kafka import OverKafka
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.lines import context_name
    from hurnet_stream.terminal.screen import hush

    hush()
    meant = Said(context=context_name(context), **said)
    meant.check_with(file)
    with Client(OverKafka(settings.load().kafka), timeout=wait_s) as client:
        sys.exit(
            _correct_all(client, meant, file, as_json) if file else _correct(client, meant, wait_s, as_json)
        )


def _correct_all(client: Client, said: Said, file: BinaryIO, as_json: bool) -> int:
    from hurnet_stream.terminal.corrections import Common, send
    from hurnet_stream.terminal.lines import read_lines
    from hurnet_stream.terminal.screen import say, say_json

    common = Common(said.context, said.metadata, said.verdict == "retracted")
    sent = invalid = 0
    for each in send(client, read_lines(file), common):
        if each.feedback is None:
            invalid += 1
            say(f"line {each.line.number}: {each.why_not}", err=True)
        else:
            sent += 1
            if as_json:
                say_json({"line": each.line.number, "feedback": each.feedback})
    if not as_json:
        say(f"sent {sent:,} corrections; answers know them within about a second if a feedback worker runs")
    return NOT_WELL if invalid else DONE


def _correct(client: Client, said: Said, wait_s: float, as_json: bool) -> int:
    from hurnet_stream.client import NotTaught
    from hurnet_stream.client.messages import PATIENCE_S
    from hurnet_stream.terminal.screen import say, say_json

    before = _asked(client, said) if said.asks_first else None
    feedback = said.feedback(before)
    if not as_json and before:
        say(f"answered until now: {_shown(before)}")
    try:
        corrected = client.correct(feedback, timeout=wait_s + PATIENCE_S)
    except NotTaught as error:
        say(f"Error: {error}", err=True)
        return NOT_WELL
    now = _asked(client, said, corrected.watermarks)
    if as_json:
        say_json(_as_dict(feedback, corrected, now))
    else:
        say(f"{corrected.feedback} says {feedback.verdict}")
        say(f"answered from now on: {_shown(now)}")
    return DONE if now else NOT_WELL


def _asked(client: Client, said: Said, after: Marks | None = None) -> Answer | None:
    """What is answered; None if nobody replies in time, which is said."""
    from hurnet_stream.client import NoReply
    from hurnet_stream.terminal.screen import say

    try:
        return client.ask(said.question, context=said.context, after=after)
    except NoReply as error:
        say(f"warning: {error}", err=True)
        return None


def _shown(answer: Answer | None) -> str:
    if answer is None:
        return "not known, nobody replied in time"
    return answer.answer or f"no answer ({answer.outcome}): {answer.reason or 'no reason given'}"


def _as_dict(feedback: Feedback, corrected: Corrected, now: Answer | None) -> dict[str, Any]:
    from hurnet_schemas.places import watermarks_json

    return {
        "feedback": corrected.feedback,
        "said": feedback.model_dump(exclude_none=True),
        "watermarks": watermarks_json(corrected.watermarks),
        "answer": now.model_dump(exclude_none=True) if now else None,
    }
