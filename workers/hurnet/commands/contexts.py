"""`hurnet contexts`: what there is of each context, and a context dropped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hurnet.adapters.redis import Connection
    from hurnet.settings.settings import Settings
    from hurnet.terminal.deleting import Wanted


@dataclass(slots=True)
class Held:
    """A context: its rows in the store (deleted ones too, until they are erased), the bytes of their vectors
    and texts, and of the weights in force the pairs and the version; None without any."""

    context: str
    rows: int
    bytes: int
    pairs: int | None = None
    weights: int | None = None


@click.command()
@click.option("--drop", metavar="NAME", help="Delete all of this context, and give its name back.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds to wait until it is dropped.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def contexts(drop: str | None, wait: float, as_json: bool) -> None:
    """List the contexts, or drop one.

    A drop is a record in each partition of the topic of texts, and deletes what came before it, exactly: from
    answers, statistics and weights. Texts that come later begin the context anew. Exit code 1 when it was not
    done in time; it will be, once an ingest and a solver run. Exit code 3 when there is no such context.
    """
    from hurnet.adapters.redis import connect
    from hurnet.settings import settings
    from hurnet.terminal.screen import hush

    hush()
    chosen = settings.load()
    connection = connect(chosen.redis)
    try:
        code = show(connection, as_json) if drop is None else dropped(chosen, connection, drop, wait, as_json)
    finally:
        connection.close()
    sys.exit(code)


def show(connection: Connection, as_json: bool) -> int:
    """Print what there is."""
    from hurnet.terminal.screen import console, say, say_json, table

    held = gather(connection)
    if as_json:
        say_json({"contexts": [asdict(one) for one in held]})
        return 0
    if not held:
        say("none yet")
        return 0
    rows = [(h.context, *map(_number, (h.rows, h.bytes, h.pairs)), _version(h.weights)) for h in held]
    console().print(table(("context", ">rows", ">bytes", ">pairs", ">weights"), rows))
    return 0


def gather(connection: Connection) -> list[Held]:
    """All contexts, by name."""
    from hurnet.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet.errors import Unreadable
    from hurnet.terminal.screen import say

    store, weights = RedisEntryStore(connection), RedisWeightsStore(connection)
    found = {name: Held(name, 0, 0) for name in sorted(store.contexts())}
    for holdings in store.holdings().values():
        for name, holding in holdings.items():
            if name in found:
                found[name].rows += holding.rows
                found[name].bytes += holding.bytes
    for name, one in found.items():
        try:
            published = weights.weights(name)
        except Unreadable as error:
            say(f"problem: {error}", err=True)
            continue
        if published:
            one.pairs, one.weights = round(published.weights.certificate.count), published.version
    return list(found.values())


def dropped(chosen: Settings, connection: Connection, name: str, wait: float, as_json: bool) -> int:
    """Drop one, and tell what became of it; the exit code."""
    from hurnet.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet.terminal.deleting import EXIT_LATE, EXIT_MISSING, follow, send
    from hurnet.terminal.screen import say, watermarks_text

    if name not in RedisEntryStore(connection).contexts():
        _say(as_json, name, missing=True)
        return EXIT_MISSING
    wanted = [request(chosen, name)]
    watermarks = send(chosen.kafka, wanted)
    if not as_json:
        say(f"asked with {len(wanted[0].records)} records, watermarks {watermarks_text(watermarks)}")
    for _ in follow(RedisWeightsStore(connection), wanted, wait):
        pass
    done = wanted[0].settled
    _say(as_json, name, done=done, deleted=wanted[0].deleted)
    return 0 if done else EXIT_LATE


def request(chosen: Settings, name: str) -> Wanted:
    """The records that drop it, one a partition; a key of their own lets compaction keep the last."""
    from hurnet.ports import Outgoing
    from hurnet.records import DROP
    from hurnet.terminal.client import end_offsets
    from hurnet.terminal.deleting import Wanted

    topic = chosen.kafka.texts
    key, header = f"hurnet-drop-context/{name}".encode(), ((DROP, name.encode()),)
    partitions: Sequence[int] = sorted(end_offsets(chosen.kafka, topic))
    return Wanted(name, [Outgoing(topic, None, key, header, partition) for partition in partitions])


def _say(as_json: bool, name: str, *, done: bool = False, deleted: int = 0, missing: bool = False) -> None:
    from hurnet.terminal.deleting import BEYOND_REACH, NOT_YET
    from hurnet.terminal.screen import say, say_json

    if as_json:
        say_json({"context": name, "done": done, "deleted": deleted, "missing": missing})
    elif missing:
        say(f"there is no context {name!r}: nothing was dropped", err=True)
    elif done:
        say(f"dropped {name!r}, {deleted:,} entries deleted. {BEYOND_REACH}")
    else:
        say(NOT_YET, err=True)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _version(version: int | None) -> str:
    return "-" if version is None else f"v{version}"
