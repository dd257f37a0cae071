"""`hurnet list`: the entries of a context, or its answers."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.commands.ask import by_metadata
from hurnet_stream.exit_codes import DONE, NOT_THERE

if TYPE_CHECKING:
    from hurnet_schemas.places import Place
    from hurnet_stream.places import Places
    from hurnet_stream.terminal.listing import Listed

EPILOG = """\b
Examples:
  hurnet list
  hurnet list --context support --where lang=en --answer reset-password
  hurnet list --answers
  hurnet list --limit 0 --json | jq -r .text
"""


def _places(ctx: click.Context, param: click.Parameter, value: str | None) -> list[Place]:
    """The value of --before: entries as 0=41,tickets/3=39#2. Raises `BadParameter`."""
    from hurnet_schemas.places import place

    parts = [part.strip() for part in (value or "").split(",") if part.strip()]
    try:
        if value is not None and not all(part.count("=") == 1 for part in parts or [""]):
            raise ValueError(f"{value!r} is not [TOPIC/]PARTITION=OFFSET,...: as in 0=41,1=39")
        return [place(part.replace("=", "/")) for part in parts]
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


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
    callback=_places,
    help="Go on below these entries: the end of each list says which.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_entries(by_answer: bool, limit: int, as_json: bool, before: list[Place], **chosen: Any) -> None:
    """List the entries of a context, the newest first.

    From the store, without what was deleted. `hurnet forget --entry` takes the names that are shown. Exit
    code 3: there is no such context.
    """
    from hurnet_stream.adapters.redis import RedisEntryStore, connect_serving
    from hurnet_stream.adapters.redis.context_entries import RedisContextEntries
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.places import Places
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.lines import context_name
    from hurnet_stream.terminal.listing import Listed
    from hurnet_stream.terminal.screen import hush, say

    hush()
    name, wanted, loaded = context_name(chosen.pop("context")), _wanted(**chosen), settings.load()
    with closing(
        connect_serving(loaded.redis, segments_at(loaded.segments), loaded.kafka.texts)
    ) as connection:
        store = RedisEntryStore(connection)
        if name not in store.contexts():
            say(f"there is no context {name!r}", err=True)
            sys.exit(NOT_THERE)
        places = Places.of(store.topics(), loaded.kafka.texts)
        newest = partial(RedisContextEntries(connection).newest, name)
        listed = Listed(newest, wanted, _positions(before, places))
        if by_answer:
            _show_answers(listed, limit or None, as_json)
        else:
            _show(listed, limit or None, as_json, places)
    sys.exit(DONE)


def _wanted(answer: str | None, where: tuple[str, ...], given: str | None) -> Any:
    from hurnet_stream.terminal.conditions import joined
    from hurnet_stream.terminal.listing import Wanted, filter_of

    return Wanted(answer, filter_of(joined(given, where)))


def _positions(before: list[Place], places: Places) -> dict[int, int]:
    from hurnet_stream.places import NotRead

    try:
        return dict(map(places.entry, before))
    except NotRead as error:
        raise click.BadParameter(str(error), param_hint="--before") from None


def _show(listed: Listed, limit: int | None, as_json: bool, places: Places) -> None:
    from hurnet_stream.terminal.listing import described, row
    from hurnet_stream.terminal.screen import console, say, say_json, table

    found = ((places.name((shard, entry.offset)), entry) for shard, entry in islice(listed, limit))
    if as_json:
        for name, entry in found:
            say_json(described(name, entry))
        return
    rows = [row(name, entry) for name, entry in found]
    if not rows:
        say("none", err=True)
        return
    console().print(table(("entry", "written (UTC)", "text", "answer", ">weight", "metadata"), rows))
    if limit and len(rows) == limit:
        before = ",".join("=".join(places.name(at).rsplit("/", 1)) for at in sorted(listed.before.items()))
        say(f"there may be more: --before {before}", err=True)


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
