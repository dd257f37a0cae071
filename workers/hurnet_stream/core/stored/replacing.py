"""Which entries a batch takes the place of, and how a batch is sent in smaller ones.

A text that replaces names what its context holds under its key. The texts of one record, the chunks of a
long one, stand together, and a later record of a batch takes the place of an earlier one before either is
stored:

    batch     offset  key  context
              10      a    faq        replaces what the shard holds under (a, faq)
              11      a    home       replaces what it holds under (a, home): a key belongs to its context
              12      b    faq        replaces what it holds under (b, faq)
              13      b    faq        never meets 12 in a store: 12 is overtaken, and only told to readers
    keys      (a, faq) by 10   (a, home) by 11   (b, faq) by 13
    overtaken 12 by 13
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hurnet_stream.core import places
from hurnet_stream.core.stored.batch import APPEND, NOTHING, Batch, Deletion


class Replaced(NamedTuple):
    """The digest of a key and a context whose entries are replaced, and the first position of those that
    take their place."""

    key: bytes
    context: str
    by: int


def replaced_keys(batch: Batch) -> list[Replaced]:
    """What a batch takes the place of."""
    found: dict[tuple[bytes, str], int] = {}
    columns = batch.columns
    for row in np.flatnonzero(batch.replaces).tolist():
        context = columns.contexts[int(columns.context_of[row])]
        found.setdefault((batch.keys[row] or b"", context), int(columns.offsets[row]))
    return [Replaced(key, context, by) for (key, context), by in found.items()]


def settled(batch: Batch) -> Batch:
    """The batch as a store takes it in: without the entries whose place a later record of it takes. Its
    deletion tells of these."""
    overtaken = _overtaken(batch)
    if not overtaken:
        return batch
    offsets = batch.columns.offsets.tolist()
    kept = [row for row in range(len(offsets)) if row not in overtaken]
    return replace(
        batch,
        entries=batch.columns.take(np.array(kept, np.int64)),
        vectors=batch.vectors[kept],
        keys=[batch.keys[row] for row in kept],
        replaces=[batch.replaces[row] for row in kept],
        deletion=Deletion(
            batch.watermark,
            int(batch.columns.timestamps_ms[-1]),
            targets=tuple(offsets[row] for row in overtaken),
            replaces=True,
            by=tuple(overtaken.values()),
        ),
    )


def _overtaken(batch: Batch) -> dict[int, int]:
    """The rows, ascending, whose place a later record takes, and the first position of that record."""
    columns, records = batch.columns, _records(batch)
    last: dict[tuple[bytes, int], tuple[int, int]] = {}  # of each key and context: record and first position
    rows: dict[int, int] = {}
    for row in reversed(np.flatnonzero(batch.replaces).tolist()):
        key = batch.keys[row] or b"", int(columns.context_of[row])
        record, first = last.get(key, (records[row], NOTHING))
        if record == records[row]:
            last[key] = record, int(columns.offsets[row])
        else:
            rows[row] = first
    return dict(sorted(rows.items()))


def is_one_record(batch: Batch) -> bool:
    """Whether the entries of a batch are of one record, and the batch ends behind it."""
    records = _records(batch)
    return bool(records) and records[0] == records[-1] and _end(batch, records[0]) == batch.watermark


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """The same as two batches that are sent one after the other: half of the records each, or the one record
    there is and what lies behind it. There must be more to it than one record."""
    records = _records(batch)
    cut = next((row for row in range(len(records) // 2, len(records)) if records[row] != records[row - 1]), 0)
    if not cut:  # the last record begins before the middle
        cut = records.index(records[-1]) or len(records)
    end = _end(batch, records[cut - 1])
    return replace(_rows(batch, 0, cut), watermark=end, anchor=None), _rows(batch, cut, len(records))


def mode_at(modes: Sequence[tuple[int, str]], position: int) -> str:
    """How keyed texts were taken in at `position`, given from where on they were taken in how."""
    return next((mode for since, mode in reversed(modes) if since <= position), APPEND)


def _rows(batch: Batch, first: int, end: int) -> Batch:
    return replace(
        batch,
        entries=batch.entries[first:end],
        vectors=batch.vectors[first:end],
        keys=batch.keys[first:end],
        replaces=batch.replaces[first:end],
    )


def _records(batch: Batch) -> list[int]:
    return [places.offset_of(batch.partition, offset) for offset in batch.columns.offsets.tolist()]


def _end(batch: Batch, record: int) -> int:
    return places.last_position(batch.partition, record)
