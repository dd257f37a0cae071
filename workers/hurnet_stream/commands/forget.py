"""`hurnet forget`: entries deleted, and unlearned."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_THERE, NOT_WELL
from hurnet_stream.terminal.options import wait_option

if TYPE_CHECKING:
    from hurnet_schemas.places import Place, ShardName
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.settings.settings import Settings
    from hurnet_stream.terminal.deleting import Reach, Request

EPILOG = """\b
Examples:
  hurnet forget --entry 2/89               # an answer said: (texts 2/89)
  hurnet forget --entry tickets/3/41       # of another topic, if that is writable
  hurnet forget --key customer-17 --context support
  hurnet forget --log
"""


class EntryName(click.ParamType["Place"]):
    """[TOPIC/]PARTITION/OFFSET."""

    name = "[topic/]partition/offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        from hurnet_schemas.places import place

        try:
            return place(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to forget. `context` and `all_contexts` say where the keys are."""

    entries: Sequence[Place]
    keys: Sequence[str]
    context: str | None
    all_contexts: bool

    def check(self, as_log: bool) -> None:
        """Raises `UsageError` if options contradict each other."""
        if bool(self.entries or self.keys) == as_log:
            raise click.UsageError("Name what to forget (--entry, --key), or ask for the --log.")
        if (self.context is not None or self.all_contexts) and not self.keys:
            raise click.UsageError("--context and --all-contexts are for a --key; an --entry needs neither.")
        if self.context is not None and self.all_contexts:
            raise click.UsageError("Choose between --context and --all-contexts.")

    @property
    def header(self) -> str:
        """The value of the header `context` of a deletion by key. Raises `BadParameter`."""
        from hurnet_stream.records import EVERY
        from hurnet_stream.terminal.lines import context_name

        return EVERY if self.all_contexts else context_name(self.context)


@click.command(epilog=EPILOG)
@click.option(
    "--entry",
    "entries",
    type=EntryName(),
    multiple=True,
    help="Forget this entry. Answers show it as (texts PARTITION/OFFSET), or with the name of another topic."
    " All entries of its record go. May be repeated.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="Forget all entries of a context whose records have this key. May be repeated.",
)
@click.option("--context", metavar="NAME", help="The context of the keys. Default: default.")
@click.option("--all-contexts", is_flag=True, help="Forget the keys' entries in every context.")
@wait_option("it is done", 15.0)
@click.option(
    "--log", "as_log", is_flag=True, help="Print an audit of all deletions, one JSON object a line."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def forget(wait_s: float, as_log: bool, as_json: bool, **named: Any) -> None:
    """Forget entries: delete and unlearn them.

    Afterwards everything is as if they had never been there, except for copies out of reach: it lists Kafka's
    topics that may hold some, and by when they are gone. To correct a wrong answer, use `hurnet correct`.

    A deletion is a record in the topic of texts, behind the entries that it deletes; in another topic only if
    its table in the settings file says writable = true. Exit code 1: it was not
    done in time; it will be once `hurnet ingest` and `hurnet solver` run. 3: an entry or key does not exist,
    and was not deleted before either.
    """
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect_serving
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.places import Places
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.deleting import described
    from hurnet_stream.terminal.screen import hush, say_json

    hush()
    asked = Asked(**named)
    asked.check(as_log)
    chosen = settings.load()
    connection = connect_serving(chosen.redis, segments_at(chosen.segments), chosen.kafka.texts)
    try:
        if as_log:
            places = Places.of(RedisEntryStore(connection).topics(), chosen.kafka.texts)
            for audit in RedisWeightsStore(connection).audit():
                say_json(described(audit, places))
            return
        code = ask(chosen, connection, asked, wait_s, as_json)
    finally:
        connection.close()
    sys.exit(code)


def ask(chosen: Settings, connection: Connection, asked: Asked, wait_s: float, as_json: bool) -> int:
    """Send the deletions and tell what became of them; returns the exit code."""
    from hurnet_schemas.places import watermarks_text
    from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet_stream.terminal.beyond_reach import as_dict, tell
    from hurnet_stream.terminal.deleting import described, follow, reach, send, untouched, without_entries
    from hurnet_stream.terminal.screen import say, say_json

    store, kafka = RedisWeightsStore(connection), chosen.kafka
    if log := RedisEntryStore(connection).log():  # so that no other cluster is told to delete anything
        kafka = kafka.model_copy(update={"cluster": log.cluster})
    within = reach(chosen, kafka, connection)
    requests = list(requests_of(within, asked))
    watermarks = send(kafka, requests, within.places)
    if not as_json:
        count = sum(len(request.records) for request in requests)
        topics = ", ".join(sorted({m.topic for request in requests for m in request.messages}))
        say(f"asked with {count} records in {topics}, watermarks {watermarks_text(watermarks)}")
    for audit in follow(store, requests, wait_s):
        if audit.deletion.targets and not as_json:
            say_json(described(audit, within.places))
    done = all(request.done for request in requests)
    before, missing = without_entries(connection, store, requests)
    if as_json:
        say_json(_as_dict(requests, watermarks, before, missing, within) | as_dict(chosen, done))
    else:
        _tell(requests, before, missing, untouched(within, "the key") if asked.keys else "")
        if done and len(missing) < len(requests):
            tell(chosen)
    return NOT_WELL if not done else NOT_THERE if missing else DONE


def requests_of(within: Reach, asked: Asked) -> Iterator[Request]:
    """A request for each entry and each key."""
    from hurnet_stream.terminal.deleting import entry_request, key_request

    for entry in asked.entries:
        yield entry_request(within, entry)
    for key in asked.keys:
        yield key_request(within, key, asked.header)


def _as_dict(
    requests: Sequence[Request],
    watermarks: Mapping[ShardName, int],
    before: Sequence[str],
    missing: Sequence[str],
    within: Reach,
) -> dict[str, Any]:
    from hurnet_schemas.places import watermarks_json
    from hurnet_stream.terminal.deleting import described

    return {
        "done": all(request.done for request in requests),
        "deleted": sum(request.deleted for request in requests),
        "deleted_before": list(before),
        "missing": list(missing),
        "watermarks": watermarks_json(watermarks),
        "not_asked": within.untouched,
        "records": [described(audit, within.places) for request in requests for audit in request.audits],
    }


def _tell(requests: Sequence[Request], before: Sequence[str], missing: Sequence[str], not_asked: str) -> None:
    from hurnet_stream.terminal.deleting import NOT_YET
    from hurnet_stream.terminal.screen import say

    for name in before:
        say(f"{name}: nothing to delete, it was deleted before")
    for name in missing:
        hint = "; a key belongs to a context: see --context and --all-contexts" if "key" in name else ""
        say(f"{name}: nothing was deleted, there is no such entry{hint}", err=True)
    if not_asked:
        say(not_asked, err=True)
    deleted = sum(request.deleted for request in requests)
    if not all(request.done for request in requests):
        say(NOT_YET, err=True)
    elif deleted or before:
        say(f"done, {deleted:,} entries deleted")
