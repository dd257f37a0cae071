"""`hurnet contexts`: what each context holds, and a context dropped."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from hurnet_stream.exit_codes import DONE, NOT_THERE, NOT_WELL
from hurnet_stream.terminal.options import wait_option

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.settings.settings import ContextSettings, Settings

_UNITS = (("d", 86_400), ("h", 3_600), ("s", 0.001))
EPILOG = """\b
Examples:
  hurnet contexts
  hurnet contexts --drop trial
"""


@dataclass(slots=True)
class Held:
    """What the store holds of one context.

    `rows` counts deleted rows, too, until they are erased; `bytes` are those of the rows' vectors and texts.
    `pairs` and `weights` (the version) are of the weights in force, or None. `age` (seconds) and `rows_most`
    say what leaves by itself, as the settings file has it; 0: nothing does."""

    context: str
    rows: int
    bytes: int
    pairs: int | None = None
    weights: int | None = None
    age: float = 0
    rows_most: int = 0


@click.command(epilog=EPILOG)
@click.option("--drop", metavar="NAME", help="Delete everything in this context, and the context itself.")
@wait_option("it is dropped")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def contexts(drop: str | None, wait_s: float, as_json: bool) -> None:
    """List the contexts, or drop one.

    To drop a context is to delete all that came before, exactly: from answers, statistics and weights. Texts
    that come later begin it anew. Exit code 1: it was not done in time; it will be once `hurnet ingest` and
    `hurnet solver` run. 3: there is no such context.
    """
    from hurnet_stream.adapters.redis import connect_serving
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush

    hush()
    chosen = settings.load()
    connection = connect_serving(chosen.redis, segments_at(chosen.segments), chosen.kafka.texts)
    try:
        if drop is None:
            show(gather(connection, chosen.contexts), as_json)
            code = DONE
        else:
            code = dropped(chosen, connection, drop, wait_s, as_json)
    finally:
        connection.close()
    sys.exit(code)


def show(held: list[Held], as_json: bool) -> None:
    """Print them."""
    from hurnet_stream.terminal.screen import console, say, say_json, table

    if as_json:
        say_json({"contexts": [asdict(context) for context in held]})
    elif not held:
        say("none yet")
    else:
        rows = [_row(context) for context in held]
        console().print(table(("context", ">rows", ">bytes", ">pairs", ">weights", "keeps"), rows))


def gather(connection: Connection, keeps: Mapping[str, ContextSettings]) -> list[Held]:
    """All contexts, by name. Weights that can't be read are reported on standard error."""
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet_stream.errors import Unreadable
    from hurnet_stream.terminal.screen import say

    store, weights = RedisEntryStore(connection), RedisWeightsStore(connection)
    by_name = {name: Held(name, 0, 0) for name in sorted(store.contexts())}
    for name in by_name.keys() & keeps.keys():
        by_name[name].age, by_name[name].rows_most = keeps[name].age, keeps[name].rows
    for shard in store.holdings().values():
        for name, holding in shard.items():
            if name in by_name:
                by_name[name].rows += holding.rows
                by_name[name].bytes += holding.bytes
    for name, held in by_name.items():
        try:
            published = weights.weights(name)
        except Unreadable as error:
            say(f"problem: {error}", err=True)
            continue
        if published:
            held.pairs, held.weights = round(published.weights.certificate.count), published.version
    return list(by_name.values())


def dropped(chosen: Settings, connection: Connection, name: str, wait_s: float, as_json: bool) -> int:
    """Drop a context and tell what became of that; returns the exit code."""
    from hurnet_schemas.places import watermarks_text
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet_stream.terminal.beyond_reach import tell
    from hurnet_stream.terminal.deleting import drop_request, follow, reach, send, untouched
    from hurnet_stream.terminal.screen import say

    if name not in RedisEntryStore(connection).contexts():
        _tell(as_json, name, missing=True)
        return NOT_THERE
    within = reach(chosen, chosen.kafka, connection)
    request = drop_request(within, name)
    watermarks = send(chosen.kafka, [request], within.places)
    if said := untouched(within, "its texts"):
        say(said, err=True)
    if not as_json:
        say(f"asked with {len(request.records)} records, watermarks {watermarks_text(watermarks)}")
    for _ in follow(RedisWeightsStore(connection), [request], wait_s):
        pass
    _tell(as_json, name, done=request.done, deleted=request.deleted)
    if request.done and not as_json:
        tell(chosen)
    return DONE if request.done else NOT_WELL


def _tell(as_json: bool, name: str, *, done: bool = False, deleted: int = 0, missing: bool = False) -> None:
    from hurnet_stream.terminal.deleting import NOT_YET
    from hurnet_stream.terminal.screen import say, say_json

    if as_json:
        say_json({"context": name, "done": done, "deleted": deleted, "missing": missing})
    elif missing:
        say(f"there is no context {name!r}, so nothing was dropped", err=True)
    elif done:
        say(f"dropped {name!r}, {deleted:,} entries deleted")
    else:
        say(NOT_YET, err=True)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _row(held: Held) -> list[str]:
    figures = map(_number, (held.rows, held.bytes, held.pairs))
    return [held.context, *figures, _version(held.weights), _keeps(held)]


def _keeps(held: Held) -> str:
    """As in 30 d, 1,000,000 rows."""
    age = next((f"{held.age / s:,.4g} {unit}" for unit, s in _UNITS if held.age >= s), "")
    return ", ".join(filter(None, [age, f"{held.rows_most:,} rows" if held.rows_most else ""])) or "all"


def _version(version: int | None) -> str:
    return "-" if version is None else f"v{version}"
