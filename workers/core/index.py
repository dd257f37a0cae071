"""The exact similarity search over one context (equations 2 and 5), and the weights' scores in the same pass.

A row's cosine with the query is first taken in float32 by a matrix product. Grid integers are exact in
float32, so its only errors are those of a sum of d products: |fl(q·x) - q·x| <= γ_d Σ|q_i x_i| <= γ_d |q||x|
in any order of summation, γ_n = n u / (1 - n u), u = 2**-24 (Higham, "Accuracy and Stability of Numerical
Algorithms", 3.1). Scaling by 1/(|q||x|) adds a few roundings, so a float32 cosine is within ε = γ_(d+8) of
the true one. If t is the k-th largest float32 cosine, the k-th largest true one is at least t - ε, and a row
below t - 2ε in float32 is not among the k best. All others are scored again in integers and compared
exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.core.context import Entry, Vectors
from workers.core.grid import SCALE, squared_norms

BLOCK_ROWS = 1 << 14
_SLICE_ROWS = 512
_SCORES_AT_ONCE = 1 << 24  # of queries x rows held at a time: 64 MiB in float32
_CLOSE = 1e-12  # float64 cosines farther apart than this are in the right order: their error is below 1e-15

Coordinates = tuple[int, int]
"""Partition and offset of an entry."""


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The nearest rows of one query, best first, with their exact cosines rounded to float64.

    `weights` is ⟨Px, B_a⟩ by answer id (equation 3 for one-hot answers, B_a the sum of the rows that teach
    answer a); None where there are no weights.
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float64]
    weights: NDArray[np.float64] | None


class _Block:
    """Up to BLOCK_ROWS rows, allocated once: appending never moves what is there."""

    def __init__(self, dimension: int) -> None:
        self.plane = np.empty((BLOCK_ROWS, dimension), dtype=np.float32)
        self.partitions = np.empty(BLOCK_ROWS, dtype=np.int64)
        self.offsets = np.empty(BLOCK_ROWS, dtype=np.int64)
        self.norms = np.empty(BLOCK_ROWS, dtype=np.int64)
        self.inverse = np.empty(BLOCK_ROWS, dtype=np.float32)
        self.answers = np.empty(BLOCK_ROWS, dtype=np.int64)
        self.teaches = np.empty(BLOCK_ROWS, dtype=np.float64)
        self.removed = np.zeros(BLOCK_ROWS, dtype=np.bool_)


class ContextIndex:
    """The rows of one named context in memory, in the order in which they were appended.

    An entry without an answer is its own answer, but teaches nothing: it has no part in the weights' scores.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.answers: list[str] = []
        self._answer_ids: dict[str, int] = {}
        self._entries: list[Entry | None] = []
        self._removed = 0
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return len(self._entries) - self._removed

    def entry(self, row: int) -> Entry:
        """The entry at `row`. Raises KeyError where it has been removed."""
        entry = self._entries[row]
        if entry is None:
            raise KeyError(row)
        return entry

    def coordinates(self, row: int) -> Coordinates:
        """The identity of the entry at `row`."""
        block, at = self._blocks[row // BLOCK_ROWS], row % BLOCK_ROWS
        return int(block.partitions[at]), int(block.offsets[at])

    def answer_ids(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The answer of each row, as an index into `answers`."""
        return self._gather("answers", rows)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Grid rows (len(rows), d), in float32."""
        return self._gather("plane", rows)

    def append(self, partition: int, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add entries of one partition with their grid rows (n, d). Raises ValueError for a row of zeros and
        for vectors that do not fit."""
        if vectors.dtype != np.int16 or vectors.shape != (len(entries), self.dimension):
            raise ValueError(f"{len(entries)} entries of {self.dimension} int16 do not fit {vectors.shape}")
        norms = squared_norms(vectors)
        if not norms.all():
            raise ValueError("a vector of zeros has no cosine")
        done = 0
        while done < len(entries):
            done += self._fill(partition, entries[done:], vectors[done:], norms[done:])

    def remove(self, partition: int, offset: int) -> bool:
        """Forget the entry of these coordinates; False where there is none. Its row's number is not reused.

        Nothing of its text, its vector or its answer (unless another entry has it too) stays."""
        for first, block, size in self._filled():
            for at in _where(block, size, (partition, offset)):
                if not block.removed[at]:
                    self._clear(block, int(at))
                    self._entries[first + int(at)] = None
                    self._removed += 1
                    return True
        return False

    def _clear(self, block: _Block, at: int) -> None:
        block.removed[at] = True
        block.plane[at] = block.teaches[at] = 0
        answer = block.answers[at]
        if not any(((b.answers[:n] == answer) & ~b.removed[:n]).any() for _, b, n in self._filled()):
            del self._answer_ids[self.answers[answer]]
            self.answers[answer] = ""

    def _fill(
        self, partition: int, entries: Sequence[Entry], vectors: Vectors, norms: NDArray[np.int64]
    ) -> int:
        at = len(self._entries) % BLOCK_ROWS
        if at == 0:
            self._blocks.append(_Block(self.dimension))
        block, n = self._blocks[-1], min(len(entries), BLOCK_ROWS - at)
        to = slice(at, at + n)
        block.plane[to], block.norms[to] = vectors[:n], norms[:n]
        block.inverse[to] = 1.0 / np.sqrt(norms[:n])
        block.partitions[to] = partition
        block.offsets[to] = [entry.offset for entry in entries[:n]]
        block.answers[to] = [self._answer_id(entry) for entry in entries[:n]]
        block.teaches[to] = [entry.answer is not None for entry in entries[:n]]
        self._entries.extend(entries[:n])
        return n

    def _answer_id(self, entry: Entry) -> int:
        answer = entry.text if entry.answer is None else entry.answer
        found = self._answer_ids.setdefault(answer, len(self.answers))
        if found == len(self.answers):
            self.answers.append(answer)
        return found

    def search(
        self,
        queries: Vectors,
        k: int,
        predictions: NDArray[np.float64] | None = None,
        exclude: Sequence[Coordinates | None] | None = None,
    ) -> list[Matches]:
        """The k nearest rows of each query (n, d) by exact cosine, ties to the lowest (partition, offset).

        `predictions` (n, d) are the queries times P, in units of the vectors; `exclude` names an entry per
        query that must not answer it. A query of zeros matches nothing."""
        if queries.dtype != np.int16 or queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ValueError(
                f"queries must be int16 (n, {self.dimension}), not {queries.dtype} {queries.shape}"
            )
        if not len(self):
            return [_nothing(predictions is not None) for _ in queries]
        excluded = exclude or [None] * len(queries)
        step = max(1, _SCORES_AT_ONCE // len(self._entries))
        found: list[Matches] = []
        for i in range(0, len(queries), step):
            part = slice(i, i + step)
            ahead = None if predictions is None else predictions[part]
            found += self._search(queries[part], k, ahead, excluded[part])
        return found

    def _search(
        self,
        queries: Vectors,
        k: int,
        predictions: NDArray[np.float64] | None,
        exclude: Sequence[Coordinates | None],
    ) -> list[Matches]:
        n = len(queries)
        left = queries.astype(np.float32)
        if predictions is not None:
            left = np.vstack([left, predictions.astype(np.float32)])
        cosines = np.empty((n, len(self._entries)), dtype=np.float32)
        totals = np.zeros((n, len(self.answers)))
        with np.errstate(divide="ignore"):
            inverse = np.float32(1.0) / np.sqrt(squared_norms(queries)).astype(np.float32)
        for first, block, size in self._filled():
            products = _products(left, block.plane[:size])
            mine = cosines[:, first : first + size]
            np.multiply(products[:n], block.inverse[:size], out=mine)
            mine *= np.where(np.isfinite(inverse), inverse, 0)[:, None]
            mine[:, block.removed[:size]] = -np.inf
            for q, own in enumerate(exclude):
                out = None if own is None else _where(block, size, own)
                if out is not None:
                    mine[q, out] = -np.inf
                if predictions is not None:
                    totals[q] += self._taught(block, products[n + q], out)
        weights = totals / SCALE if predictions is not None else None
        return [
            self._nearest(queries[q], k, cosines[q], None if weights is None else weights[q])
            for q in range(n)
        ]

    def _filled(self) -> list[tuple[int, _Block, int]]:
        """(first row, block, rows in it) of each block."""
        return [
            (i * BLOCK_ROWS, block, min(BLOCK_ROWS, len(self._entries) - i * BLOCK_ROWS))
            for i, block in enumerate(self._blocks)
        ]

    def _taught(
        self, block: _Block, scores: NDArray[np.float32], out: NDArray[np.int64] | None
    ) -> NDArray[np.float64]:
        """Sum of the scores of a block's training rows by answer."""
        taught = scores * block.teaches[: len(scores)]
        if out is not None:
            taught[out] = 0.0
        sums = np.bincount(block.answers[: len(scores)], weights=taught, minlength=len(self.answers))
        return sums.astype(np.float64, copy=False)

    def _nearest(
        self, query: Vectors, k: int, cosines: NDArray[np.float32], weights: NDArray[np.float64] | None
    ) -> Matches:
        rows = _survivors(cosines, k, self.dimension) if query.any() else np.empty(0, dtype=np.int64)
        # Exact: |q·x| <= d 2**30, below 2**53 for any d up to eight million.
        dots = (self.vectors(rows).astype(np.float64) @ query.astype(np.float64)).astype(np.int64)
        norms = self._gather("norms", rows)
        ranks = _exact_ranks(dots, norms)
        order = np.lexsort((self._gather("offsets", rows), self._gather("partitions", rows), ranks))[:k]
        own = float(np.sqrt(squared_norms(query[None])[0]))
        return Matches(rows[order], dots[order] / (np.sqrt(norms[order]) * own), weights)

    def _gather(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The named column of `rows`, whatever blocks they lie in."""
        column = getattr(self._blocks[0], name)
        out = np.empty((len(rows), *column.shape[1:]), dtype=column.dtype)
        home = rows // BLOCK_ROWS
        for i in np.unique(home):
            inside = home == i
            out[inside] = getattr(self._blocks[i], name)[rows[inside] % BLOCK_ROWS]
        return out


def _nothing(weighted: bool) -> Matches:
    return Matches(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0) if weighted else None)


def _where(block: _Block, size: int, own: Coordinates) -> NDArray[np.int64]:
    return np.flatnonzero((block.partitions[:size] == own[0]) & (block.offsets[:size] == own[1]))


def _products(left: NDArray[np.float32], plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """left (n, d) times plane (rows, d) transposed, by slices: what BLAS packs then stays in the cache,
    which for few queries is twice as fast as one product."""
    out = np.empty((len(left), len(plane)), dtype=np.float32)
    right = np.ascontiguousarray(left.T)
    for at in range(0, len(plane), _SLICE_ROWS):
        to = slice(at, at + _SLICE_ROWS)
        out[:, to] = (plane[to] @ right).T
    return out


def _survivors(cosines: NDArray[np.float32], k: int, dimension: int) -> NDArray[np.int64]:
    """Rows that may be among the k with the largest true cosines; never those at -inf, which are excluded."""
    if k < 1 or not len(cosines):
        return np.empty(0, dtype=np.int64)
    unit = (dimension + 8) * 2.0**-24
    bound = unit / (1 - unit)
    kth = np.partition(cosines, -k)[-k] if k < len(cosines) else -np.inf
    return np.flatnonzero((cosines >= np.float64(kth) - 2 * bound) & (cosines > -np.inf))


def _exact_ranks(dots: NDArray[np.int64], norms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of each row by dot/sqrt(norm), the largest 0, equal values with equal ranks; compared in
    integers."""
    if not len(dots):
        return np.empty(0, dtype=np.int64)
    pairs, back = np.unique(np.stack([dots, norms], axis=1), axis=0, return_inverse=True)
    values = pairs[:, 0] / np.sqrt(pairs[:, 1])
    order = np.argsort(-values)
    apart = -np.diff(values[order]) > _CLOSE * np.abs(values).max()
    chain = np.concatenate([[0], np.cumsum(apart)])  # of values that float64 can't be trusted to order
    ranks = np.empty(len(pairs), dtype=np.int64)
    ranks[order] = chain * len(pairs)
    for c in np.flatnonzero(np.bincount(chain) > 1):
        last, step = None, 0
        for pair, i in sorted(((_pair(pairs[i]), int(i)) for i in order[chain == c]), key=_by_cosine):
            step += last is not None and _compare(last, pair) != 0
            ranks[i] += step
            last = pair
    return ranks[back.reshape(-1)]


def _pair(row: NDArray[np.int64]) -> tuple[int, int]:
    return int(row[0]), int(row[1])


def _compare(a: tuple[int, int], b: tuple[int, int]) -> int:
    """Negative where a's dot/sqrt(norm) is the larger, 0 where they are equal; Python's integers don't
    overflow."""
    left, right = a[0] * abs(a[0]) * b[1], b[0] * abs(b[0]) * a[1]
    return (left < right) - (left > right)


_COSINE = cmp_to_key(_compare)


def _by_cosine(item: tuple[tuple[int, int], int]) -> Any:
    return _COSINE(item[0])
