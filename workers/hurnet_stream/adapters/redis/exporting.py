"""What one context held at one moment, read while ingest and solver go on.

read     watermarks W                        the export ends here, whatever is appended meanwhile
         what is deleted and not erased yet  is left out
         items up to W                       their entries of the context are given, batch by batch
then     deletions beyond W                  `deleted_meanwhile` counts those that were given before
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64

from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.copying import StoreCopy
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.codec import decode_offsets
from hurnet_stream.core.stored.entries import Entries


class Exported(NamedTuple):
    """Some entries (n) of one shard, and their vectors (n, d)."""

    shard: int
    entries: Entries
    vectors: Vectors


class ContextExport(StoreCopy):
    """Reads one context, once. `advance` is told how many rows were read, of all contexts."""

    def __init__(self, connection: Connection, context: str, advance: Callable[[int], None]) -> None:
        super().__init__(connection, advance)
        self._context = context
        self._given: dict[int, BitMap64] = {}

    @property
    def watermarks(self) -> Mapping[int, int]:
        """Up to where each shard was read, once reading has begun."""
        return {shard: state.watermark for shard, state in self._states.items() if state.watermark >= 0}

    def entries(self) -> Iterator[Exported]:
        """All entries that are not deleted, shard by shard, in their order. Raises as a copy of the store
        does."""
        with self._connection.used():
            server = self._connection.primary.run_id
            self._states = self.states()
            for shard, state in self._states.items():
                gone = self._deleted(shard)
                for identifier, fields in self._between(shard, 0, state.watermark + 1):
                    batch = self._store.decode(shard, (identifier, fields))[0]
                    rows = self._rows(batch.columns, gone)
                    if len(rows):
                        kept = batch.columns.take(rows)
                        self._given.setdefault(shard, BitMap64()).update(kept.offsets.tolist())
                        yield Exported(shard, kept, batch.vectors[rows])
                    self._advance(batch.rows)
            self._check_nothing_was_lost(self._states, server)

    def deleted_meanwhile(self) -> int:
        """How many of the entries that were given have been deleted since the watermarks were read."""
        with self._connection.used():
            found = 0
            for shard, given in self._given.items():
                gone = self._deleted(shard)
                for part in self._deleted_since(shard, self._states[shard].watermark):
                    gone.update(decode_offsets(part.content[1]))
                found += len(given & gone)
            return found

    def _deleted(self, shard: int) -> BitMap64:
        return BitMap64(offset for page in self._pending(shard) for offset in page)

    def _rows(self, columns: Entries, gone: BitMap64) -> NDArray[np.int64]:
        if self._context not in columns.contexts:
            return np.empty(0, np.int64)
        wanted = columns.context_of == columns.contexts.index(self._context)
        rows = np.flatnonzero(wanted)
        if gone:
            rows = rows[[offset not in gone for offset in columns.offsets[rows].tolist()]]
        return rows
