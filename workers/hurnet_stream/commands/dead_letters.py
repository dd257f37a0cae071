"""`hurnet dead-letters`: what was put aside and why, and sending it again."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.operations.dead_letter_reader import LetterFilter, LetterReader, RecordId, StoredLetter

_EXCERPT_BYTES = 80
EPILOG = """\b
Examples:
  hurnet dead-letters --count
  hurnet dead-letters --reason too-many-contexts --since 2026-11-27T14:00
  hurnet dead-letters --resend 2/89 --dry-run
"""


class RecordName(click.ParamType["RecordId"]):
    """[TOPIC/]PARTITION/OFFSET; without a topic it is the topic of texts."""

    name = "[topic/]partition/offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RecordId:
        parts = re.fullmatch(r"(?:([A-Za-z0-9._-]+)/)?([0-9]{1,10})/([0-9]{1,18})", str(value))
        if not parts:
            self.fail(f"{value!r} is not [TOPIC/]PARTITION/OFFSET, as in texts/2/89", param, ctx)
        return parts[1] or "", int(parts[2]), int(parts[3])


def moment_ms(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """An option in ISO 8601, in UTC if it names no zone, as milliseconds since 1970."""
    from datetime import UTC, datetime

    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is not a time, as in 2026-11-27T14:00", ctx, param) from None


@click.command("dead-letters", epilog=EPILOG)
@click.option(
    "--reason", "reasons", multiple=True, help="Only dead letters with this reason. May be repeated."
)
@click.option("--topic", "topics", multiple=True, help="Only records of this topic. May be repeated.")
@click.option(
    "--partition",
    "partitions",
    type=int,
    multiple=True,
    help="Only records of this partition. May be repeated.",
)
@click.option(
    "--since",
    callback=moment_ms,
    metavar="TIME",
    help="Only those put aside since then: 2026-11-27T14:00 (UTC).",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many to list at most."
)
@click.option(
    "--count", "as_counts", is_flag=True, help="Count all of them by reason instead of listing them."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--resend", type=RecordName(), multiple=True, help="Send this record again. May be repeated.")
@click.option("--resend-all", is_flag=True, help="Send all records again that the other options choose.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent again.")
@click.option("--yes", is_flag=True, help="Don't ask before more than 10 records are sent again.")
def dead_letters(**options: Any) -> None:
    """List what was put aside, or send it again.

    The newest come first, each with its reason and its record's coordinates. A record is sent again as it
    was, to its own topic and partition. Do that after the settings were changed: a record that is itself
    wrong is only put aside once more. Exit code 1: a record can't be sent again.
    """
    from hurnet_stream.adapters.kafka import KafkaHistory
    from hurnet_stream.operations.dead_letter_reader import LetterReader
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.resending import choose, send_again
    from hurnet_stream.terminal.screen import hush, say

    hush()
    kafka = settings.load().kafka
    named = [(topic or kafka.texts, *record_id) for topic, *record_id in options["resend"]]
    sending = bool(named) or options["resend_all"]
    wanted = _wanted(options, named)
    chosen: list[StoredLetter] = []
    with closing(KafkaHistory(kafka, kafka.dead_letters)) as history:
        letters = LetterReader(history)
        if sending:
            chosen = choose(letters, wanted, named)
        elif options["as_counts"]:
            _print_counts(letters, wanted, options["as_json"])
        else:
            _print(letters.newest(wanted, options["limit"]), options["as_json"])
    if letters.unreadable:
        say(f"{letters.unreadable:,} records of {kafka.dead_letters} are not dead letters", err=True)
    if sending:
        all_sent = send_again(kafka, chosen, options["dry_run"], options["yes"])
        sys.exit(DONE if all_sent and len(chosen) >= len(named) else NOT_WELL)


def _wanted(options: dict[str, Any], named: Sequence[RecordId]) -> LetterFilter:
    from hurnet_stream.operations.dead_letter_reader import LetterFilter

    if named and options["resend_all"]:
        raise click.UsageError("Name records (--resend), or choose them by the other options (--resend-all).")
    return LetterFilter(
        frozenset(options["reasons"]),
        frozenset(options["topics"]),
        frozenset(options["partitions"]),
        options["since"],
        frozenset(named),
    )


def _print(letters: Sequence[StoredLetter], as_json: bool) -> None:
    from hurnet_stream.terminal.screen import console, say, say_json, table

    if as_json:
        for letter in letters:
            say_json(described(letter))
    elif letters:
        columns = ("put aside", "reason", "record", ">bytes", "detail", "begins with")
        console().print(table(columns, map(_row, letters)))
    else:
        say("no dead letters", err=True)


def _print_counts(letters: LetterReader, wanted: LetterFilter, as_json: bool) -> None:
    from hurnet_stream.terminal.screen import console, say_json, table

    counts = Counter(letter.letter.reason for letter in letters.all(wanted))
    if as_json:
        say_json(dict(counts.most_common()))
    else:
        console().print(table(("reason", ">dead letters"), _count_rows(counts)))


def _count_rows(counts: Counter[str]) -> Iterator[tuple[str, str]]:
    yield from ((reason, f"{count:,}") for reason, count in counts.most_common())
    yield "all", f"{counts.total():,}"


def described(letter: StoredLetter) -> dict[str, Any]:
    """As a JSON object: the message, its record's name, when it was written, and its excerpt as text."""
    from hurnet_stream.terminal.resending import record_name
    from hurnet_stream.terminal.screen import moment

    named = {"record": record_name(letter.record_id), "put_aside": moment(letter.written_ms)}
    return named | letter.letter.model_dump(exclude_none=True) | {"begins_with": _text(letter.excerpt)}


def _row(letter: StoredLetter) -> tuple[str, ...]:
    from hurnet_stream.terminal.screen import moment

    message = letter.letter
    first = "" if message.first_offset is None else f"{message.first_offset}-"
    record = f"{message.topic}/{message.partition}/{first}{message.offset}"
    when = moment(letter.written_ms)[:19].replace("T", " ")
    begins_with = _text(letter.excerpt[:_EXCERPT_BYTES])
    return when, message.reason, record, f"{message.size:,}", message.detail, begins_with


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
