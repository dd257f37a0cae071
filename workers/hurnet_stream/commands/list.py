"""`hurnet list`: the entries of a context, or its answers."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.commands.ask import by_metadata, watermarks
from hurnet_stream.exit_codes import DONE, NOT_THERE

if TYPE_CHECKING:
    from hurnet_stream.terminal.listing import Listed

EPILOG = """\b
Examples:
  hurnet list
  hurnet list --context support --where lang=en --answer reset-password
  hurnet list --answers
  hurnet list --limit 0 --json | jq -r .text
"""


@click.command("list", epilog=EPILOG)
@click.option("--context", metavar="NAME", help="The context to list. Default: default.")
@click.option(
    "--answers", "by_answer", is_flag=True, help="List the answers, and how many entries have each."
)
@click.option("--answer", metavar="TEXT", help="Only entries with this answer.")
@by_metadata
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="How many to list at most. 0: all of them.",
)
@click.option(
    "--before",
    metavar="P=O,...",
    callback=watermarks,
    help="Go on below these offsets: the end of each list says which.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_entries(by_answer: bool, limit: int, as_json: bool, before: dict[int, int], **chosen: Any) -> None:
    """List the entries of a context, the newest first.

    From the store, without what was deleted. `hurnet forget --entry` takes the names that are shown. Exit
    code 3: there is no such context.
    """
    from hurnet_stream.adapters.redis import RedisEntryStore, connect
    from hurnet_stream.adapters.redis.context_entries import RedisContextEntries
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.lines import context_name
    from hurnet_stream.terminal.listing import Listed
    from hurnet_stream.terminal.screen import hush, say

    hush()
    name, wanted = context_name(chosen.pop("context")), _wanted(**chosen)
    with closing(connect(settings.load().redis)) as connection:
        if name not in RedisEntryStore(connection).contexts():
            say(f"there is no context {name!r}", err=True)
            sys.exit(NOT_THERE)
        listed = Listed(partial(RedisContextEntries(connection).newest, name), wanted, before)
        if by_answer:
            _show_answers(listed, limit or None, as_json)
        else:
            _show(listed, limit or None, as_json)
    sys.exit(DONE)


def _wanted(answer: str | None, where: tuple[str, ...], given: str | None) -> Any:
    from hurnet_stream.terminal.conditions import joined
    from hurnet_stream.terminal.listing import Wanted, filter_of

    return Wanted(answer, filter_of(joined(given, where)))


def _show(listed: Listed, limit: int | None, as_json: bool) -> None:
    from hurnet_schemas.places import watermarks_text
    from hurnet_stream.terminal.listing import described, row
    from hurnet_stream.terminal.screen import console, say, say_json, table

    found = islice(listed, limit)
    if as_json:
        for partition, entry in found:
            say_json(described(partition, entry))
        return
    rows = [row(partition, entry) for partition, entry in found]
    if not rows:
        say("none", err=True)
        return
    console().print(table(("entry", "written (UTC)", "text", "answer", ">weight", "metadata"), rows))
    if limit and len(rows) == limit:
        say(f"there may be more: --before {watermarks_text(listed.before)}", err=True)


def _show_answers(listed: Listed, limit: int | None, as_json: bool) -> None:
    from hurnet_stream.terminal.screen import console, say, say_json, table

    answers = listed.answers()
    shown = answers[:limit]
    if as_json:
        for answer, count in shown:
            say_json({"answer": answer, "entries": count})
    else:
        console().print(table(("answer", ">entries"), ((answer, f"{count:,}") for answer, count in shown)))
        if len(shown) < len(answers):
            say(f"and {len(answers) - len(shown):,} more: --limit", err=True)
