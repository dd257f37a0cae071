"""What is stored of a context, read back with suspicion."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from hurnet.core.formats import STORE, STREAM, NewerFormat, check_format
from hurnet.core.stored.batch import NOTHING, Batch, EmbedderIdentity, ShardState
from hurnet.core.stored.codec import Packed, bare, beyond, unpack, unpack_deletion, unpack_offsets
from hurnet.errors import StoreError, StoreReplaced, Unreadable, UpgradeNeeded

MEND = (
    "Restore the store from a backup; or set HURNET_REDIS_PREFIX to a new name for all workers, and a"
    " context is filled from Kafka beside this one, which stays as it is"
)

Fields = Mapping[bytes, bytes]
StreamEntries = Sequence[tuple[bytes, Fields]]


@dataclass(frozen=True, slots=True)
class Meta:
    """A context's embedder and epoch, which formats one must speak to write to it, and the bytes that hold
    all this. A program that adds something which older ones would misread raises `min_reader`, or
    `min_writer` if only their writing would do harm."""

    identity: EmbedderIdentity
    epoch: str
    raw: bytes
    min_writer: int = STORE

    @classmethod
    def begin(cls, identity: EmbedderIdentity) -> Meta:
        """That of a new context."""
        epoch = secrets.token_hex(8)
        formats = {"format": STORE, "min_reader": STORE, "min_writer": STORE}
        return cls(identity, epoch, json.dumps({**formats, "epoch": epoch, **asdict(identity)}).encode())

    @classmethod
    def parse(cls, raw: bytes, key: str) -> Meta:
        """That of `raw`, found under `key`; fields that this program doesn't know are left aside. Raises
        `UpgradeNeeded` if it must speak a newer format to read the context, `Unreadable` if it is damaged."""
        try:
            fields = json.loads(raw)
            check_format(f"the context of {key}", int(fields["min_reader"]), STORE)
            identity = EmbedderIdentity(
                **{name: str(fields[name]) for name in ("name", "fingerprint")},
                dimension=int(fields["dimension"]),
            )
            return cls(identity, str(fields["epoch"]), raw, int(fields["min_writer"]))
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(
                f"{key} is not readable ({error!r}): it is damaged, or another program wrote it"
            ) from error

    def check_writer(self) -> None:
        """Raise `UpgradeNeeded` if only newer programs may write to the context."""
        try:
            check_format("the context's newest entries", self.min_writer, STORE)
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error


def named(identity: EmbedderIdentity) -> str:
    """The embedder, for people."""
    return f"embedder {identity.name!r} ({identity.dimension}-d, fingerprint {identity.fingerprint})"


def same_vectors(one: EmbedderIdentity, other: EmbedderIdentity) -> bool:
    """Whether both make the same vectors, whatever they are called."""
    return (one.fingerprint, one.dimension) == (other.fingerprint, other.dimension)


def decode(partition: int, identifier: bytes, fields: Fields, meta: Meta) -> tuple[Batch, int]:
    """The batch of a stream entry and the number of its first row.

    Raises `StoreReplaced` where it belongs to another context, `UpgradeNeeded` where its format is newer
    than this program, `Unreadable` where it is corrupt.
    """
    try:
        check_format("this entry", int(fields.get(b"format", 1)), STREAM)
        watermark = int(identifier.partition(b"-")[0]) - 1
        epoch, row = fields[b"epoch"].decode(), int(fields[b"row"])
        if epoch == meta.epoch:
            return _batch(partition, watermark, fields, meta.identity.dimension), row
    except NewerFormat as error:
        raise UpgradeNeeded(f"entry {identifier.decode()} of shard {partition}: {error}") from error
    except (ValueError, KeyError) as error:
        raise Unreadable(
            f"entry {identifier.decode()} of shard {partition} is corrupt ({error}). {MEND}"
        ) from error
    raise StoreReplaced(f"shard {partition} holds batches of a context that was deleted or begun anew")


def _batch(partition: int, watermark: int, fields: Fields, dimension: int) -> Batch:
    if b"deletion" in fields:
        parts = int(fields.get(b"parts", b"0"))
        return unpack_deletion(partition, fields[b"deletion"], fields[b"targets"], dimension, parts)
    batch = unpack(partition, watermark, Packed(fields[b"entries"], fields[b"vectors"]), dimension)
    return replace(batch, removed=unpack_offsets(fields.get(b"removed", b"")))


def read(
    partition: int,
    position: int,
    entries: StreamEntries,
    state: ShardState,
    meta: Meta,
    limit: int,
) -> list[Batch]:
    """What a reader at `position` is given of the first `limit` stream entries from there on.

    `state` had been read before. Raises as `decode` does, and `StoreError` where rows are missing.
    """
    batches: list[Batch] = []
    row = 0 if position == NOTHING else None
    for identifier, fields in entries:
        batch, first = decode(partition, identifier, fields, meta)
        _check_rows(partition, row, first)
        row = first + batch.rows
        batches.append(batch)
    if len(entries) == limit:  # there may be more
        return beyond(position, batches, None)
    if (batches[-1].watermark if batches else position) <= state.watermark:
        _check_rows(partition, row, state.rows)
    return beyond(position, batches, bare(partition, state.watermark, meta.identity.dimension))


def _check_rows(partition: int, row: int | None, found: int) -> None:
    if row is not None and row != found:
        raise StoreError(
            f"shard {partition} goes on at row {found} after {row} rows: its stream was trimmed or"
            f" damaged. {MEND}"
        )
