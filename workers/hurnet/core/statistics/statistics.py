"""Sufficient statistics of the training pairs of one context: everything the closed form (eq. 3, 10) needs.

With X (m, d) the pairs' grid rows and Y (m, A) their answers, one-hot over an open vocabulary:
G = XᵀX, C = XᵀY whose column a is B_a, the sum of the rows answered by a, and n_a, the number of those rows;
tr(YᵀY) = m. One row more or less changes none of their sizes. A row of weight w (eq. 14, 15: μ as the weights
of entries) is w copies of it: it counts w times in m and n_a, and G = XᵀDX, B_a = Σ w x, D the weights.

All of it is integers, in units of the grid (2⁻¹⁴; 2⁻²⁸ for G), summed without rounding (`gram.py`) and held
by int64 up to 2³⁵ - 1 rows, copies counted. Hence the same bytes under any order, batching or partition, on
any device, and removing rows gives the state of never having seen them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hurnet.core.device import float64_device
from hurnet.core.statistics.answer_sums import (
    BLOCK_ANSWERS,
    AnswerSum,
    Weights,
    check_pairs,
    checked,
    copies,
    delta_of,
    deltas_of,
    same_sums,
    updated,
)
from hurnet.core.statistics.codec import check_gram, pack_gram, pack_sum, unpack_gram, unpack_sum
from hurnet.core.statistics.gram import MAX_ROWS, add_gram, add_weighted_gram, blocks, fastest, mirrored
from hurnet.core.stored.batch import Vectors

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Statistics:
    """Count, G and the B_a of one context's pairs, in `dimension` d.

    `device` ("auto", "cuda", "cpu", ...) is where products are taken; it changes no bit of the result.
    Every change is made whole or, when it raises, not at all. Not safe for use by several threads at once.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]  # it changes

    def __init__(self, dimension: int, device: str = "cpu") -> None:
        if dimension < 1:
            raise ValueError(f"dimension must be at least 1, not {dimension}")
        self.dimension: Final = dimension
        self.device = device
        self.count = 0
        self._place = float64_device(device)
        self._gram: Integers = np.zeros((dimension, dimension), np.int64)  # its upper triangle counts
        self._sums: dict[str, AnswerSum] = {}
        self._changed: set[str] = set()
        self._cross: Floats = np.zeros((dimension, dimension))
        self._crossed: dict[str, AnswerSum | None] = {}  # answers changed since, as they were in _cross

    @property
    def path(self) -> str:
        """Which of the ways in `gram.py` sums G here; measured at first use, some milliseconds."""
        return fastest(self.dimension, self._place)

    @property
    def gram(self) -> Integers:
        """G = XᵀX, (d, d) int64 in units of 2**-28; read-only, as it is now."""
        full = mirrored(self._gram)
        full.flags.writeable = False
        return full

    @property
    def sums(self) -> Mapping[str, AnswerSum]:
        """n_a and B_a by answer; a read-only view, in no particular order."""
        return MappingProxyType(self._sums)

    @property
    def changed(self) -> frozenset[str]:
        """Answers whose sum was changed, added or (then missing from `sums`) dropped since `mark_saved`."""
        return frozenset(self._changed)

    def mark_saved(self) -> None:
        """The present state is on disk: from here on `changed` is counted anew."""
        self._changed.clear()

    def add(self, rows: Vectors, answers: Sequence[str], weights: Weights | None = None) -> None:
        """Fold in pairs: `rows` (n, d) int16 on the grid, `answers` n strings, `weights` (n,) int64 from 1.

        Raises ValueError for wrong shapes or types, components beyond the grid, answers that UTF-8 can't
        hold and weights below 1; OverflowError where the weights go beyond `MAX_ROWS`.
        """
        check_pairs(rows, answers, self.dimension)
        weights = checked(weights, len(rows))
        count = self._count_after(copies(rows, weights))
        delta = delta_of(rows, answers, weights)
        updates = updated(self._sums, delta, sign=1)
        self._add_gram(rows, weights, self._gram)  # the last that can fail
        self._put(count, updates)

    def subtract(self, rows: Vectors, answers: Sequence[str], weights: Weights | None = None) -> None:
        """Take out pairs that were added: afterwards nothing tells that they ever were.

        Raises ValueError as `add` does, and where the pairs can't all have been in (more of an answer than
        there are, a sum that its remaining rows could not make); it can't tell every pair never added.
        """
        check_pairs(rows, answers, self.dimension)
        weights = checked(weights, len(rows))
        count = self._count_after(-copies(rows, weights))
        delta = delta_of(rows, answers, weights)
        updates = updated(self._sums, delta, sign=-1)
        gone = np.zeros_like(self._gram)
        self._add_gram(rows, weights, gone)
        left = np.triu(self._gram - gone)
        check_gram(left, count)
        self._gram = left
        self._put(count, updates)

    def merge(self, other: Statistics, times: int = 1) -> None:
        """Fold in all of `other`, `times` over. Raises ValueError for another dimension, else as `add`."""
        if other.dimension != self.dimension:
            raise ValueError(f"statistics of dimension {other.dimension} don't merge into {self.dimension}")
        count = self._count_after(other.count * times)
        updates: dict[str, AnswerSum | None] = {}
        for delta in deltas_of(other._sums, times):
            updates |= updated(self._sums, delta, sign=1)
        self._gram += other._gram * times
        self._put(count, updates)

    def copy(self) -> Statistics:
        """An equal one that shares nothing that changes; `changed` is carried over."""
        twin = Statistics(self.dimension, self.device)
        twin.count, twin._gram = self.count, self._gram.copy()
        twin._sums = self._sums.copy()
        twin._changed, twin._cross, twin._crossed = (
            self._changed.copy(),
            self._cross.copy(),
            self._crossed.copy(),
        )
        return twin

    def cross_gram(self) -> Floats:
        """CCᵀ = Σ_a B_a B_aᵀ, (d, d) float64 in units of 2**-28: with G all that a certificate needs of C.

        Costs what changed since the last call, not the number of answers. Exact while Σ n_a² < 2**25 (every
        partial sum below 2**53); beyond that an update rounds by about 2**-53 of the entries, so this serves
        figures about the weights, never the weights or an argmax themselves.
        """
        now = [self._sums[answer] for answer in self._crossed if answer in self._sums]
        before = [old for old in self._crossed.values() if old is not None]
        if len(now) + len(before) >= len(self._sums):  # cheaper from the beginning, and sheds the rounding
            self._cross = self._outer(list(self._sums.values()))
        else:
            self._cross += self._outer(now) - self._outer(before)
        self._crossed.clear()
        return self._cross.copy()

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical bytes: the same for equal statistics, however they came about."""
        state = hashlib.sha256(b"hurnet statistics 1")
        state.update(self.pack_gram())
        for encoded, answer in sorted((answer.encode(), answer) for answer in self._sums):
            state.update(struct.pack("<I", len(encoded)) + encoded + self.pack_sum(answer))
        return state.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        if (self.dimension, self.count) != (other.dimension, other.count):
            return False
        return np.array_equal(np.triu(self._gram), np.triu(other._gram)) and same_sums(
            self._sums, other._sums
        )

    def pack_gram(self) -> bytes:
        """Dimension, count and G in bytes: 12 + 4d(d+1) of them."""
        return pack_gram(self.count, self._gram)

    def pack_sum(self, answer: str) -> bytes:
        """n_a and B_a in bytes: 9 + 2d of them for an answer seen once."""
        return pack_sum(self._sums[answer])

    @classmethod
    def unpack(cls, gram: bytes, sums: Iterable[tuple[str, bytes]], device: str = "cpu") -> Statistics:
        """The statistics that `pack_gram` and each answer's `pack_sum` were taken of, with nothing `changed`.

        Raises ValueError where a piece is corrupt or the pieces don't belong together.
        """
        count, matrix = unpack_gram(gram)
        statistics = cls(len(matrix), device)
        statistics.count, statistics._gram = count, matrix
        for answer, packed in sums:
            if answer in statistics._sums:
                raise ValueError(f"answer {answer!r} is there twice")
            statistics._sums[answer] = unpack_sum(answer, packed, len(matrix))
        held = sum(entry.count for entry in statistics._sums.values())
        if held != count:
            raise ValueError(f"the answers' counts add up to {held}, the gram's count is {count}")
        statistics._crossed = dict.fromkeys(statistics._sums)
        return statistics

    def _add_gram(self, rows: Vectors, weights: Weights | None, gram: Integers) -> None:
        if weights is None:
            add_gram(rows, gram, self._place)
        else:
            add_weighted_gram(rows, weights, gram, self._place)

    def _count_after(self, more: int) -> int:
        count = self.count + more
        if count > MAX_ROWS:
            raise OverflowError(f"{count} rows: G is exact up to {MAX_ROWS}")
        if count < 0:
            raise ValueError(f"can't take {-more} rows out of {self.count}")
        return count

    def _put(self, count: int, updates: Mapping[str, AnswerSum | None]) -> None:
        self.count = count
        self._changed.update(updates)
        for answer, update in updates.items():
            self._crossed.setdefault(answer, self._sums.get(answer))
            if update is None:
                del self._sums[answer]
            else:
                self._sums[answer] = update

    def _outer(self, sums: Sequence[AnswerSum]) -> Floats:
        """Σ B Bᵀ over `sums`, a block of columns at a time."""
        total = np.zeros((self.dimension, self.dimension))
        for block in blocks(len(sums), BLOCK_ANSWERS):
            columns = np.array([entry.total for entry in sums[block]], np.float64)  # (a, d): Cᵀ's block
            if self._place.type == "cpu":
                total += (
                    columns.T @ columns
                )  # numpy takes half the operations for a matrix with its transpose
            else:
                transposed = torch.from_numpy(columns).to(self._place)
                total += (transposed.T @ transposed).cpu().numpy()
        return total
