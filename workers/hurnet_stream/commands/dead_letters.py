"""`hurnet dead-letters`: what was put aside and why, and sending it again."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_THERE, NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.operations.dead_letter_reader import LetterFilter, LetterReader, RecordId, StoredLetter

_EXCERPT_BYTES = 80
_LOOK_S = 0.5
EPILOG = """\b
Examples:
  hurnet dead-letters --group
  hurnet dead-letters --watch --json | jq -r .reason
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
    type=click.IntRange(0),
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
@click.option(
    "--group", "as_groups", is_flag=True, help="Tell by reason how many, since when, and the newest."
)
@click.option(
    "--watch", is_flag=True, help="Go on and list each that is put aside from now on, until Ctrl-C."
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
    wrong is only put aside once more. Exit code 1: a record can't be sent again. 3: no dead letter names it.
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
        else:
            _list(letters, wanted, options)
    if letters.unreadable:
        say(f"{letters.unreadable:,} records of {kafka.dead_letters} are not dead letters", err=True)
    if sending:
        all_sent = send_again(kafka, chosen, options["dry_run"], options["yes"])
        sys.exit(NOT_WELL if not all_sent else NOT_THERE if len(chosen) < len(set(named)) else DONE)


def _list(letters: LetterReader, wanted: LetterFilter, options: dict[str, Any]) -> None:
    as_json = options["as_json"]
    if options["as_counts"]:
        _print_counts(letters, wanted, as_json)
    elif options["as_groups"]:
        _print_groups(letters, wanted, as_json)
    elif options["watch"]:
        _watch(letters, wanted, options["limit"], as_json)
    else:
        _print(letters.newest(wanted, options["limit"]), as_json)


def _watch(letters: LetterReader, wanted: LetterFilter, limit: int, as_json: bool) -> None:
    """The newest ones, and then each as it comes, the oldest first, until Ctrl-C. If Kafka is away it says
    so, and goes on."""
    from hurnet_stream.errors import TransientError
    from hurnet_stream.terminal.screen import say

    ends = letters.ends()  # before the list: what comes meanwhile is in one of both, and told once
    found: Sequence[StoredLetter] = letters.newest(wanted, limit)[::-1]
    try:
        while True:
            for letter in found:
                _tell(letter, as_json)
            sys.stdout.flush()
            time.sleep(_LOOK_S)
            try:
                found = letters.newer(ends, wanted)
            except TransientError as error:
                found = ()
                say(f"warning: {error}", err=True)
    except KeyboardInterrupt:
        return


def _tell(letter: StoredLetter, as_json: bool) -> None:
    from hurnet_stream.terminal.screen import say, say_json

    if as_json:
        say_json(described(letter))
    else:
        when, reason, record, _size, detail, begins_with = _row(letter)
        say("  ".join((when, reason, record, detail, begins_with)).replace("\n", "\\n"))


def _print_groups(letters: LetterReader, wanted: LetterFilter, as_json: bool) -> None:
    from hurnet_stream.operations.dead_letter_reader import grouped
    from hurnet_stream.terminal.resending import record_name
    from hurnet_stream.terminal.screen import console, moment, say_json, table

    groups = grouped(letters.all(wanted))
    if as_json:
        for each in groups:
            told = {"reason": each.reason, "count": each.count, "first": moment(each.first_ms)}
            say_json(told | {"newest": described(each.newest)})
        return
    rows = [
        (
            g.reason,
            f"{g.count:,}",
            *map(_minute, (g.first_ms, g.newest.written_ms)),
            record_name(g.newest.record_id),
            g.newest.letter.detail,
        )
        for g in groups
    ]
    console().print(table(("reason", ">dead letters", "first", "last", "the last one", "its detail"), rows))


def _minute(ms: int) -> str:
    from hurnet_stream.terminal.screen import moment

    return moment(ms)[:16].replace("T", " ")


def _wanted(options: dict[str, Any], named: Sequence[RecordId]) -> LetterFilter:
    from hurnet_stream.operations.dead_letter_reader import LetterFilter

    modes = ("as_counts", "as_groups", "watch", "resend_all")
    if sum(map(bool, (*(options[mode] for mode in modes), named))) > 1 and not (
        named and options["resend_all"]
    ):
        raise click.UsageError("--count, --group, --watch and --resend don't go together.")
    if named and options["resend_all"]:
        raise click.UsageError("Name records (--resend), or choose them by the other options (--resend-all).")
    _warn_of_unknown(options["reasons"])
    return LetterFilter(
        frozenset(options["reasons"]),
        frozenset(options["topics"]),
        frozenset(options["partitions"]),
        options["since"],
        frozenset(named),
    )


def _warn_of_unknown(reasons: Sequence[str]) -> None:
    """Only a warning: a newer hurnet may know more reasons."""
    from difflib import get_close_matches
    from typing import get_args

    from hurnet_schemas.dead_letter import Reason
    from hurnet_stream.terminal.screen import say

    for reason in reasons:
        if reason not in (known := get_args(Reason)):
            near = ", ".join(get_close_matches(reason, known)) or ", ".join(known)
            say(f"warning: {reason!r} is no reason that is known here; did you mean {near}?", err=True)


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
