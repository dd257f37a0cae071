"""What is asked of a shard to delete, a part at a time, and what is read of it.

P:{shard-N}:keys        sorted set, by bytes: digest of a record's key, context, a zero byte, offset; for
                        entries that had a key
P:{shard-N}:pending     sorted set, by bytes: offset deleted and not yet erased, offset of the record that
                        deletes it
P:{shard-N}:parts       hash: of a deletion's record R with many targets: R -> how many parts there are
                        before its entry in the stream, R/n -> targets in part n; and id and deletion of
                        the one that is under way, whose record is the state's field "deleting"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hurnet.adapters.redis.holdings import BATCHES, batches_of
from hurnet.core.stored.batch import MOST_TARGETS, Batch, Deletion
from hurnet.core.stored.codec import pack_deletion, pack_offsets

Reaching = Callable[[int], Batch | None]
"""The first batch whose watermark is at or beyond an offset."""


def keyed(batch: Batch) -> list[Any]:
    """What an append adds to the keys: a score and a member for each."""
    return [
        part
        for key, entry in zip(batch.keys, batch.entries, strict=bool(batch.keys))
        if key is not None
        for part in (0, _prefix(key, entry.context) + pack_offsets([entry.offset]))
    ]


def asked(client: Any, prefix: str, partition: int, deletion: Deletion, reaching: Reaching) -> list[Any]:
    """The script's arguments from the deletion on."""
    record = pack_offsets([deletion.offset])
    said: list[Any] = [pack_deletion(deletion), record]
    if deletion.key is not None:
        start = deletion.key if deletion.context is None else _prefix(deletion.key, deletion.context)
        return [*said, b"[" + start, b"[" + start + b"\xff" * 80, MOST_TARGETS, "", "", b"", 0]
    if deletion.context is not None:
        return [*said, *_dropping(client, prefix, partition, deletion.context, reaching)]
    there = [target for target in deletion.targets if _held(reaching(target), target)]
    absent = pack_offsets(target for target in deletion.targets if target not in there)
    return [*said, b"", b"", 0, "", "", absent, 0, *(pack_offsets([target]) for target in there)]


def _dropping(client: Any, prefix: str, partition: int, context: str, reaching: Reaching) -> list[Any]:
    """A context's rows in its next batches."""
    members: list[bytes] = []
    targets: list[int] = []
    found = list(batches_of(client, prefix, partition, context))
    for member, watermark in found:
        if len(targets) >= MOST_TARGETS:
            break
        members.append(member)
        batch = reaching(watermark)
        if batch is not None and batch.watermark == watermark:
            targets += _offsets(batch, context)
    more = "1" if len(members) < len(found) or len(found) == BATCHES else ""
    packed = [pack_offsets([target]) for target in targets]
    return [b"", b"", 0, more, context, b"", len(members), *members, *packed]


def _offsets(batch: Batch, context: str) -> Sequence[int]:
    for name, entries, _ in batch.columns.by_context() if batch.entries else ():
        if name == context:
            offsets: list[int] = entries.offsets.tolist()
            return offsets
    return ()


def _held(batch: Batch | None, offset: int) -> bool:
    return batch is not None and bool((batch.columns.offsets == offset).any())


def _prefix(key: bytes, context: str) -> bytes:
    return key + context.encode() + b"\0"
