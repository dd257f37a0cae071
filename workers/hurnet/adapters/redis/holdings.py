"""What the shards hold of each context, and the names of contexts.

P:contexts              set of names: those admitted and not given back
P:{shard-N}:sizes       hash: NAME/rows and NAME/bytes in the store, NAME/first offset since it was let in
P:{shard-N}:holds       sorted set, by bytes: name, a zero byte, id (8 bytes) of a batch with rows of it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hurnet.adapters.redis.scripts import RELEASE
from hurnet.core.stored.batch import Batch
from hurnet.core.stored.entries import Entries
from hurnet.errors import StoreError
from hurnet.ports import Holding

BATCHES: Final = 16
"""Of a context that is dropped, looked at for one part."""


def shard_key(prefix: str, partition: int, name: str) -> str:
    """A key of one shard."""
    return f"{prefix}:{{shard-{partition}}}:{name}"


def held_in(context: str, batch_id: int) -> bytes:
    """The member of `holds` that says so."""
    return context.encode() + b"\0" + batch_id.to_bytes(8, "big")


def noted(batch: Batch) -> list[Any]:
    """What an append says of each context, behind how many there are."""
    said: list[Any] = []
    for name, entries, _ in batch.columns.by_context() if batch.entries else ():
        size = len(entries), _bytes(entries, batch), int(entries.offsets[0])
        said += [name, *size, held_in(name, batch.watermark + 1)]
    return [len(said) // 5, *said]


def forget(pipe: Any, prefix: str, before: Batch, after: Batch) -> list[str]:
    """Queue what the rows that a batch loses change; returns their contexts: the last two replies for each
    are what is left."""
    lost = before.only(set(after.removed) - set(before.removed))
    kept = {name for name, _, _ in after.columns.by_context()} if after.entries else set()
    parts = list(lost.columns.by_context()) if lost.entries else []
    for name, _, _ in parts:
        if name not in kept:
            holds = shard_key(prefix, before.partition, "holds")
            pipe.zrem(holds, held_in(name, before.watermark + 1))
    sizes = shard_key(prefix, before.partition, "sizes")
    for name, entries, _ in parts:
        pipe.hincrby(sizes, f"{name}/rows", -len(entries))
        pipe.hincrby(sizes, f"{name}/bytes", -_bytes(entries, lost))
    return [name for name, _, _ in parts]


def release(client: Any, prefix: str, epoch: str, names: Iterable[str]) -> None:
    """Give back those names of which no shard holds a row."""
    for name in names:
        shards = sorted(int(member) for member in client.smembers(f"{prefix}:shards"))
        sizes = (shard_key(prefix, partition, "sizes") for partition in shards)
        keys = [f"{prefix}:contexts", f"{prefix}:meta", *sizes]
        client.eval(RELEASE, len(keys), *keys, name, epoch)


def batches_of(client: Any, prefix: str, partition: int, context: str) -> Iterator[tuple[bytes, int]]:
    """The first batches that hold rows of `context`: members of `holds`, and the watermark of each."""
    first = context.encode() + b"\0"
    key = shard_key(prefix, partition, "holds")
    for member in client.zrangebylex(key, b"[" + first, b"[" + first + b"\xff" * 8, 0, BATCHES):
        yield bytes(member), int.from_bytes(member[-8:], "big") - 1


def parsed(sizes: Mapping[bytes, bytes], key: str) -> Mapping[str, Holding]:
    """Those of a shard, by context. Raises `StoreError` if they are corrupt."""
    fields: dict[str, dict[str, int]] = {}
    try:
        for field, value in sizes.items():
            name, _, figure = field.decode().rpartition("/")
            fields.setdefault(name, {})[figure] = int(value)
    except ValueError as error:
        raise StoreError(f"{key} is corrupt: {error}") from error
    return {
        name: Holding(figures.get("rows", 0), figures.get("bytes", 0), figures.get("first"))
        for name, figures in fields.items()
    }


def _bytes(entries: Entries, batch: Batch) -> int:
    texts = int(entries.starts[-1] - entries.starts[0])
    return texts + 2 * len(entries) * int(batch.vectors.shape[1])
