"""What is stored of a context, read back with suspicion."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from workers.core.codec import Packed, bare, beyond, unpack, unpack_deletion, unpack_offsets
from workers.core.context import NOTHING, Batch, EmbedderIdentity, ShardState
from workers.errors import ContextError, ContextReplaced

_FORMAT = 1

Fields = Mapping[bytes, bytes]
StreamEntries = Sequence[tuple[bytes, Fields]]


@dataclass(frozen=True, slots=True)
class Meta:
    """A context's embedder and epoch, and the bytes that hold them."""

    identity: EmbedderIdentity
    epoch: str
    raw: bytes

    @classmethod
    def begin(cls, identity: EmbedderIdentity) -> Meta:
        """That of a new context."""
        epoch = secrets.token_hex(8)
        return cls(
            identity, epoch, json.dumps({"format": _FORMAT, "epoch": epoch, **asdict(identity)}).encode()
        )

    @classmethod
    def parse(cls, raw: bytes, key: str) -> Meta:
        """That of `raw`, found under `key`. Raises `ContextError` where it is not readable."""
        try:
            fields = json.loads(raw)
            if fields.pop("format") != _FORMAT:
                raise ValueError("another format")
            epoch, dimension = str(fields.pop("epoch")), int(fields.pop("dimension"))
            return cls(EmbedderIdentity(**fields, dimension=dimension), epoch, raw)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ContextError(
                f"{key} is not readable ({error!r}): another version of hurnet wrote it, or another program"
            ) from error


def named(identity: EmbedderIdentity) -> str:
    """The embedder, for people."""
    return f"embedder {identity.name!r} ({identity.dimension}-d, fingerprint {identity.fingerprint})"


def same_vectors(one: EmbedderIdentity, other: EmbedderIdentity) -> bool:
    """Whether both make the same vectors, whatever they are called."""
    return (one.fingerprint, one.dimension) == (other.fingerprint, other.dimension)


def decode(partition: int, identifier: bytes, fields: Fields, meta: Meta) -> tuple[Batch, int]:
    """The batch of a stream entry and the number of its first row.

    Raises `ContextReplaced` where it belongs to another context, `ContextError` where it is corrupt.
    """
    try:
        watermark = int(identifier.partition(b"-")[0]) - 1
        epoch, row = fields[b"epoch"].decode(), int(fields[b"row"])
        if epoch == meta.epoch:
            return _batch(partition, watermark, fields, meta.identity.dimension), row
    except (ValueError, KeyError) as error:
        raise ContextError(
            f"entry {identifier.decode()} of shard {partition} is corrupt ({error}): restore the store from a"
            " backup, or delete the context and let it be filled again from Kafka"
        ) from error
    raise ContextReplaced(f"shard {partition} holds batches of a context that was deleted or begun anew")


def _batch(partition: int, watermark: int, fields: Fields, dimension: int) -> Batch:
    if b"deletion" in fields:
        return unpack_deletion(partition, fields[b"deletion"], fields[b"targets"], dimension)
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

    `state` had been read before. Raises as `decode` does, and `ContextError` where rows are missing.
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
        raise ContextError(
            f"shard {partition} goes on at row {found} after {row} rows: its stream was trimmed or damaged."
            " Restore the store from a backup, or delete the context and let it be filled again from Kafka"
        )
