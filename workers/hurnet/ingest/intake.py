"""Records on their way into the context: validated and embedded, or put aside with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hurnet.core.shares import MAX_BATCH_BYTES
from hurnet.core.stored.batch import Batch, Deletion, Entry, Vectors, key_digest
from hurnet.ports import Embedder, Record
from hurnet.records import Verdict, deletion_of, embedded, entry_of
from hurnet_schemas import InvalidMessage
from hurnet_schemas.dead_letter import Reason

Rejected = tuple[Record, Reason, str]


@dataclass(slots=True)
class Intake:
    """New records of one partition: texts, `sources` being the records of `entries` and `rejected` all
    others, or one `deletion`."""

    partition: int
    records: Sequence[Record]
    entries: list[Entry] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    deletion: Deletion | None = None

    def keep(self, verdicts: Sequence[Verdict]) -> None:
        """Reject the entries that have a verdict."""
        if not any(verdicts):
            return
        kept = [row for row, verdict in enumerate(verdicts) if verdict is None]
        for record, verdict in zip(self.sources, verdicts, strict=True):
            if verdict is not None:
                self.rejected.append((record, *verdict))
        self.entries = [self.entries[row] for row in kept]
        self.sources = [self.sources[row] for row in kept]

    def batch(self) -> Batch:
        """What to append: it brings the shard to the last record's offset, whatever became of that one."""
        keys = [None if record.key is None else key_digest(record.key) for record in self.sources]
        readable = next((record for record in reversed(self.records) if not record.fault), None)
        return Batch(
            self.partition,
            self.records[-1].offset,
            self.entries,
            self.vectors,
            keys=keys,
            anchor=readable.anchor if readable else None,
        )


def passed(partition: int, watermark: int, dimension: int) -> Batch:
    """Brings the shard to an offset up to which there was nothing to read."""
    return Batch(partition, watermark, [], np.zeros((0, dimension), np.int16))


def intakes_of(partition: int, records: Sequence[Record], row_bytes: int = 0) -> list[Intake]:
    """Records in their order: each deletion by itself, and the texts between two of them together, as far as
    a batch may hold them. `row_bytes` is the size of a vector."""
    intakes: list[Intake] = []
    texts: list[Record] = []
    size = 0
    for record in records:
        deletion = deletion_of(record)
        mine = len(record.value or b"") + row_bytes
        if texts and (deletion or size + mine > MAX_BATCH_BYTES):
            intakes.append(_validated(partition, texts))
            texts, size = [], 0
        if deletion:
            intakes.append(Intake(partition, [record], deletion=deletion))
        else:
            texts.append(record)
            size += mine
    if texts:
        intakes.append(_validated(partition, texts))
    return intakes


def _validated(partition: int, records: Sequence[Record]) -> Intake:
    intake = Intake(partition, records)
    for record in records:
        try:
            intake.entries.append(entry_of(record))
            intake.sources.append(record)
        except InvalidMessage as error:
            intake.rejected.append((record, error.reason, error.detail))
    return intake


def embed(intakes: Sequence[Intake], embedder: Embedder) -> None:
    """Give each intake its vectors, by one call for all; rejects what fails or embeds to zero."""
    vectors, verdicts = embedded(embedder, [entry.text for intake in intakes for entry in intake.entries])
    first = 0
    for intake in intakes:
        end = first + len(intake.entries)
        mine = verdicts[first:end]
        intake.vectors = vectors[first:end][[verdict is None for verdict in mine]]
        intake.keep(mine)
        first = end
