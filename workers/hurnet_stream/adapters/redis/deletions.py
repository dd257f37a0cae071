"""The arguments of the scripts DELETE and APPEND about what they delete. A step takes a bounded part of it.

    by offsets     targets 3, 5, 9        only the entries that exist become pending; readers are told of all
    by record key  key "42" [of context]  the script finds them itself: a range of the sorted set `keys`
    of a context   everything of "faq"    the client reads the next batches that hold rows of it
    of old ones    "faq" before a time    the same, and only some rows of a batch may be old enough
    by a new text  key "42" of "faq"      an append finds them in `keys`, as the second does

A deletion of many entries takes several steps: the caller repeats it until the script says that it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hurnet_stream.adapters.redis import contexts
from hurnet_stream.adapters.redis.keys import Keys, key_prefix, key_range
from hurnet_stream.core.places import TEXTS, number_of
from hurnet_stream.core.stored.batch import MOST_TARGETS, Batch, Deletion, Entry, Expiry
from hurnet_stream.core.stored.codec import encode_deletion, encode_offsets
from hurnet_stream.core.stored.replacing import replaced_keys

BatchReaching = Callable[[int], Batch | None]
"""Gives the first batch whose watermark is at or beyond an offset."""


def keyed(batch: Batch) -> list[Any]:
    """The arguments of APPEND about record keys: 0 and a member of `keys` for each entry that has one."""
    return [
        argument
        for key, entry in zip(batch.keys, batch.entries, strict=bool(batch.keys))
        if key is not None
        for argument in (0, key_member(key, entry.context, entry.offset))
    ]


def key_member(key: bytes, context: str, offset: int) -> bytes:
    """The member of `keys` which says that this entry came under the key with this digest."""
    return key_prefix(key, context) + encode_offsets([offset])


def replacing_arguments(batch: Batch, allowed: bool, alone: bool, taken: Mapping[int, int]) -> list[Any]:
    """The arguments of APPEND about what the batch replaces. `allowed` says whether the store's format allows
    for it, `alone` whether the batch is one record; `taken` are entries that are known by number, and which
    position replaces each."""
    keys, overtaken = replaced_keys(batch), batch.deletion
    timestamp_ms = int(batch.columns.timestamps_ms[-1]) if batch.entries else 0
    deletion = encode_deletion(Deletion(batch.watermark, timestamp_ms, replaces=True))
    return [
        batch.mode,
        deletion if keys or overtaken or taken else b"",
        "1" if allowed else "",
        MOST_TARGETS,
        "1" if alone else "",
        encode_offsets(overtaken.targets if overtaken else ()),
        encode_offsets(overtaken.by if overtaken else ()),
        encode_offsets(taken),
        encode_offsets(taken.values()),
        len(keys),
        *(
            argument
            for key, context, by in keys
            for argument in (key_prefix(key, context), encode_offsets([by]))
        ),
    ]


def delete_arguments(
    client: Any, keys: Keys, partition: int, deletion: Deletion, batch_reaching: BatchReaching
) -> list[Any]:
    """The arguments of DELETE from the 6th on (scripts/delete.lua)."""
    about = [encode_deletion(deletion), encode_offsets([deletion.offset])]
    if deletion.key is not None:
        return [*about, *_by_key(deletion.key, deletion.context)]
    if deletion.context is not None and deletion.expiry:
        about_old = deletion.context, deletion.expiry
        return [*about, *_too_old(client, keys, partition, *about_old, batch_reaching)]
    if deletion.context is not None:
        return [*about, *_of_context(client, keys, partition, deletion.context, batch_reaching)]
    return [*about, *_by_offsets(partition, deletion.targets, batch_reaching)]


def repeated_arguments(
    deletion: Deletion, there: Sequence[int], absent: Sequence[int], last: bool
) -> list[Any]:
    """The same for a page of a deletion whose targets are known. Only some of them are in this store."""
    about = [encode_deletion(deletion), encode_offsets([deletion.offset])]
    dropped = deletion.context or "" if last and deletion.drops else ""
    return [*about, *_arguments(more="" if last else "1", dropped=dropped, absent=absent, targets=there)]


def _arguments(
    key_range: tuple[bytes, bytes, int] = (b"", b"", 0),
    more: str = "",
    dropped: str = "",
    absent: Sequence[int] = (),
    holds: Sequence[bytes] = (),
    targets: Sequence[int] = (),
) -> list[Any]:
    packed = (encode_offsets([target]) for target in targets)
    return [*key_range, more, dropped, encode_offsets(absent), len(holds), *holds, *packed]


def _by_key(key: bytes, context: str | None) -> list[Any]:
    return _arguments(key_range=(*key_range(key, context), MOST_TARGETS))


def _of_context(
    client: Any, keys: Keys, partition: int, context: str, batch_reaching: BatchReaching
) -> list[Any]:
    """The rows of a context in the next batches that hold some."""
    members: list[bytes] = []
    targets: list[int] = []
    next_batches = list(contexts.batches_holding(client, keys, partition, context))
    for member, watermark in next_batches:
        if len(targets) >= MOST_TARGETS:
            break
        members.append(member)
        # Another batch comes if this one is gone from the store, or was joined with its neighbours since:
        # whichever it is, its rows of the context are to be deleted.
        batch = batch_reaching(watermark)
        if batch is not None:
            targets += _offsets_of(batch, context)
    # A full page may have a successor. If it has none, the next step finds nothing and ends the deletion.
    more = len(members) < len(next_batches) or len(next_batches) == contexts.BATCHES
    return _arguments(more="1" if more else "", dropped=context, holds=members, targets=targets)


def _too_old(
    client: Any, keys: Keys, partition: int, context: str, expiry: Expiry, batch_reaching: BatchReaching
) -> list[Any]:
    """The rows of a context in the next batches that are too old, and not deleted yet."""
    members: list[bytes] = []
    targets: list[int] = []
    for member, watermark in contexts.all_batches_holding(client, keys, partition, context):
        if len(targets) >= MOST_TARGETS:
            return _arguments(more="1", holds=members, targets=targets)
        batch = batch_reaching(watermark)
        entries = entries_of(batch, context) if batch else []
        old = [entry.offset for entry in entries if expiry.covers(entry.offset, entry.timestamp_ms)]
        if len(old) == len(entries):
            members.append(member)
        targets += contexts.not_deleted(client, keys, partition, old)
        if watermark >= expiry.through:
            break
    return _arguments(holds=members, targets=targets)


def _by_offsets(partition: int, targets: Sequence[int], batch_reaching: BatchReaching) -> list[Any]:
    """The entries at these offsets. In a topic whose records may be several entries only those that
    are there are told, or if none is, the first place."""
    there: list[int] = []
    batch: Batch | None = None
    for target in sorted(targets):
        if batch is None or batch.watermark < target:
            batch = batch_reaching(target)
        if batch is None:
            break  # the shard ends before it
        if _holds(batch, target):
            there.append(target)
    absent = [target for target in targets if target not in there]
    if number_of(partition) != TEXTS:
        absent = [] if there else absent[:1]
    return _arguments(absent=absent, targets=there)


def _offsets_of(batch: Batch, context: str) -> list[int]:
    return [entry.offset for entry in entries_of(batch, context)]


def entries_of(batch: Batch, context: str) -> Sequence[Entry]:
    """The entries of one context in a batch."""
    by_context = batch.columns.by_context() if batch.entries else ()
    return next((entries for name, entries, _ in by_context if name == context), ())


def _holds(batch: Batch | None, offset: int) -> bool:
    return batch is not None and bool((batch.columns.offsets == offset).any())
