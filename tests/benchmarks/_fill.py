"""A context's shards filled as ingest fills them, without Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import Final, NamedTuple

from hurnet_stream.core.stored.batch import NOTHING, Batch, Entry, Vectors
from hurnet_stream.ports import Appended, EntryStore

CONTEXT: Final = "default"


class Taught(NamedTuple):
    """What one batch holds, row by row."""

    texts: Sequence[str]
    answers: Sequence[str | None]
    vectors: Vectors


def appended(store: EntryStore, batches: Iterable[Taught], partitions: int) -> Iterator[int]:
    """Append each batch to the next shard in turn; yields how many rows it had. Raises `RuntimeError` where
    another writes the same context."""
    watermarks = dict.fromkeys(range(partitions), NOTHING)
    now_ms = int(time.time() * 1000)
    for partition, taught in zip(cycle(watermarks), batches, strict=False):
        before = watermarks[partition]
        entries = [
            Entry(before + 1 + i, now_ms + i, CONTEXT, text, answer)
            for i, (text, answer) in enumerate(zip(taught.texts, taught.answers, strict=True))
        ]
        batch = Batch(partition, before + len(entries), entries, taught.vectors)
        if not isinstance(store.append(batch, before), Appended):
            raise RuntimeError("another writer is on the benchmark's context")
        watermarks[partition] = batch.watermark
        yield len(entries)
