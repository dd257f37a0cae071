"""The exact similarity search over one context (equations 2 and 5), and what the weights predict for what it
finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import check_grid, zero_rows
from hurnet.core.index.answer_table import Answers
from hurnet.core.index.arena import Arena, within
from hurnet.core.index.teaching import Teaching, View
from hurnet.core.search import search as scan
from hurnet.core.search.blocks import BLOCK_ROWS, REMOVED, Blocks, RowColumns, numbers_of
from hurnet.core.search.bounds import MAX_DIMENSION
from hurnet.core.search.search import EntryId
from hurnet.core.solve.window import NOTHING_AGES, Window
from hurnet.core.stored.batch import Vectors
from hurnet.core.stored.entries import NO_ANSWER, Entries, Entry

if TYPE_CHECKING:
    from hurnet.core.search.device import Device

__all__ = ["ContextIndex", "EntryId", "Matches"]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The nearest rows of one query, best first, with their exact cosines rounded to float64.

    `predicted` (rows,) is ⟨Px, B_a⟩ of each row's answer (equation 3 for one-hot answers, B_a the sum of the
    rows that teach answer a); None if there are no weights.
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float64]
    predicted: NDArray[np.float64] | None


class ContextIndex:
    """The rows of one named context in memory, in the order in which they were appended.

    Appending and removing is for one thread; others may search meanwhile, and see what had been appended
    before they began. Row numbers, which need not be in that order, hold until the next `remove`. An entry
    without an answer is its own answer, but teaches nothing. A search over many rows shares them among
    `threads`, or is done on `device`. Raises ValueError for a dimension beyond MAX_DIMENSION.
    """

    def __init__(
        self,
        dimension: int,
        window: Window = NOTHING_AGES,
        threads: int = 1,
        device: Device | None = None,
    ) -> None:
        if not 1 <= dimension <= MAX_DIMENSION:
            raise ValueError(f"an index has 1 to {MAX_DIMENSION} dimensions, not {dimension}")
        self.dimension = dimension
        self._threads = threads
        self._context = ""
        self._arena = Arena()
        self._blocks = Blocks(self.dimension, device)
        self._teaching = Teaching(self._blocks, self._arena, window)
        self._publish()

    def _publish(self) -> None:
        self._view = View(self._blocks.snapshot, self._teaching.links)

    def __len__(self) -> int:
        return self._blocks.snapshot.rows - self._blocks.removed

    @property
    def answers(self) -> Answers:
        """All answers, by their numbers."""
        return self._teaching.answers

    def entry(self, row: int) -> Entry:
        """The entry at `row`. Raises KeyError where it has been removed."""
        columns, at = self._blocks.locate(row)
        place, length = self._place(row)
        return Entry(
            columns.offsets.item(at),
            columns.timestamps_ms.item(at),
            self._context,
            self._arena.get(place, length).decode(),
            self.answers[columns.answers.item(at)] if columns.teaches[at] else None,
            self._arena.metadata(place, length),
            columns.copies.item(at),
        )

    def text(self, row: int) -> str:
        """The text of the entry at `row`, without the rest. Raises KeyError where it has been removed."""
        return self._arena.get(*self._place(row)).decode()

    def _place(self, row: int) -> tuple[int, int]:
        columns, at = self._blocks.locate(row)
        if columns.texts[at] == REMOVED:
            raise KeyError(row)
        return columns.texts.item(at), columns.lengths.item(at)

    def entry_id(self, row: int) -> EntryId:
        """The identity of the entry at `row`."""
        at = np.array([row])
        return int(self._blocks.snapshot.column("partitions", at)[0]), int(
            self._blocks.snapshot.column("offsets", at)[0]
        )

    def find(self, coordinates: EntryId) -> int | None:
        """The row of the entry at `coordinates`; None where there is none."""
        return self._blocks.snapshot.find(*coordinates)

    def find_all(self, partition: int, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of a partition at these offsets (n,), which ascend, in no order; those that there are."""
        return self._blocks.snapshot.find_all(partition, offsets)

    def offsets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The offset of each row."""
        return self._blocks.snapshot.column("offsets", rows)

    def answer_ids(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The answer of each row, as an index into `answers`."""
        return self._blocks.snapshot.column("answers", rows)

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """How many copies each row is, halved for each half-life that it is older than the newest of them;
        None where no row can count other than once."""
        sums = self._teaching.sums
        if not (sums.weighted or sums.window.half_life_ms):
            return None
        recency = sums.window.recency(self._blocks.snapshot.column("timestamps_ms", rows))
        counts: NDArray[np.float64] = recency * self._blocks.snapshot.column("copies", rows)
        return counts

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Grid rows (len(rows), d), in float32."""
        return self._blocks.snapshot.vectors(rows).astype(np.float32)

    def age_to(self, window: Window) -> None:
        """From now on rows weigh in the weights as in this window, of the same half-life. For the thread that
        appends, while no other searches."""
        self._teaching.sums.age_to(window)

    def append(self, partition: int, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add entries of one partition, all of one context, with their grid rows (n, d). Raises ValueError
        for a row of zeros, vectors that do not fit or leave the grid, and entries of another context."""
        if vectors.dtype != np.int16 or vectors.shape != (len(entries), self.dimension):
            raise ValueError(f"{len(entries)} entries of {self.dimension} int16 do not fit {vectors.shape}")
        check_grid(vectors)
        if zero_rows(vectors).any():
            raise ValueError("a vector of zeros has no cosine")
        if len(entries):
            self._add(np.full(len(entries), partition), Entries.of(entries), vectors)

    def _add(self, partitions: NDArray[np.int64], entries: Entries, vectors: Vectors) -> None:
        if {*entries.contexts, self._context or entries.contexts[0]} != {entries.contexts[0]}:
            raise ValueError(
                f"an index of context {self._context!r} can't take entries of {entries.contexts}"
            )
        self._context = entries.contexts[0]
        places = self._arena.put_texts(entries)
        answers = self._teaching.number(entries, places.texts)
        teaches = entries.answer_of != NO_ANSWER
        rows = numbers_of(self._blocks.places(len(entries)))
        self._teaching.enchain(answers, rows, teaches)
        named = (
            partitions,
            entries.offsets,
            entries.timestamps_ms,
            entries.copies,
            answers,
            teaches,
        )
        self._teaching.sums.weighted |= bool((entries.copies != 1).any())
        self._blocks.append(vectors, RowColumns(*named, *places))
        self._publish()
        self._teaching.appended(rows[teaches], answers[teaches])

    def remove(self, partition: int, offset: int) -> bool:
        """Forget the entry of these coordinates; False where there is none.

        It matches and teaches nothing from then on, and its text and metadata are gone, its answer too where
        no other entry has it. Once a quarter of all rows, and at least a block of them, are removed ones, a
        call gives up the block that has most of them and moves its other rows, which renumbers these; and
        likewise a chunk of the arena. No call does more than one of that, which is enough to keep up."""
        row = self._blocks.snapshot.find(partition, offset)
        if row is not None:
            self._forget(row)
            self._tidy()
        return row is not None

    def remove_all(self, partition: int, offsets: NDArray[np.int64]) -> None:
        """The same for those of these offsets (n,) that there are."""
        rows = self.find_all(partition, np.unique(offsets))
        for row in rows.tolist():  # their numbers hold until all are forgotten
            self._forget(row)
        for _ in rows:
            if not self._tidy():
                break

    def _forget(self, row: int) -> None:
        place = self._place(row)
        self._teaching.removed(row)
        self._blocks.remove(row)
        self._arena.erase(*place)

    def _tidy(self) -> bool:
        """Give up a block, or a chunk of the arena; False if no such has to be."""
        if (block := self._blocks.emptiest()) is not None:
            self._move_block(block)
        elif (chunk := self._arena.emptiest()) is not None:
            self._move_chunk(chunk)
        else:
            return False
        return True

    def _move_block(self, block: int) -> None:
        first, size = block * BLOCK_ROWS, self._blocks.snapshot.filled[block]
        self._teaching.moved(first, first + size, *self._blocks.move(block))
        self._publish()

    def _move_chunk(self, chunk: int) -> None:
        old, new = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for columns, size in self._blocks.snapshot.held():
            at = np.flatnonzero(within(chunk, columns.texts[:size]))
            texts, lengths = columns.texts[at], columns.lengths[at]
            columns.texts[at] = moved = self._arena.move(texts, lengths)
            some = (lengths != 0) & (lengths != ~0)
            old.append(texts[some])
            new.append(moved[some])
        self.answers.move(chunk, np.concatenate(old), np.concatenate(new))
        self._arena.drop(chunk)

    def search(
        self,
        queries: Vectors,
        k: int,
        predictions: NDArray[np.float64] | None = None,
        exclude: Sequence[EntryId | None] | None = None,
    ) -> list[Matches]:
        """The k nearest rows of each query (n, d) by exact cosine, ties to the lowest (partition, offset).

        `predictions` (n, d) are `weights.predict` of the queries; `exclude` names an entry per query that
        must not answer it.
        A query of zeros matches nothing. Raises ValueError for queries that do not fit or leave the grid."""
        if queries.dtype != np.int16 or queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ValueError(
                f"queries must be int16 (n, {self.dimension}), not {queries.dtype} {queries.shape}"
            )
        excluded, view = exclude or [None] * len(queries), self._view
        found = scan.search(view.snapshot, queries, k, excluded, self._threads, self._blocks.device)
        if predictions is None:
            return [Matches(rows, cosines, None) for rows, cosines in found]
        return [
            Matches(rows, cosines, self._predicted(view, prediction, rows, own))
            for (rows, cosines), prediction, own in zip(found, predictions, excluded, strict=True)
        ]

    def _predicted(
        self,
        view: View,
        prediction: NDArray[np.float64],
        rows: NDArray[np.int64],
        exclude: EntryId | None,
    ) -> NDArray[np.float64]:
        own = None if exclude is None else view.snapshot.find(*exclude)
        answers = view.snapshot.column("answers", rows)
        return self._teaching.predicted(view, prediction, answers, own)
