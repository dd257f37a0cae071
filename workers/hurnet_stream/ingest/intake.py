"""Records on their way into the store: parsed and embedded, or rejected with a reason.

The records of one partition become intakes, in their order. What is rejected stays with its intake, so that
it reaches the dead letters in the same step that brings the shard past it:

    records     text  text  nonsense  deletion  text
    intakes     [2 entries, 1 rejected] [deletion] [1 entry]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hurnet_schemas import InvalidMessage
from hurnet_stream.core.grid import zero_rows
from hurnet_stream.core.shares import MAX_BATCH_BYTES
from hurnet_stream.core.stored.batch import Batch, Deletion, Entry, Vectors, key_digest
from hurnet_stream.embedding import Rejection, embed
from hurnet_stream.ports import Embedder, Record
from hurnet_stream.records import parse_record

ZERO_VECTOR: Rejection = ("zero-vector", "the text has nothing the embedder knows")


@dataclass(slots=True)
class Intake:
    """Consecutive records of one partition: either texts, or one deletion.

    `sources` are the records of `entries`, one for one; all other texts are in `rejected`. `vectors`
    (len(entries), dimension) are there once the entries have been embedded.
    """

    partition: int
    records: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    deletion: Deletion | None = None

    def reject(self, rejections: Mapping[int, Rejection]) -> None:
        """Put aside the entries at these rows."""
        if not rejections:
            return
        self.rejected += [(self.sources[row], rejection) for row, rejection in rejections.items()]
        kept = [row for row in range(len(self.entries)) if row not in rejections]
        self.entries = [self.entries[row] for row in kept]
        self.sources = [self.sources[row] for row in kept]

    def batch(self) -> Batch:
        """What to append. It brings the shard to the last record's offset, even if that one is rejected."""
        keys = [None if record.key is None else key_digest(record.key) for record in self.sources]
        # A record that could not be read has no digest that the log could be compared with later.
        readable = next((record for record in reversed(self.records) if not record.fault), None)
        return Batch(
            self.partition,
            self.records[-1].offset,
            self.entries,
            self.vectors,
            keys=keys,
            anchor=readable.anchor if readable else None,
        )


def intakes_of(records: Sequence[Record], vector_bytes: int = 0) -> list[Intake]:
    """The records of one partition, in their order: each deletion alone, and the texts between two deletions
    together, as far as one batch may hold them. `vector_bytes` is the size of one vector."""
    intakes: list[Intake] = []
    texts: Intake | None = None  # the one that the next text joins
    room_bytes = 0
    for record in records:
        parsed = _parsed(record)
        if isinstance(parsed, Deletion):
            intakes.append(Intake(record.partition, [record], deletion=parsed))
            texts = None
            continue
        size_bytes = len(record.value or b"") + vector_bytes
        if texts is None or size_bytes > room_bytes:
            texts, room_bytes = Intake(record.partition), MAX_BATCH_BYTES
            intakes.append(texts)
        room_bytes -= size_bytes
        _add(texts, record, parsed)
    return intakes


def embed_intakes(intakes: Sequence[Intake], embedder: Embedder) -> None:
    """Give each intake the vectors of its entries, by one call of the embedder for all of them. Rejects what
    the embedder fails on and what embeds to zero."""
    vectors, failures = embed(embedder, [entry.text for intake in intakes for entry in intake.entries])
    # A text that embeds to zero ends here: it has no direction, so no cosine with it is defined (eq. 2).
    rejections = dict.fromkeys(np.flatnonzero(zero_rows(vectors)).tolist(), ZERO_VECTOR) | failures
    first = 0
    for intake in intakes:
        end = first + len(intake.entries)
        kept = [row for row in range(first, end) if row not in rejections]
        intake.vectors = vectors[kept]
        intake.reject({row - first: rejections[row] for row in range(first, end) if row in rejections})
        first = end


def _parsed(record: Record) -> Entry | Deletion | InvalidMessage:
    try:
        return parse_record(record)
    except InvalidMessage as invalid:
        return invalid


def _add(intake: Intake, record: Record, parsed: Entry | InvalidMessage) -> None:
    intake.records.append(record)
    if isinstance(parsed, InvalidMessage):
        intake.rejected.append((record, (parsed.reason, parsed.detail)))
    else:
        intake.entries.append(parsed)
        intake.sources.append(record)
