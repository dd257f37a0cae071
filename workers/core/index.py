"""The exact similarity search over one context (equations 2 and 5), and what the weights predict for what it
finds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.core import scan
from workers.core.blocks import BLOCK_ROWS, Blocks, Columns
from workers.core.bounds import MAX_DIMENSION
from workers.core.context import Entry, Vectors
from workers.core.grid import check_grid, zero_rows
from workers.core.scan import Coordinates
from workers.core.teaching import Teaching

__all__ = ["ContextIndex", "Coordinates", "Matches"]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The nearest rows of one query, best first, with their exact cosines rounded to float64.

    `weights` (rows,) is ⟨Px, B_a⟩ of each row's answer (equation 3 for one-hot answers, B_a the sum of the
    rows that teach answer a), plus n_a·t with an intercept; None where there are no weights.
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float64]
    weights: NDArray[np.float64] | None


class ContextIndex:
    """The rows of one named context in memory, in the order in which they were appended.

    Appending and removing is for one thread; others may search meanwhile, and see what had been appended
    before they began. Row numbers hold until the next `remove`. An entry without an answer is its own
    answer, but teaches nothing. A search over many rows shares them among `threads`. Raises ValueError for a
    dimension beyond MAX_DIMENSION.
    """

    def __init__(self, dimension: int, threads: int = 1) -> None:
        if not 1 <= dimension <= MAX_DIMENSION:
            raise ValueError(f"an index has 1 to {MAX_DIMENSION} dimensions, not {dimension}")
        self.dimension = dimension
        self._threads = threads
        self._entries: list[Entry | None] = []
        self._removed = 0
        self._blocks = Blocks(self.dimension)
        self._teaching = Teaching(self._blocks)

    def __len__(self) -> int:
        return self._blocks.snapshot.rows - self._removed

    @property
    def answers(self) -> list[str]:
        """All answers, by their numbers."""
        return self._teaching.answers

    def entry(self, row: int) -> Entry:
        """The entry at `row`. Raises KeyError where it has been removed."""
        entry = self._entries[row]
        if entry is None:
            raise KeyError(row)
        return entry

    def coordinates(self, row: int) -> Coordinates:
        """The identity of the entry at `row`."""
        at = np.array([row])
        return int(self._blocks.snapshot.column("partitions", at)[0]), int(
            self._blocks.snapshot.column("offsets", at)[0]
        )

    def find(self, coordinates: Coordinates) -> int | None:
        """The row of the entry at `coordinates`; None where there is none."""
        return self._blocks.find(*coordinates)

    def answer_ids(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The answer of each row, as an index into `answers`."""
        return self._blocks.snapshot.column("answers", rows)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Grid rows (len(rows), d), in float32."""
        return self._blocks.snapshot.vectors(rows).astype(np.float32)

    def append(self, partition: int, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add entries of one partition with their grid rows (n, d). Raises ValueError for a row of zeros and
        for vectors that do not fit or leave the grid."""
        if vectors.dtype != np.int16 or vectors.shape != (len(entries), self.dimension):
            raise ValueError(f"{len(entries)} entries of {self.dimension} int16 do not fit {vectors.shape}")
        check_grid(vectors)
        if zero_rows(vectors).any():
            raise ValueError("a vector of zeros has no cosine")
        self._add(np.full(len(entries), partition, dtype=np.int64), entries, vectors)

    def _add(self, partitions: NDArray[np.int64], entries: Sequence[Entry], vectors: Vectors) -> None:
        first = self._blocks.snapshot.rows
        columns = self._columns(partitions, entries, first)
        self._entries.extend(entries)
        self._blocks.append(vectors, columns)
        self._teaching.appended(np.arange(first, first + len(entries)))

    def _columns(self, partitions: NDArray[np.int64], entries: Sequence[Entry], first: int) -> Columns:
        answers = [self._teaching.number(entry) for entry in entries]
        teaches = [entry.answer is not None for entry in entries]
        previous = [
            self._teaching.enchain(answer, row) if taught else -1
            for row, (answer, taught) in enumerate(zip(answers, teaches, strict=True), first)
        ]
        return Columns(
            partitions=partitions,
            offsets=np.array([entry.offset for entry in entries], dtype=np.int64),
            answers=np.array(answers, dtype=np.int64),
            teaches=np.array(teaches, dtype=np.bool_),
            previous=np.array(previous, dtype=np.int64),
        )

    def remove(self, partition: int, offset: int) -> bool:
        """Forget the entry of these coordinates; False where there is none.

        It matches and teaches nothing from then on, and its text and metadata are gone, its answer too where
        no other entry has it. Its vector goes when a quarter of the rows, and at least a block of them, have
        been removed: the others are then written anew, which takes a moment and renumbers them."""
        row = self._blocks.find(partition, offset)
        if row is None:
            return False
        self._teaching.removed(row)
        self._blocks.remove(row)
        self._entries[row] = None
        self._removed += 1
        if self._removed >= max(BLOCK_ROWS, self._blocks.snapshot.rows // 4):
            self._compact()
        return True

    def _compact(self) -> None:
        fresh, alive = ContextIndex(self.dimension, self._threads), self._blocks.alive()
        for first in range(0, len(alive), BLOCK_ROWS):
            rows = alive[first : first + BLOCK_ROWS]
            entries = [self.entry(row) for row in rows.tolist()]
            fresh._add(
                self._blocks.snapshot.column("partitions", rows), entries, self._blocks.snapshot.vectors(rows)
            )
        self._entries, self._removed = fresh._entries, 0
        self._blocks, self._teaching = fresh._blocks, fresh._teaching

    def search(
        self,
        queries: Vectors,
        k: int,
        predictions: NDArray[np.float64] | None = None,
        exclude: Sequence[Coordinates | None] | None = None,
    ) -> list[Matches]:
        """The k nearest rows of each query (n, d) by exact cosine, ties to the lowest (partition, offset).

        `predictions` are `weights.predict` of the queries: (n, d), or with an intercept (n, d + 1), whose
        last column every row that teaches adds; `exclude` names an entry per query that must not answer it.
        A query of zeros matches nothing. Raises ValueError for queries that do not fit or leave the grid."""
        if queries.dtype != np.int16 or queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ValueError(
                f"queries must be int16 (n, {self.dimension}), not {queries.dtype} {queries.shape}"
            )
        excluded = exclude or [None] * len(queries)
        found = scan.search(self._blocks.snapshot, queries, k, excluded, self._threads)
        if predictions is None:
            return [Matches(rows, cosines, None) for rows, cosines in found]
        return [
            Matches(rows, cosines, self._predicted(prediction, rows, own))
            for (rows, cosines), prediction, own in zip(found, predictions, excluded, strict=True)
        ]

    def _predicted(
        self, prediction: NDArray[np.float64], rows: NDArray[np.int64], exclude: Coordinates | None
    ) -> NDArray[np.float64]:
        own = None if exclude is None else self._blocks.find(*exclude)
        products, constant = prediction[: self.dimension], float(prediction[self.dimension :].sum())
        return self._teaching.predicted(products, constant, self.answer_ids(rows), own)
