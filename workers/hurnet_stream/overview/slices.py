"""Which slices there are, and which of them questions wait for, as `hurnet status` shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hurnet_stream.adapters.redis import Connection, RedisEntryStore, RedisSliceMembers, generation_of
from hurnet_stream.core.stored.batch import ShardState
from hurnet_stream.places import Places
from hurnet_stream.ports import SliceHolding, SliceMember

Said = dict[str, Any]
"""Of one process: `number` of `count`, `instance`, `address`, and of the generation that answers:
`partitions`, `rows`, `lag_rows`, and whether it `is_loaded`."""


def read_slices(connection: Connection) -> list[Said]:
    """What each process that holds a slice says, by count and number."""
    present = RedisSliceMembers(connection).present()
    if not present:
        return []
    store = RedisEntryStore(connection)
    states, places, generation = store.states(), Places(store.topics()), generation_of(connection)
    nothing = SliceHolding("", caught_up=False)
    said = (
        _said(name, member, member.holdings.get(generation, nothing), states, places)
        for name, member in present.items()
    )
    return sorted(said, key=lambda each: (each["count"], each["number"], each["instance"]))


def _said(
    name: str, member: SliceMember, held: SliceHolding, states: Mapping[int, ShardState], places: Places
) -> Said:
    behind = (max(0, states[shard].rows - rows) for shard, rows in held.rows.items() if shard in states)
    return {
        "number": member.number,
        "count": member.count,
        "instance": name,
        "address": member.address,
        "partitions": [places.shard_name(shard) for shard in sorted(held.rows)],
        "rows": sum(held.rows.values()),
        "lag_rows": sum(behind),
        "is_loaded": held.caught_up,
    }


def rows(slices: Sequence[Said]) -> Iterator[Sequence[str]]:
    """Rows of the table of workers: role, worker, host, partitions, how far it is behind."""
    for each in slices:
        worker = f"{each['number']} of {each['count']}: {each['instance']}"
        partitions = ", ".join(map(str, each["partitions"])) or "none"
        yield "slice", worker, each["address"], partitions, _behind(each)


def _behind(said: Said) -> str:
    return f"{said['lag_rows']:,}" if said["is_loaded"] else "loading"


def awaited(slices: Sequence[Said], wanted: int) -> list[str]:
    """Why questions wait for slices; nothing if of some count all are loaded. `wanted` is the count of the
    settings, 0 if they say none: then the largest that is there is meant."""
    loaded, there = _numbers(each for each in slices if each["is_loaded"]), _numbers(slices)
    if any(len(numbers) == count for count, numbers in loaded.items()):
        return []
    count = wanted or max(there, default=0)
    return [
        f"slice {number} of {count} is loading" if number in there[count] else _away(number, count)
        for number in range(count)
        if number not in loaded[count]
    ]


def _away(number: int, count: int) -> str:
    return (
        f"no process holds slice {number} of {count}, so questions wait, or are answered without its entries"
        " (`hurnet slice`)"
    )


def _numbers(slices: Iterator[Said] | Sequence[Said]) -> Mapping[int, set[int]]:
    """The numbers of slices that are there, by their count."""
    found: Mapping[int, set[int]] = defaultdict(set)
    for each in slices:
        found[each["count"]].add(each["number"])
    return found
