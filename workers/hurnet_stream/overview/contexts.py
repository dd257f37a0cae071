"""What the store holds, by context: how much, its entries page by page, and its answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from hurnet_stream.adapters.redis import Connection, RedisEntryStore, RedisWeightsStore
from hurnet_stream.adapters.redis.context_entries import RedisContextEntries
from hurnet_stream.core.stored.entries import Entry, EntryId
from hurnet_stream.overview.system_status import Published, Status

SCANNED_MOST: Final = 20_000
"""Entries that are looked at for the answers of a context."""
ANSWERS_MOST: Final = 1_000
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class ContextSize:
    """What the store holds of one context. `rows` counts deleted ones, too, until they are erased; `bytes`
    are those of vectors and texts. `pairs`, `answers` and `weights` (the version) are of the weights in
    force, or None."""

    name: str
    rows: int
    bytes: int
    pairs: int | None = None
    answers: int | None = None
    weights: int | None = None


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """An answer, and how many entries have it."""

    answer: str
    entries: int


def context_sizes(connection: Connection, published: Published) -> tuple[list[ContextSize], list[str]]:
    """All contexts by name, and what could not be read."""
    store, status = RedisEntryStore(connection), Status()
    published.read(status, RedisWeightsStore(connection))
    weights = {told["context"]: told for told in status.weights}
    sums = {name: [0, 0] for name in sorted(store.contexts())}
    for shard in store.holdings().values():
        for name, holding in shard.items():
            if name in sums:
                sums[name][0] += holding.rows
                sums[name][1] += holding.bytes
    sizes = []
    for name, (rows, size) in sums.items():
        told = weights.get(name)
        of_weights = (
            (round(told["certificate"]["count"]), told["certificate"]["answers"], told["version"])
            if told
            else (None, None, None)
        )
        sizes.append(ContextSize(name, rows, size, *of_weights))
    return sizes, status.problems


def entries_page(
    connection: Connection, context: str, after: EntryId | None, most: int
) -> list[tuple[int, Entry]]:
    """The next entries of a context, each with its partition."""
    return RedisContextEntries(connection).page(context, after, most)


def answer_counts(connection: Connection, context: str) -> tuple[list[AnswerCount], bool]:
    """The answers of a context, the most frequent first, and whether all of its entries were looked at. A
    text without an answer is its own; an entry that refutes has none."""
    reader, counts = RedisContextEntries(connection), Counter[str]()
    after: EntryId | None = None
    for _ in range(SCANNED_MOST // PAGE):
        page = reader.page(context, after, PAGE)
        counts.update(e.text if e.answer is None else e.answer for _, e in page if not e.refutes)
        if len(page) < PAGE:
            return _most_common(counts), len(counts) <= ANSWERS_MOST
        after = page[-1][0], page[-1][1].offset
    return _most_common(counts), False


def _most_common(counts: Counter[str]) -> list[AnswerCount]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [AnswerCount(answer, count) for answer, count in ordered[:ANSWERS_MOST]]
