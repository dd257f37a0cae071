"""`hurnet ask`: a question over Kafka, its answer, and why it is this one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_schemas import Reply
    from hurnet_schemas.places import ShardName
    from hurnet_stream.client import Client
    from hurnet_stream.settings.settings import Settings
    from hurnet_stream.terminal.asking import Wrong
    from hurnet_stream.terminal.lines import Line
    from hurnet_stream.terminal.questions import How


EPILOG = """\b
Examples:
  hurnet ask "how do I turn on the light"
  hurnet ask "how do I turn on the light" --context home --top-k 3 --after 0=41,1=39
  hurnet ask "which router fits?" --where lang=en --where "price<100" --neighbours 5 --explain
  hurnet ask --json < questions.txt > answers.jsonl
  if intent=$(hurnet ask --quiet "$said"); then echo "$intent"; fi
"""


def watermarks(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[ShardName, int]:
    """The value of --after, [TOPIC/]PARTITION=OFFSET,..., as a dictionary. Raises `BadParameter`."""
    from hurnet_schemas import places

    try:
        marks = places.watermarks((value or "").strip().strip(","))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if value is not None and not marks:
        raise click.BadParameter(
            f"{value!r} is not [TOPIC/]PARTITION=OFFSET,... (as in 0=41,1=39)", ctx, param
        )
    return marks


def by_metadata(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options `where` and `given` of commands that look at some entries alone: conditions on metadata."""
    where = click.option(
        "--where",
        multiple=True,
        metavar="CONDITION",
        help="Only entries whose metadata meet it: KEY=VALUE, KEY!=VALUE, 'KEY in A,B', KEY>=10 (or >, <=,"
        " <). May be repeated: all must be met.",
    )
    given = click.option(
        "--filter", "given", metavar="JSON", help="The same as a filter of a query: docs/clients.md."
    )
    return where(given(command))


@click.command(epilog=EPILOG)
@click.argument("text", required=False)
@click.option("--context", metavar="NAME", help="The context to ask. Default: default.")
@click.option(
    "--top-k", type=click.IntRange(1, 100), default=1, show_default=True, help="How many answers to return."
)
@by_metadata
@click.option(
    "--neighbours",
    type=click.IntRange(0, 50),
    default=0,
    show_default=True,
    help="How many of the nearest entries to show.",
)
@click.option(
    "--detail",
    type=click.Choice(["answer", "scores", "texts"]),
    default="texts",
    show_default=True,
    help="How much the reply shows: the answer alone; the other candidates with their scores, too; or their"
    " texts and metadata, too.",
)
@click.option(
    "--after",
    metavar="P=O,...",
    callback=watermarks,
    help="Answer only when the texts up to these offsets can be found: 0=41 for partition 0 of the topic of"
    " texts, tickets/3=39 for another topic. `hurnet produce` prints them as its watermarks. Responders wait"
    " for that up to HURNET_RESPONDER_WAIT seconds.",
)
@click.option(
    *("--timeout", "timeout_s"),
    type=click.FloatRange(0.1, 60),
    default=10.0,
    show_default=True,
    help="Longest time in seconds to wait for a reply.",
)
@click.option("--explain", is_flag=True, help="Show how the score came out, so that the sum can be checked.")
@click.option(
    "--quiet", "-q", is_flag=True, help="Print the answer alone, on one line; blank if there is none."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object a line: the answer as it is in Kafka, its question, and its record.",
)
def ask(text: str | None, explain: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Ask a question, and see the answer and why.

    Asks TEXT, or without it each line of standard input, many at once; on a terminal, one question after the
    other, with line editing and small commands (/help), until an empty line. Exit code 1: a question was
    rejected, timed out or got no reply, or with --quiet: has no answer. 2: none could be asked.
    """
    from hurnet_stream.client import Client
    from hurnet_stream.client.over_kafka import OverKafka
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush
    from hurnet_stream.wiring.tracing import traced

    hush()
    if quiet and (as_json or explain):
        raise click.UsageError("--quiet prints the answer alone: without --json and --explain")
    how = _how(**options)
    how.query(text or "-")  # before connecting, so that a wrong one is reported at once
    chosen = settings.load()
    shown = Shown(explain, quiet, as_json)
    with (
        traced(chosen.traces, "ask") as tracer,
        Client(OverKafka(chosen.kafka, tracer, topics=chosen.topics)) as client,
    ):
        if text is not None:
            well = _ask_one(client, how, text, shown)
        elif sys.stdin.isatty():
            well = _converse(client, how, chosen, shown)
        else:
            well = _ask_lines(client, how, shown)
    sys.exit(DONE if well else NOT_WELL)


def _how(*, where: tuple[str, ...], given: str | None, **plain: Any) -> How:
    from hurnet_stream.terminal.conditions import joined
    from hurnet_stream.terminal.questions import How

    return How(filter=joined(given, where), **plain)


@dataclass(frozen=True, slots=True)
class Shown:
    """How replies are printed."""

    explain: bool
    quiet: bool
    as_json: bool

    def show(self, reply: Reply, *, echo: bool = False) -> None:
        """Print a reply. `echo`: with its question, if it is for a person."""
        from hurnet_stream.terminal.answers import brief, explained
        from hurnet_stream.terminal.score_sheet import shown
        from hurnet_stream.terminal.screen import console, say, say_message

        if self.as_json:
            say_message(reply.encode())
        elif self.quiet:
            say(brief(reply))
        else:
            screen = console()
            if echo:
                screen.print(_echoed(reply.question))
            for part in (explained(reply), *(shown(reply) if self.explain else ())):
                screen.print(part)

    def well(self, reply: Reply) -> bool:
        """Whether the exit code may be 0 after this reply."""
        from hurnet_stream.terminal.answers import looked_into

        return reply.outcome == "answered" if self.quiet else looked_into(reply)


def _echoed(question: str) -> Any:
    from rich.text import Text

    from hurnet_stream.terminal.screen import isolated
    from hurnet_stream.visible import visible

    return Text(f"\n? {isolated(visible(question))}", style="dim")


def _ask_one(client: Client, how: How, text: str, shown: Shown) -> bool:
    from hurnet_stream.client import NoReply
    from hurnet_stream.terminal.endings import Failed, tells_json

    try:
        reply = client.ask(how.query(text), timeout=how.timeout_s)
    except NoReply as error:
        raise Failed(error, NOT_WELL, tells_json()) from None
    shown.show(reply)
    return shown.well(reply)


def _converse(client: Client, how: How, chosen: Settings, shown: Shown) -> bool:
    from hurnet_stream.terminal.prompt import History, Prompt, history_file
    from hurnet_stream.terminal.session import COMMANDS, Session

    session = Session(client, how, shown.show)
    session.run(Prompt(History(history_file(), chosen.terminal.history), COMMANDS))
    return session.all_well


def _ask_lines(client: Client, how: How, shown: Shown) -> bool:
    from hurnet_schemas import Reply
    from hurnet_stream.client import Unreachable
    from hurnet_stream.terminal.asking import ask_lines, standard_input
    from hurnet_stream.terminal.lines import read_lines

    well = True
    for asked in ask_lines(client, read_lines(standard_input()), how.query, how.timeout_s):
        if isinstance(asked.outcome, Unreachable):  # so are all others
            raise asked.outcome
        if isinstance(asked.outcome, Reply):
            shown.show(asked.outcome, echo=True)
            well &= shown.well(asked.outcome)
        else:
            _say_failed(asked.line, asked.outcome, shown)
            well = False
    return well


def _say_failed(line: Line, error: Wrong, shown: Shown) -> None:
    """A line that has no reply. With --quiet a blank line stands for it, so that lines fit together."""
    from hurnet_stream.terminal.screen import say, say_json

    why = error.message if isinstance(error, click.ClickException) else str(error)
    if shown.as_json:
        say_json({"line": line.number, "question": line.raw.decode(errors="replace"), "error": why}, err=True)
        return
    if shown.quiet:
        say("")
    say(f"Error: line {line.number}: {why}", err=True)
