"""Records on their way into the context: validated and embedded, or put aside with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog

from schemas import InvalidMessage, TextEvent
from schemas.dead_letter import Reason
from workers.core.context import Batch, Entry, Vectors
from workers.errors import TransientError
from workers.ports import Embedder, Record

log = structlog.get_logger()

Rejected = tuple[Record, Reason, str]
Verdict = tuple[Reason, str] | None
"""Why an entry is put aside; None where it is not."""


@dataclass(slots=True)
class Intake:
    """One partition's new records. `sources` are the records of `entries`; `rejected` are all others."""

    partition: int
    records: Sequence[Record]
    entries: list[Entry] = field(default_factory=list)
    sources: list[Record] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.int16))

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
        return Batch(self.partition, self.records[-1].offset, self.entries, self.vectors)


def validate(partition: int, records: Sequence[Record]) -> Intake:
    """Decode each record (at least one)."""
    intake = Intake(partition, records)
    for record in records:
        try:
            event = TextEvent.decode(record.value)
        except InvalidMessage as error:
            intake.rejected.append((record, error.reason, error.detail))
            continue
        intake.entries.append(
            Entry(record.offset, record.timestamp_ms, event.context, event.text, event.answer, event.metadata)
        )
        intake.sources.append(record)
    return intake


def embed(intakes: Sequence[Intake], embedder: Embedder) -> None:
    """Give each intake its vectors, by one call for all; rejects what fails or embeds to zero."""
    texts = [entry.text for intake in intakes for entry in intake.entries]
    vectors, failures = _embed_each(texts, embedder)
    zero: Verdict = ("zero-vector", "the text has nothing the embedder knows")
    verdicts = [failures.get(row) or (None if vector.any() else zero) for row, vector in enumerate(vectors)]
    first = 0
    for intake in intakes:
        end = first + len(intake.entries)
        mine = verdicts[first:end]
        intake.vectors = vectors[first:end][[verdict is None for verdict in mine]]
        intake.keep(mine)
        first = end


def _embed_each(texts: list[str], embedder: Embedder) -> tuple[Vectors, dict[int, Verdict]]:
    """All texts at once; one at a time where that fails, so that one poisoned text stops nothing."""
    try:
        return embedder.embed(texts), {}
    except TransientError:
        raise
    except Exception:
        log.exception("embedding a batch failed; trying its texts one by one")
    vectors = np.zeros((len(texts), embedder.identity.dimension), np.int16)
    failures: dict[int, Verdict] = {}
    for row, text in enumerate(texts):
        try:
            vectors[row] = embedder.embed([text])[0]
        except Exception as error:
            failures[row] = ("embedder-failed", f"{type(error).__name__}: {error}")
    return vectors, failures
