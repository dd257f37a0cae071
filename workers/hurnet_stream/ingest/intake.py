"""Records on their way into the store: parsed and embedded, or rejected with a reason.

The records of one partition become intakes, in their order. What is rejected stays with its intake, so that
it reaches the dead letters in the same step that brings the shard past it:

    records     text  text  nonsense  deletion  text
    intakes     [2 entries, 1 rejected] [deletion] [1 entry]

A record may be several entries, the chunks of a long text. A chunk that can't be embedded is left out; the
record is rejected if none of its chunks remains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hurnet_schemas import InvalidMessage
from hurnet_stream.core.grid import zero_rows
from hurnet_stream.core.shares import MAX_BATCH_BYTES
from hurnet_stream.core.stored.batch import APPEND, UPSERT, Batch, Deletion, Entry, Vectors, key_digest
from hurnet_stream.embedding import Rejection, embed
from hurnet_stream.ports import Embedder, Read, Record, Taught
from hurnet_stream.records import replaces

ZERO_VECTOR: Rejection = ("zero-vector", "the text has nothing the embedder knows")


class Origin(NamedTuple):
    """Where an entry is from: its record, the key that it came under, and whether it takes the place of what
    came under that before."""

    record: Record
    key: bytes | None
    replaces: bool


@dataclass(slots=True)
class Intake:
    """Consecutive records of one partition: either texts, or one deletion.

    `origins` are those of `entries`, one for one; a record of which nothing is kept is in `rejected`, or it
    teaches nothing. `vectors` (len(entries), dimension) are there once the entries have been embedded.
    """

    partition: int
    """The shard that it goes to."""
    records: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    deletion: Deletion | None = None

    def reject(self, rejections: Mapping[int, Rejection]) -> None:
        """Leave out the entries at these rows, and put aside the records that have no other."""
        if not rejections:
            return
        kept = [row for row in range(len(self.entries)) if row not in rejections]
        whole = {self.origins[row].record.offset for row in kept}
        gone = {self.origins[row].record.offset: row for row in rejections}
        rows = [row for offset, row in gone.items() if offset not in whole]
        self.rejected += [(self.origins[row].record, rejections[row]) for row in rows]
        self.entries = [self.entries[row] for row in kept]
        self.origins = [self.origins[row] for row in kept]

    def batch(self) -> Batch:
        """What to append. It brings the shard past the last record, even if that one is rejected."""
        keys = [None if origin.key is None else key_digest(origin.key) for origin in self.origins]
        # A record that could not be read has no digest that the log could be compared with later.
        readable = next((record for record in reversed(self.records) if not record.fault), None)
        return Batch(
            self.partition,
            self.records[-1].last_position,
            self.entries,
            self.vectors,
            keys=keys,
            replaces=[origin.replaces for origin in self.origins],
            mode=self._mode(),
            anchor=readable.anchor if readable else None,
        )

    def _mode(self) -> str:
        """How keyed texts are taken in, if one of them shows it."""
        shows = (origin for origin in self.origins if replaces(origin.key, upsert=True))
        return next((UPSERT if origin.replaces else APPEND for origin in shows), "")


def intakes_of(records: Sequence[Record], read: Read, vector_bytes: int = 0) -> list[Intake]:
    """The records of one partition, in their order: each deletion alone, and the texts between two deletions
    together, as far as one batch may hold them. `vector_bytes` is the size of one vector. Raises as `read`
    does, except `InvalidMessage`."""
    intakes: list[Intake] = []
    texts: Intake | None = None  # the one that the next text joins
    room_bytes = 0
    for record in records:
        said = _said(record, read)
        if isinstance(said, Deletion):
            intakes.append(Intake(record.shard, [record], deletion=said))
            texts = None
            continue
        entries = 1 if isinstance(said, InvalidMessage) else len(said.entries)
        size_bytes = len(record.value or b"") + entries * vector_bytes
        if texts is None or size_bytes > room_bytes:
            texts, room_bytes = Intake(record.shard), MAX_BATCH_BYTES
            intakes.append(texts)
        room_bytes -= size_bytes
        _add(texts, record, said)
    return intakes


def embed_intakes(
    intakes: Sequence[Intake], embedder: Embedder, known: Mapping[int, Vectors] | None = None
) -> None:
    """Give each intake the vectors of its entries, by one call of the embedder for all of them. Rejects what
    the embedder fails on and what embeds to zero. `known` vectors, by row, are not made again."""
    texts = [entry.text for intake in intakes for entry in intake.entries]
    vectors, failures = _embed(embedder, texts, known or {})
    # A text that embeds to zero ends here: it has no direction, so no cosine with it is defined (eq. 2).
    rejections = dict.fromkeys(np.flatnonzero(zero_rows(vectors)).tolist(), ZERO_VECTOR) | failures
    first = 0
    for intake in intakes:
        end = first + len(intake.entries)
        kept = [row for row in range(first, end) if row not in rejections]
        intake.vectors = vectors[kept]
        intake.reject({row - first: rejections[row] for row in range(first, end) if row in rejections})
        first = end


def _embed(
    embedder: Embedder, texts: Sequence[str], known: Mapping[int, Vectors]
) -> tuple[Vectors, dict[int, Rejection]]:
    if not known:
        return embed(embedder, texts)
    rows = [row for row in range(len(texts)) if row not in known]
    vectors = np.empty((len(texts), embedder.identity.dimension), np.int16)
    for row, vector in known.items():
        vectors[row] = vector
    failures: dict[int, Rejection] = {}
    if rows:
        vectors[rows], failed = embed(embedder, [texts[row] for row in rows])
        failures = {rows[row]: rejection for row, rejection in failed.items()}
    return vectors, failures


def _said(record: Record, read: Read) -> Taught | Deletion | InvalidMessage:
    try:
        return read(record)
    except InvalidMessage as invalid:
        return invalid


def _add(intake: Intake, record: Record, said: Taught | InvalidMessage) -> None:
    intake.records.append(record)
    if isinstance(said, InvalidMessage):
        intake.rejected.append((record, (said.reason, said.detail)))
    else:
        intake.entries += said.entries
        intake.origins += [Origin(record, said.key, said.replaces)] * len(said.entries)
