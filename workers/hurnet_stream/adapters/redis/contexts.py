"""The names of contexts, and what each shard holds of each.

    contexts   faq, smart-home                         admitted: at most HURNET_INGEST_MAX_CONTEXTS of them
    sizes      faq/rows 3, faq/bytes 1740, faq/first 0 of one shard
    holds      faq\\0 4, faq\\0 9, smart-home\\0 9     which stream items of the shard hold rows of which

An append adds to `sizes` and `holds`, an erasure takes away. When no shard holds a row of a context any more,
its name is given back, so that another context may be admitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from hurnet_stream.adapters.redis.keys import Keys, starting_with
from hurnet_stream.adapters.redis.scripts import FORGET_CONTEXT, GIVE_BACK
from hurnet_stream.core.stored.batch import NOTHING, Batch
from hurnet_stream.core.stored.entries import Entries
from hurnet_stream.errors import StoreError
from hurnet_stream.ports import Holding

BATCHES: Final = 16
"""How many batches of a dropped context are looked at in one step."""


def added_by(batch: Batch) -> list[Any]:
    """The arguments of APPEND about contexts: how many there are, then five for each."""
    arguments: list[Any] = []
    for name, entries, _ in batch.columns.by_context() if batch.entries else ():
        sizes = len(entries), _bytes(entries, batch), int(entries.offsets[0])
        arguments += [name, *sizes, _held(name, batch.watermark + 1)]
    return [len(arguments) // 5, *arguments]


def subtract(pipe: Any, keys: Keys, before: Batch, after: Batch) -> list[str]:
    """Queue what changes when a batch loses rows. Returns the contexts of these rows.

    The last two replies for each context, in this order, are its rows and bytes that are left.
    """
    return subtract_pieces(pipe, keys, [before], [after])


def subtract_pieces(pipe: Any, keys: Keys, before: Sequence[Batch], after: Sequence[Batch]) -> list[str]:
    """The same for several batches of one shard at once."""
    goes, _ = moved(before, after)
    if goes:
        pipe.zrem(keys.shard(before[0].partition, "holds"), *goes)
    pairs = zip(before, after, strict=True)
    lost = [old.only(set(new.removed) - set(old.removed)) for old, new in pairs]
    sizes = keys.shard(before[0].partition, "sizes")
    total: dict[str, tuple[int, int]] = {}
    for name, rows, size in (held for batch in lost for held in held_by(batch)):
        of_name = total.get(name, (0, 0))
        total[name] = of_name[0] + rows, of_name[1] + size
    # These come last in the transaction, so that the caller finds their replies at its end.
    for name, (rows, size) in total.items():
        pipe.hincrby(sizes, f"{name}/rows", -rows)
        pipe.hincrby(sizes, f"{name}/bytes", -size)
    return list(total)


def move(pipe: Any, keys: Keys, before: Sequence[Batch], after: Batch | None) -> None:
    """Queue what changes when one batch takes the place of several neighbours of a shard."""
    key = keys.shard(before[0].partition, "holds")
    goes, comes = moved(before, [after] if after else [])
    if goes:
        pipe.zrem(key, *goes)
    if comes:
        pipe.zadd(key, dict.fromkeys(comes, 0))


def moved(before: Sequence[Batch], after: Sequence[Batch]) -> tuple[list[bytes], list[bytes]]:
    """Which members of `holds` go and which come if batches of a shard take the place of others."""
    old, new = _members(before), _members(after)
    return sorted(old - new), sorted(new - old)


def _members(batches: Iterable[Batch]) -> set[bytes]:
    return {_held(name, batch.watermark + 1) for batch in batches for name in _names(batch)}


def held_by(batch: Batch) -> Iterator[tuple[str, int, int]]:
    """What a batch holds of each context: its name, rows and bytes."""
    for name, entries, _ in batch.columns.by_context() if batch.entries else ():
        yield name, len(entries), _bytes(entries, batch)


def note_held(pipe: Any, keys: Keys, batch: Batch) -> None:
    """Queue what says which contexts a batch holds rows of."""
    if names := _names(batch):
        members = dict.fromkeys((_held(name, batch.watermark + 1) for name in names), 0)
        pipe.zadd(keys.shard(batch.partition, "holds"), members)


def _names(batch: Batch) -> list[str]:
    return [name for name, _, _ in batch.columns.by_context()] if batch.entries else []


def give_back(client: Any, keys: Keys, epoch: str, names: Iterable[str]) -> None:
    """Give back those of the names of which no shard holds a row. An append that comes in between leaves rows
    and no name, and they count as one (`RedisEntryStore.contexts`)."""
    for name in names:
        shards = sorted(int(member) for member in client.smembers(keys.shards))
        sizes = [keys.shard(partition, "sizes") for partition in shards]
        if any(int(rows or 0) > 0 for rows in _of_each(client, sizes, "HGET", f"{name}/rows")):
            continue
        if client.eval(GIVE_BACK, 2, keys.contexts, keys.meta, name, epoch) is not None:
            for key in sizes:
                client.eval(FORGET_CONTEXT, 1, key, name)


def _of_each(client: Any, keys: Iterable[str], command: str, *arguments: Any) -> list[Any]:
    """The replies to a command on each of the keys, in one round trip."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.execute_command(command, key, *arguments)
    replies: list[Any] = pipe.execute()
    return replies


def batches_holding(client: Any, keys: Keys, partition: int, context: str) -> Iterator[tuple[bytes, int]]:
    """The first batches that hold rows of `context`: the member of `holds`, and the batch's watermark."""
    wanted = starting_with(context.encode() + b"\0")
    for member in client.zrangebylex(keys.shard(partition, "holds"), *wanted, 0, BATCHES):
        yield bytes(member), int.from_bytes(member[-8:], "big") - 1


def all_batches_holding(
    client: Any, keys: Keys, partition: int, context: str, after: int = NOTHING
) -> Iterator[tuple[bytes, int]]:
    """All batches beyond offset `after` that hold rows of `context`, as `batches_holding` gives the first."""
    key, (_, end) = keys.shard(partition, "holds"), starting_with(context.encode() + b"\0")
    position = _held(context, after + 1)
    while members := client.zrangebylex(key, b"(" + position, end, 0, BATCHES):
        for member in members:
            yield bytes(member), int.from_bytes(member[-8:], "big") - 1
        position = members[-1]


def not_deleted(client: Any, keys: Keys, partition: int, offsets: Sequence[int]) -> list[int]:
    """Those of the offsets that no record has deleted."""
    pipe = client.pipeline(transaction=False)
    for offset in offsets:
        pipe.zrangebylex(keys.shard(partition, "pending"), *starting_with(offset.to_bytes(8, "big")), 0, 1)
    deleted = pipe.execute() if offsets else ()
    return [offset for offset, gone in zip(offsets, deleted, strict=True) if not gone]


def parse_sizes(sizes: Mapping[bytes, bytes], key: str) -> Mapping[str, Holding]:
    """What a shard holds of each context. Raises `StoreError` if that is corrupt."""
    figures: dict[str, dict[str, int]] = {}
    try:
        for field, value in sizes.items():
            name, _, figure = field.decode().rpartition("/")  # a name may hold slashes
            figures.setdefault(name, {})[figure] = int(value)
        return {name: Holding(of["rows"], of["bytes"], of.get("first")) for name, of in figures.items()}
    except (ValueError, KeyError) as error:
        raise StoreError(f"{key} is corrupt: {error}") from error


def _held(context: str, item_number: int) -> bytes:
    """The member of `holds` which says that this stream item holds rows of the context."""
    return context.encode() + b"\0" + item_number.to_bytes(8, "big")


def _bytes(entries: Entries, batch: Batch) -> int:
    """Bytes of the entries' texts and of their vectors (int16)."""
    texts = int(entries.starts[-1] - entries.starts[0])
    return texts + 2 * len(entries) * int(batch.vectors.shape[1])
