"""`hurnet forget`: entries deleted from the context, and out of all that was learned from them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet.adapters.redis import Connection, RedisWeightsStore
    from hurnet.ports import DeletionAudit
    from hurnet.settings.settings import Settings
    from hurnet.terminal.deleting import EntryId, Wanted


class EntryName(click.ParamType[tuple[int, int]]):
    """PARTITION/OFFSET."""

    name = "partition/offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> EntryId:
        from hurnet.core.offsets import is_number

        partition, slash, offset = str(value).partition("/")
        if not (slash and is_number(partition) and is_number(offset)):
            self.fail(f"{value!r} is not PARTITION/OFFSET", param, ctx)
        return int(partition), int(offset)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be forgotten; `context` and `all_contexts` are for the keys."""

    entries: Sequence[EntryId]
    keys: Sequence[str]
    context: str | None
    all_contexts: bool

    def check(self, as_log: bool) -> None:
        """Raises `UsageError`."""
        if bool(self.entries or self.keys) == as_log:
            raise click.UsageError("Name what to forget (--entry, --key), or ask for the --log.")
        if (self.context is not None or self.all_contexts) and not self.keys:
            raise click.UsageError("--context and --all-contexts are for a --key; an --entry needs neither.")
        if self.context is not None and self.all_contexts:
            raise click.UsageError("Choose between --context and --all-contexts.")

    @property
    def header(self) -> str:
        """What the header `context` of a deletion by key says. Raises `BadParameter`."""
        from hurnet.commands.produce import context_name
        from hurnet.records import EVERY

        return EVERY if self.all_contexts else context_name(self.context)


@click.command()
@click.option("--entry", "entries", type=EntryName(), multiple=True, help="The entry at these coordinates.")
@click.option("--key", "keys", multiple=True, help="All entries of a context whose records have this key.")
@click.option("--context", metavar="NAME", help="The context of the keys (default: default).")
@click.option("--all-contexts", is_flag=True, help="Delete the keys' entries in every context.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    help="Seconds to wait until it is done.",
)
@click.option("--log", "as_log", is_flag=True, help="Print the audit of all deletions, a JSON object a line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def forget(wait: float, as_log: bool, as_json: bool, **named: Any) -> None:
    """Delete entries from the context, and unlearn them exactly.

    The deletion is a record in the topic of texts, behind the entries it deletes. Exit code 1 when it was
    not done in time; it will be, once an ingest and a solver run. Exit code 3 when something that was asked
    for does not exist, and was not deleted before either.
    """
    from hurnet.adapters.redis import RedisWeightsStore, connect
    from hurnet.settings import settings
    from hurnet.terminal.screen import hush, say_json

    hush()
    asked = Asked(**named)
    asked.check(as_log)
    chosen = settings.load()
    connection = connect(chosen.redis)
    try:
        if as_log:
            for unlearned in RedisWeightsStore(connection).audit():
                say_json(described(unlearned, chosen.kafka.texts))
            return
        code = ask(chosen, connection, asked, wait, as_json)
    finally:
        connection.close()
    sys.exit(code)


def ask(chosen: Settings, connection: Connection, asked: Asked, wait: float, as_json: bool) -> int:
    """Send the deletions and tell what became of them; the exit code."""
    from hurnet.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet.terminal.client import end_offsets
    from hurnet.terminal.deleting import EXIT_LATE, EXIT_MISSING, follow, send
    from hurnet.terminal.screen import say, say_json, watermarks_text

    topic, store = chosen.kafka.texts, RedisWeightsStore(connection)
    if bound := RedisEntryStore(connection).log():  # no other cluster is told to delete anything
        kafka = chosen.kafka.model_copy(update={"cluster": bound.cluster})
        chosen = chosen.model_copy(update={"kafka": kafka})
    ends = end_offsets(chosen.kafka, topic)
    wanted = list(requests(topic, ends, asked.entries, asked.keys, asked.header))
    watermarks = send(chosen.kafka, wanted)
    count = sum(len(one.records) for one in wanted)
    if not as_json:
        say(f"asked with {count} records in {topic}, watermarks {watermarks_text(watermarks)}")
    for unlearned in follow(store, wanted, wait):
        if unlearned.deletion.targets and not as_json:
            say_json(described(unlearned, topic))
    done = all(one.settled for one in wanted)
    before, missing = _absent(connection, store, wanted)
    if as_json:
        say_json(_as_dict(wanted, watermarks, before, missing, topic))
    else:
        _tell(wanted, before, missing)
    return EXIT_LATE if not done else EXIT_MISSING if missing else 0


def requests(
    topic: str,
    ends: Mapping[int, int],
    entries: Sequence[EntryId],
    keys: Sequence[str],
    context: str = "default",
) -> Iterator[Wanted]:
    """The records to send. A key's goes to all partitions: which it is in depends on who produced it, and on
    how many there were then."""
    from hurnet.ports import Outgoing
    from hurnet.records import CONTEXT, FORGET
    from hurnet.terminal.deleting import Wanted

    for partition, offset in entries:
        if offset >= ends.get(partition, 0):
            raise click.BadParameter(f"{topic} has no record {partition}/{offset}", param_hint="--entry")
        # Clients send no record without key and value; a key of its own deletes nothing else by compaction.
        own = f"hurnet-forget/{partition}/{offset}".encode()
        header = ((FORGET, str(offset).encode()),)
        yield Wanted(f"entry {partition}/{offset}", [Outgoing(topic, None, own, header, partition)])
    for key in keys:
        named = ((CONTEXT, context.encode()),)
        raw = key.encode(errors="surrogateescape")  # whatever bytes were typed
        messages = [Outgoing(topic, None, raw, named, partition) for partition in sorted(ends)]
        yield Wanted(f"key {key!r}", messages)


def _absent(
    connection: Connection, store: RedisWeightsStore, wanted: Sequence[Wanted]
) -> tuple[list[str], list[str]]:
    """The names of what is done but had nothing to delete: of what was deleted before, and of what never was
    there."""
    from hurnet.adapters.redis import RedisEntryStore

    nothing = [one for one in wanted if one.settled and not one.deleted]
    if not nothing:
        return [], []
    context = RedisEntryStore(connection)
    audit = [(u.deletion.key, u.deletion.context) for u in store.audit() if u.deletion.key and u.entries]
    before: list[str] = []
    for one in nothing:
        asked = one.done[0].deletion
        if asked.key is None:
            known = any(context.was_deleted(p, t) for p, _ in one.records for t in asked.targets)
            known = known or not asked.targets  # it is deleted already, and not erased yet
        else:
            known = any(key == asked.key and asked.context in (None, where) for key, where in audit)
            known = known or (asked.key, None) in audit
        if known:
            before.append(one.name)
    return before, [one.name for one in nothing if one.name not in before]


def _as_dict(
    wanted: Sequence[Wanted],
    watermarks: Mapping[int, int],
    before: Sequence[str],
    missing: Sequence[str],
    topic: str,
) -> dict[str, Any]:
    from hurnet.terminal.deleting import BEYOND_REACH

    return {
        "done": all(one.settled for one in wanted),
        "deleted": sum(one.deleted for one in wanted),
        "deleted_before": list(before),
        "missing": list(missing),
        "watermarks": {str(p): w for p, w in sorted(watermarks.items())},
        "records": [described(u, topic) for one in wanted for u in one.done],
        "beyond_reach": BEYOND_REACH,
    }


def _tell(wanted: Sequence[Wanted], before: Sequence[str], missing: Sequence[str]) -> None:
    from hurnet.terminal.deleting import BEYOND_REACH, NOT_YET
    from hurnet.terminal.screen import say

    for name in before:
        say(f"{name}: nothing to delete, it was deleted before")
    for name in missing:
        where = "; a key belongs to a context: see --context and --all-contexts" if "key" in name else ""
        say(f"{name}: nothing was deleted, there is no such entry{where}", err=True)
    deleted = sum(one.deleted for one in wanted)
    if not all(one.settled for one in wanted):
        say(NOT_YET, err=True)
    elif deleted or before:
        say(f"done, {deleted:,} entries deleted. {BEYOND_REACH}")


def described(unlearned: DeletionAudit, topic: str) -> dict[str, Any]:
    """As a JSON object; times are ISO 8601."""
    from hurnet.terminal.screen import moment

    deletion = unlearned.deletion
    return {
        "record": f"{topic}/{unlearned.partition}/{deletion.offset}",
        "asked": moment(deletion.timestamp_ms),
        "done": moment(unlearned.done_ms),
        "key_blake2b": deletion.key.hex() if deletion.key is not None else None,
        "context": deletion.context,
        "deleted": unlearned.entries,
        "entries": [f"{unlearned.partition}/{target}" for target in deletion.targets],
        "pairs": unlearned.pairs,
        "digests": {c: {"before": was, "after": now} for c, (was, now) in unlearned.digests.items()},
        "watermarks": {str(p): w for p, w in sorted(unlearned.watermarks.items())},
    }
