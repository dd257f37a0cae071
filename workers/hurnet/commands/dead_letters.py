"""`hurnet dead-letters`: what was put aside and why, and sending it again."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet.operations.dead_letter_reader import Found, Letters, RecordId, Wanted
    from hurnet.ports import History, Sink
    from hurnet.settings.settings import KafkaSettings

ASK_BEYOND = 10
"""Records that are sent again without asking first."""
MOST_AT_ONCE = 100_000
"""Records that one call sends again."""
_SHOWN = 80


class RecordName(click.ParamType["RecordId"]):
    """[TOPIC/]PARTITION/OFFSET; without a topic it is the topic of texts."""

    name = "[topic/]partition/offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> RecordId:
        found = re.fullmatch(r"(?:([A-Za-z0-9._-]+)/)?([0-9]{1,10})/([0-9]{1,18})", str(value))
        if not found:
            self.fail(f"{value!r} is not [TOPIC/]PARTITION/OFFSET", param, ctx)
        return found[1] or "", int(found[2]), int(found[3])


def moment_ms(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """ISO 8601, UTC if it names no zone; milliseconds since the epoch."""
    from datetime import UTC, datetime

    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no time as in 2026-11-27T14:00", ctx, param) from None


@click.command("dead-letters")
@click.option("--reason", "reasons", multiple=True, help="Only of this reason, repeatable.")
@click.option("--topic", "topics", multiple=True, help="Only records of this topic, repeatable.")
@click.option("--partition", "partitions", type=int, multiple=True, help="Only of this partition of theirs.")
@click.option(
    "--since", callback=moment_ms, metavar="TIME", help="Only put aside since: 2026-11-27T14:00, UTC."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most to list.")
@click.option("--count", "as_counts", is_flag=True, help="Count all of them by reason instead.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@click.option("--resend", type=RecordName(), multiple=True, help="Send this record again, repeatable.")
@click.option("--resend-all", is_flag=True, help="Send all again that the other options choose.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent again.")
@click.option("--yes", is_flag=True, help=f"Don't ask before more than {ASK_BEYOND} are sent again.")
def dead_letters(**options: Any) -> None:
    """List what was put aside, or send it again.

    The newest first, with the reason and the record's coordinates. A record is sent again as it is, to its
    own topic and partition: after what was wrong with the settings is mended, not with the record. If it is
    put aside once more, that is another dead letter. Exit code 1 if one can't be sent again.
    """
    from hurnet.adapters.kafka import KafkaHistory
    from hurnet.operations.dead_letter_reader import Letters
    from hurnet.settings import settings
    from hurnet.terminal.screen import hush, say

    hush()
    kafka = settings.load().kafka
    resend = [(topic or kafka.texts, *at) for topic, *at in options["resend"]]
    wanted = _wanted(options, resend)
    found: list[Found] = []
    with closing(KafkaHistory(kafka, kafka.dead_letters)) as history:
        letters = Letters(history)
        if resend or options["resend_all"]:
            found = _chosen(letters, wanted, resend)
        elif options["as_counts"]:
            _print_counts(letters, wanted, options["as_json"])
        else:
            _print(letters.newest(wanted, options["limit"]), options["as_json"])
    if letters.unreadable:
        say(f"{letters.unreadable:,} records of {kafka.dead_letters} are no dead letters", err=True)
    if resend or options["resend_all"]:
        sys.exit(_send_again(kafka, found, options["dry_run"], options["yes"]) or len(found) < len(resend))


def _wanted(options: dict[str, Any], resend: Sequence[Any]) -> Wanted:
    from hurnet.operations.dead_letter_reader import Wanted

    if resend and options["resend_all"]:
        raise click.UsageError("Name records (--resend), or choose them by the other options (--resend-all).")
    return Wanted(
        frozenset(options["reasons"]),
        frozenset(options["topics"]),
        frozenset(options["partitions"]),
        options["since"],
        frozenset(resend),
    )


def _chosen(letters: Letters, wanted: Wanted, named: Sequence[RecordId]) -> list[Found]:
    """The oldest first, as they came."""
    from hurnet.terminal.screen import say

    found: list[Found] = []
    for letter in letters.all(wanted):
        found.append(letter)
        if named and len(found) == len(set(named)):
            break
        if len(found) > MOST_AT_ONCE:
            raise click.UsageError(f"More than {MOST_AT_ONCE:,} records: choose fewer, as by --since.")
    for missing in sorted(set(named) - {letter.coordinates for letter in found}):
        say(f"{_named(missing)}: not sent, since no dead letter names it", err=True)
    return sorted(found, key=lambda each: (each.written_ms, each.coordinates))


def _send_again(kafka: KafkaSettings, found: Sequence[Found], dry_run: bool, sure: bool) -> int:
    """The exit code."""
    from hurnet.adapters.kafka import KafkaHistory, KafkaSink
    from hurnet.terminal.screen import say

    if len(found) > ASK_BEYOND and not (sure or dry_run):
        click.confirm(f"Send {len(found):,} records again?", abort=True, err=True)
    failed = 0
    with ExitStack() as stack:
        histories = {
            topic: stack.enter_context(closing(KafkaHistory(kafka, topic)))
            for topic in (kafka.texts, kafka.queries)
            if any(each.letter.topic == topic for each in found)
        }
        sink = None if dry_run else stack.enter_context(closing(KafkaSink(kafka)))
        for each in found:
            done, text = _sent(each, histories, sink)
            say(f"{_named(each.coordinates)}{text}", err=not done)
            failed |= not done
    return failed


def _sent(found: Found, histories: Mapping[str, History], sink: Sink | None) -> tuple[bool, str]:
    """Whether it was sent again, or without a sink would be, and what became of it."""
    from hurnet.operations.dead_letter_reader import again

    history = histories.get(found.letter.topic)
    message = again(found, history) if history else "its topic is none that this system reads"
    if isinstance(message, str):
        return False, f": not sent, since {message}"
    if sink is None:
        return True, f" would be sent again ({found.letter.reason})"
    ((partition, offset),) = sink.send([message])
    return True, f" sent again as {message.topic}/{partition}/{offset}"


def _print(found: Sequence[Found], as_json: bool) -> None:
    from hurnet.terminal.screen import console, say, say_json, table

    if as_json:
        for each in found:
            say_json(described(each))
    elif found:
        columns = ("put aside", "reason", "record", ">bytes", "detail", "begins with")
        console().print(table(columns, map(_row, found)))
    else:
        say("no dead letters", err=True)


def _print_counts(letters: Letters, wanted: Wanted, as_json: bool) -> None:
    from hurnet.terminal.screen import console, say_json, table

    counts = Counter(found.letter.reason for found in letters.all(wanted))
    if as_json:
        say_json(dict(counts.most_common()))
    else:
        console().print(table(("reason", ">dead letters"), _count_rows(counts)))


def _count_rows(counts: Counter[str]) -> Iterator[tuple[str, str]]:
    yield from ((reason, f"{count:,}") for reason, count in counts.most_common())
    yield "all", f"{counts.total():,}"


def described(found: Found) -> dict[str, Any]:
    """As a JSON object: the message, its coordinates in one, and its excerpt as text."""
    from hurnet.terminal.screen import moment

    named = {"record": _named(found.coordinates), "put_aside": moment(found.written_ms)}
    return named | found.letter.model_dump(exclude_none=True) | {"begins_with": _text(found.excerpt)}


def _row(found: Found) -> tuple[str, ...]:
    from hurnet.terminal.screen import moment

    letter = found.letter
    first = "" if letter.first_offset is None else f"{letter.first_offset}-"
    record = f"{letter.topic}/{letter.partition}/{first}{letter.offset}"
    when = moment(found.written_ms)[:19].replace("T", " ")
    return when, letter.reason, record, f"{letter.size:,}", letter.detail, _text(found.excerpt[:_SHOWN])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _named(coordinates: RecordId) -> str:
    return "/".join(map(str, coordinates))
