"""Sufficient statistics of the training pairs of one context: everything the closed form (eq. 3, 10) needs.

With X (m, d) the pairs' grid rows and Y (m, A) their answers, one-hot over an open vocabulary:

    G = XᵀX             (d, d)
    C = XᵀY             (d, A), kept as its columns B_a, the sum of the rows with answer a
    n_a                 the number of those rows
    m = tr(YᵀY)         the number of all rows

One row more or less changes none of their sizes. A row with w copies counts w times (eq. 14, 15, with μ as
the weights of entries): G = XᵀDX and B_a = Σ w x, where D is the diagonal of the copies.

All of it is integers, in units of the grid (2⁻¹⁴; 2⁻²⁸ for G), summed without rounding (gram.py) and held by
int64 up to 2³⁵ - 1 rows, copies counted. Hence the bytes are the same under any order, batching or partition
and on any device, and removing rows gives the state of never having seen them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.arrays import Floats, backend_of
from hurnet_stream.core.statistics.answer_sums import (
    BLOCK_ANSWERS,
    AnswerSum,
    Copies,
    check_pairs,
    checked_copies,
    count_of,
    delta_of,
    deltas_of,
    same_sums,
    updated,
)
from hurnet_stream.core.statistics.codec import check_gram, decode_gram, decode_sum, encode_gram, encode_sum
from hurnet_stream.core.statistics.gram import (
    MAX_ROWS,
    add_gram,
    add_gram_of_copies,
    blocks,
    fastest,
    mirrored,
)
from hurnet_stream.core.stored.batch import Vectors

Integers = NDArray[np.int64]


class Statistics:
    """Count, G and the B_a of one context's pairs, in `dimension` d.

    `device` ("auto", "cuda", "cpu", ...) is where products are taken; it changes no bit of the result.
    Every change is made whole or, if it raises, not at all. Not safe for use by several threads at once.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]  # it changes

    def __init__(self, dimension: int, device: str = "cpu") -> None:
        if dimension < 1:
            raise ValueError(f"dimension must be at least 1, not {dimension}")
        self.dimension: Final = dimension
        self.device = device
        self.count = 0
        self._backend = backend_of(device)
        self._gram: Integers = np.zeros((dimension, dimension), np.int64)  # (d, d): only its upper triangle
        self._sums: dict[str, AnswerSum] = {}
        self._changed: set[str] = set()
        # CCᵀ as it was at the last call of `cross_gram`, and the answers changed since, as they were then.
        self._cross: Floats = np.zeros((dimension, dimension))
        self._crossed: dict[str, AnswerSum | None] = {}

    @property
    def path(self) -> str:
        """Which of the paths in `gram.py` sums G here. The first call measures them, in some milliseconds."""
        return fastest(self.dimension, self._backend)

    @property
    def gram(self) -> Integers:
        """G = XᵀX as it is now, (d, d) int64 in units of 2**-28, read-only."""
        full = mirrored(self._gram)
        full.flags.writeable = False
        return full

    @property
    def answer_sums(self) -> Mapping[str, AnswerSum]:
        """n_a and B_a by answer: a read-only view, in no particular order."""
        return MappingProxyType(self._sums)

    @property
    def changed(self) -> frozenset[str]:
        """Answers whose sum was changed, added or dropped since `mark_saved`.

        A dropped one is missing from `answer_sums`.
        """
        return frozenset(self._changed)

    def mark_saved(self) -> None:
        """The present state is in a saved checkpoint: `changed` begins anew."""
        self._changed.clear()

    def add(self, rows: Vectors, answers: Sequence[str], copies: Copies | None = None) -> None:
        """Fold in pairs: `rows` (n, d) int16 on the grid, `answers` n strings, `copies` (n,) int64 from 1.

        Raises ValueError for wrong shapes or types, components beyond the grid, answers that UTF-8 can't
        hold and copies below 1; OverflowError if there would be more rows than `MAX_ROWS`.
        """
        check_pairs(rows, answers, self.dimension)
        copies = checked_copies(copies, len(rows))
        count = self._count_after(count_of(rows, copies))
        delta = delta_of(rows, answers, copies)
        updates = updated(self._sums, delta, sign=1)
        self._add_gram(rows, copies, self._gram)  # the last step that can fail; the gram is then unchanged
        self._put(count, updates)

    def subtract(self, rows: Vectors, answers: Sequence[str], copies: Copies | None = None) -> None:
        """Take out pairs that were added: afterwards nothing tells that they ever were.

        Raises ValueError as `add` does, and if the pairs can't all have been in: more of an answer than there
        are, or what is left of a sum is too large for the rows that are left. It can't notice every pair
        that was never added.
        """
        check_pairs(rows, answers, self.dimension)
        copies = checked_copies(copies, len(rows))
        count = self._count_after(-count_of(rows, copies))
        delta = delta_of(rows, answers, copies)
        updates = updated(self._sums, delta, sign=-1)
        gone = np.zeros_like(self._gram)
        self._add_gram(rows, copies, gone)
        left = np.triu(self._gram - gone)  # only the upper triangle of `gone` is filled
        check_gram(left, count)
        self._gram = left
        self._put(count, updates)

    def merge(self, other: Statistics, times: int = 1) -> None:
        """Fold in all of `other`, as often as `times` says.

        Raises ValueError for another dimension, OverflowError if there would be more rows than `MAX_ROWS`.
        """
        if other.dimension != self.dimension:
            raise ValueError(f"statistics of dimension {other.dimension} don't merge into {self.dimension}")
        count = self._count_after(other.count * times)
        updates: dict[str, AnswerSum | None] = {}
        for delta in deltas_of(other._sums, times):
            updates |= updated(self._sums, delta, sign=1)
        self._gram += other._gram * times
        self._put(count, updates)

    def copy(self) -> Statistics:
        """Equal statistics that share nothing that changes; `changed` is carried over."""
        twin = Statistics(self.dimension, self.device)
        twin.count, twin._gram = self.count, self._gram.copy()
        twin._sums = self._sums.copy()
        twin._changed = self._changed.copy()
        twin._cross, twin._crossed = self._cross.copy(), self._crossed.copy()
        return twin

    def cross_gram(self) -> Floats:
        """CCᵀ = Σ_a B_a B_aᵀ, (d, d) float64 in units of 2**-28: with G all that a certificate needs of C.

        It costs what changed since the last call, not the number of answers. It is exact while Σ n_a² is
        below 2**25, since then every partial sum is below 2**53. Beyond that an update rounds by about 2**-53
        of the entries, so it serves figures about the weights, never the weights or an argmax themselves.
        """
        now = [self._sums[answer] for answer in self._crossed if answer in self._sums]
        before = [old for old in self._crossed.values() if old is not None]
        if len(now) + len(before) >= len(self._sums):  # anew is then cheaper, and sheds the rounding
            self._cross = self._outer(list(self._sums.values()))
        else:
            self._cross += self._outer(now) - self._outer(before)
        self._crossed.clear()
        return self._cross.copy()

    def digest(self) -> str:
        """SHA-256 (hex) of the encoded statistics: the same for equal ones, however they came about."""
        state = hashlib.sha256(b"hurnet statistics 1")
        state.update(self.encode_gram())
        for encoded, answer in sorted((answer.encode(), answer) for answer in self._sums):
            state.update(struct.pack("<I", len(encoded)) + encoded + self.encode_sum(answer))
        return state.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        if (self.dimension, self.count) != (other.dimension, other.count):
            return False
        return np.array_equal(np.triu(self._gram), np.triu(other._gram)) and same_sums(
            self._sums, other._sums
        )

    def encode_gram(self) -> bytes:
        """Dimension, count and G in bytes: 12 + 4d(d+1) of them."""
        return encode_gram(self.count, self._gram)

    def encode_sum(self, answer: str) -> bytes:
        """n_a and B_a in bytes: 9 + 2d of them for an answer seen once."""
        return encode_sum(self._sums[answer])

    @classmethod
    def decode(cls, gram: bytes, sums: Iterable[tuple[str, bytes]], device: str = "cpu") -> Statistics:
        """The statistics that `encode_gram` and each answer's `encode_sum` were taken of, nothing `changed`.

        Raises ValueError if a piece is corrupt or the pieces do not belong together.
        """
        count, matrix = decode_gram(gram)
        statistics = cls(len(matrix), device)
        statistics.count, statistics._gram = count, matrix
        for answer, encoded in sums:
            if answer in statistics._sums:
                raise ValueError(f"answer {answer!r} is there twice")
            statistics._sums[answer] = decode_sum(answer, encoded, len(matrix))
        held = sum(entry.count for entry in statistics._sums.values())
        if held != count:
            raise ValueError(f"the answers' counts add up to {held}, the gram's count is {count}")
        statistics._crossed = dict.fromkeys(statistics._sums)  # CCᵀ is still 0, so all answers are new to it
        return statistics

    def _add_gram(self, rows: Vectors, copies: Copies | None, gram: Integers) -> None:
        if copies is None:
            add_gram(rows, gram, self._backend)
        else:
            add_gram_of_copies(rows, copies, gram, self._backend)

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
            # `cross_gram` will take out what this sum was at its last call, whatever it became since.
            self._crossed.setdefault(answer, self._sums.get(answer))
            if update is None:
                del self._sums[answer]
            else:
                self._sums[answer] = update

    def _outer(self, sums: Sequence[AnswerSum]) -> Floats:
        """Σ B Bᵀ over `sums`, a block of columns at a time."""
        total = np.zeros((self.dimension, self.dimension))
        for block in blocks(len(sums), BLOCK_ANSWERS):
            totals = np.array([entry.total for entry in sums[block]], np.float64)  # (a, d): a block of Cᵀ
            # On the CPU by numpy, which takes half the operations for a matrix with its own transpose.
            block_of_c = totals if self._backend.on_cpu else self._backend.put(totals)
            outer = block_of_c.T @ block_of_c
            total += outer if self._backend.on_cpu else self._backend.host(outer)
        return total
