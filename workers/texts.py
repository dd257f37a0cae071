"""Records of the topic of texts: entries, or deletions of earlier ones.

A record without a value deletes: with the header `forget` the entry at that offset of its own partition, else
with a key every earlier entry of the partition that came under this key (Kafka's tombstone).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import structlog

from schemas import InvalidMessage, TextEvent
from schemas.dead_letter import Reason
from workers.core.context import Deletion, Entry, Vectors, key_digest
from workers.errors import TransientError
from workers.ports import Embedder, Record

log = structlog.get_logger()

Verdict = tuple[Reason, str] | None
"""Why an entry is put aside; None where it is not."""

FORGET = "forget"
"""The header: an offset in decimal digits."""


def entry_of(record: Record) -> Entry:
    """Raises `InvalidMessage` where it is no text, a tombstone that deletes nothing included."""
    if record.fault:
        raise InvalidMessage(record.fault.reason, record.fault.detail)
    if record.value is None and (named := record.header(FORGET)) is not None:
        raise InvalidMessage("tombstone", f"the header {FORGET} is no earlier offset: {named[:40]!r}")
    event = TextEvent.decode(record.value)
    at = record.offset, record.timestamp_ms
    return Entry(*at, event.context, event.text, event.answer, event.metadata, event.weight or 1)


def deletion_of(record: Record) -> Deletion | None:
    """What the record asks to delete; None where it is no deletion, or not a valid one."""
    if record.value is not None:
        return None
    if (named := record.header(FORGET)) is not None:
        offset = int(named) if named.isdigit() and len(named) < 20 else record.offset
        if offset >= record.offset:
            return None
        return Deletion(record.offset, record.timestamp_ms, targets=(offset,))
    if record.key is None:
        return None
    return Deletion(record.offset, record.timestamp_ms, key=key_digest(record.key))


def embedded(embedder: Embedder, texts: Sequence[str]) -> tuple[Vectors, list[Verdict]]:
    """The texts' vectors, and what to put aside: what the embedder fails on or maps to zero."""
    vectors, failures = embed_each(embedder, texts)
    zero: Verdict = ("zero-vector", "the text has nothing the embedder knows")
    return vectors, [
        failures.get(row) or (None if vectors[row].any() else zero) for row in range(len(vectors))
    ]


def embed_each(embedder: Embedder, texts: Sequence[str]) -> tuple[Vectors, dict[int, tuple[Reason, str]]]:
    """All texts at once; one at a time where that fails, so that one poisoned text stops nothing. Returns the
    vectors, zero for a text that failed, and by row what failed."""
    try:
        return embedder.embed(texts), {}
    except TransientError:
        raise
    except Exception as error:
        # Its message and its trace may quote a text, and texts of users have no place in logs.
        log.warning("embedding a batch failed; trying its texts one by one", error=type(error).__name__)
        log.debug("the failure of that batch", exc_info=True)
    vectors = np.zeros((len(texts), embedder.identity.dimension), np.int16)
    failures: dict[int, tuple[Reason, str]] = {}
    for row, text in enumerate(texts):
        try:
            vectors[row] = embedder.embed([text])[0]
        except TransientError:
            raise
        except Exception as error:
            failures[row] = ("embedder-failed", f"{type(error).__name__}: {error}")
    return vectors, failures
