"""Sufficient statistics of the training pairs of one context: everything the closed form (eq. 3, 10) needs.

With X (m, d) the pairs' grid rows and Y (m, A) their answers, one-hot over an open vocabulary:
G = XᵀX, C = XᵀY whose column a is B_a, the sum of the rows answered by a, and n_a, the number of those rows;
tr(YᵀY) = m. One row more or less changes none of their sizes.

All of it is integers, in units of the grid (2⁻¹⁴; 2⁻²⁸ for G). Why the float64 product is exact: a
component of a grid row is at most 2¹⁴ in size, a product of two at most 2²⁸, and a sum of up to 2²⁵ of those
at most 2⁵³, so every partial sum in whatever order is an integer that float64 holds. Blocks stay far below
that and are added in int64, which holds 2³⁵ - 1 rows. Hence the same bytes under any order, batching or
partition, on any device, and removing rows gives the state of never having seen them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from workers.core.context import Vectors
from workers.core.grid import SCALE

MAX_ROWS: Final = 2**35 - 1
"""Rows up to which no entry of G can leave int64."""
BLOCK_ROWS: Final = 4096
"""Rows a float64 product takes at once; exact up to 2**25, kept small for memory (32 MB at d = 1024)."""
BLOCK_ANSWERS: Final = 4096
"""Columns of C taken at once."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_GRAM_HEADER = struct.Struct("<IQ")  # dimension, count
_SUM_HEADER = struct.Struct("<BQ")  # bytes an integer, count
_WIDTHS: Final[tuple[type[np.signedinteger], ...]] = (np.int16, np.int32, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class AnswerSum:
    """n_a and B_a (d,), in the narrowest of int16, int32 and int64 that holds it. Never changed in place."""

    count: int
    total: NDArray[np.signedinteger]


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
        self._gram: Integers = np.zeros((dimension, dimension), np.int64)
        self._sums: dict[str, AnswerSum] = {}
        self._changed: set[str] = set()
        self._cross: Floats = np.zeros((dimension, dimension))
        self._crossed: dict[str, AnswerSum | None] = {}  # answers changed since, as they were in _cross

    @property
    def gram(self) -> Integers:
        """G = XᵀX, (d, d) int64 in units of 2**-28; a read-only view."""
        view = self._gram.view()
        view.flags.writeable = False
        return view

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

    def add(self, rows: Vectors, answers: Sequence[str]) -> None:
        """Fold in pairs: `rows` (n, d) int16 on the grid, `answers` n strings.

        Raises ValueError for wrong shapes or types, components beyond the grid and answers that UTF-8 can't
        hold; OverflowError beyond `MAX_ROWS`.
        """
        self._apply(self._summarise(rows, answers), sign=1)

    def subtract(self, rows: Vectors, answers: Sequence[str]) -> None:
        """Take out pairs that were added: afterwards nothing tells that they ever were.

        Raises ValueError as `add` does, and where the pairs can't all have been in (more of an answer than
        there are, a sum that its remaining rows could not make); it can't tell every pair never added.
        """
        self._apply(self._summarise(rows, answers), sign=-1)

    def merge(self, other: Statistics) -> None:
        """Fold in all pairs of `other`. Raises ValueError for another dimension, else as `add` does."""
        if other.dimension != self.dimension:
            raise ValueError(f"statistics of dimension {other.dimension} don't merge into {self.dimension}")
        self._apply(_Summary(other.count, other._gram, other._sums), sign=1)

    def copy(self) -> Statistics:
        """An equal one that shares nothing that changes; `changed` is carried over."""
        twin = Statistics(self.dimension, self.device)
        twin.count, twin._gram, twin._sums = self.count, self._gram.copy(), self._sums.copy()
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
        return np.array_equal(self._gram, other._gram) and _same_sums(self._sums, other._sums)

    def pack_gram(self) -> bytes:
        """Dimension, count and G's upper triangle row by row, little-endian int64: 12 + 4d(d+1) bytes."""
        upper = self._gram[np.triu_indices(self.dimension)]
        return _GRAM_HEADER.pack(self.dimension, self.count) + upper.astype("<i8").tobytes()

    def pack_sum(self, answer: str) -> bytes:
        """Bytes an integer, n_a and B_a, little-endian: 9 + 2d bytes for an answer seen once."""
        entry = self._sums[answer]
        width = entry.total.dtype.itemsize
        return _SUM_HEADER.pack(width, entry.count) + entry.total.astype(f"<i{width}").tobytes()

    @classmethod
    def unpack(cls, gram: bytes, sums: Iterable[tuple[str, bytes]], device: str = "cpu") -> Statistics:
        """The statistics that `pack_gram` and each answer's `pack_sum` were taken of, with nothing `changed`.

        Raises ValueError where a piece is corrupt or the pieces don't belong together.
        """
        dimension, count, matrix = _unpack_gram(gram)
        statistics = cls(dimension, device)
        statistics.count, statistics._gram = count, matrix
        for answer, packed in sums:
            if answer in statistics._sums:
                raise ValueError(f"answer {answer!r} is there twice")
            statistics._sums[answer] = _unpack_sum(answer, packed, dimension)
        held = sum(entry.count for entry in statistics._sums.values())
        if held != count:
            raise ValueError(f"the answers' counts add up to {held}, the gram's count is {count}")
        statistics._crossed = dict.fromkeys(statistics._sums)
        return statistics

    def _summarise(self, rows: Vectors, answers: Sequence[str]) -> _Summary:
        _check_pairs(rows, answers, self.dimension)
        return _Summary(len(rows), _gram_of(rows, self.device), _sums_of(rows, answers))

    def _apply(self, summary: _Summary, sign: int) -> None:
        count = self.count + sign * summary.count
        if count > MAX_ROWS:
            raise OverflowError(f"{count} rows: G is exact up to {MAX_ROWS}")
        if count < 0:
            raise ValueError(f"can't take {summary.count} rows out of {self.count}")
        updates = {answer: self._updated(answer, delta, sign) for answer, delta in summary.sums.items()}
        gram = self._gram + summary.gram if sign > 0 else self._gram - summary.gram
        if sign < 0:
            _check_gram(gram, count)
        self.count, self._gram = count, gram
        for answer, update in updates.items():
            self._put(answer, update)

    def _updated(self, answer: str, delta: AnswerSum, sign: int) -> AnswerSum | None:
        """What the answer's sum becomes; None if nothing is left of it."""
        old = self._sums.get(answer)
        count = sign * delta.count + (old.count if old else 0)
        total = sign * delta.total.astype(np.int64)
        if old:
            total += old.total
        _check_sum(answer, total, count)
        return AnswerSum(count, _narrowed(total)) if count else None

    def _put(self, answer: str, update: AnswerSum | None) -> None:
        self._crossed.setdefault(answer, self._sums.get(answer))
        self._changed.add(answer)
        if update is None:
            del self._sums[answer]
        else:
            self._sums[answer] = update

    def _outer(self, sums: Sequence[AnswerSum]) -> Floats:
        """Σ B Bᵀ over `sums`, a block of columns at a time."""
        device = float64_device(self.device)
        total = torch.zeros((self.dimension, self.dimension), dtype=torch.float64, device=device)
        for block in _blocks(len(sums), BLOCK_ANSWERS):
            columns = np.array([entry.total for entry in sums[block]], np.float64)  # (a, d): Cᵀ's block
            transposed = torch.from_numpy(columns).to(device)
            total += transposed.T @ transposed
        return np.asarray(total.cpu().numpy())


@dataclass(frozen=True, slots=True)
class _Summary:
    """What a set of pairs adds to the statistics."""

    count: int
    gram: Integers
    sums: Mapping[str, AnswerSum]


def float64_device(name: str) -> torch.device:
    """The torch device for float64 work: "auto" is CUDA where there is one, else the CPU.

    Apple's "mps" has no float64, so its work is done on the CPU. Raises ValueError for a device that is
    unknown or not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"there is no device {name!r} here")
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {name!r} is not one of auto, cuda, mps and cpu")
    return torch.device("cpu") if device.type == "mps" else device


def _gram_of(rows: Vectors, device: str) -> Integers:
    """XᵀX, (d, d), exact (see the module's docstring)."""
    place = float64_device(device)
    total = torch.zeros((rows.shape[1], rows.shape[1]), dtype=torch.int64, device=place)
    for block in _blocks(len(rows), BLOCK_ROWS):
        # The copy: torch warns of arrays that are read-only, as rows straight from a network buffer are.
        x = torch.from_numpy(rows[block].copy()).to(place, torch.float64)
        total += (x.T @ x).to(torch.int64)
    return np.asarray(total.cpu().numpy())


def _sums_of(rows: Vectors, answers: Sequence[str]) -> dict[str, AnswerSum]:
    """n_a and B_a of each answer among the pairs."""
    if not len(rows):
        return {}
    numbers: dict[str, int] = {}
    column = np.array([numbers.setdefault(answer, len(numbers)) for answer in answers])
    counts = np.bincount(column)
    starts = np.cumsum(counts) - counts
    totals = np.add.reduceat(rows[np.argsort(column, kind="stable")], starts, axis=0, dtype=np.int64)
    return {answer: AnswerSum(int(counts[i]), totals[i]) for answer, i in numbers.items()}


def _blocks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))


def _narrowed(total: Integers) -> NDArray[np.signedinteger]:
    low, high = int(total.min()), int(total.max())
    width = next(w for w in _WIDTHS if np.iinfo(w).min <= low and high <= np.iinfo(w).max)
    return total.astype(width)


def _same_sums(left: Mapping[str, AnswerSum], right: Mapping[str, AnswerSum]) -> bool:
    return left.keys() == right.keys() and all(
        entry.count == right[answer].count and np.array_equal(entry.total, right[answer].total)
        for answer, entry in left.items()
    )


def _check_pairs(rows: Vectors, answers: Sequence[str], dimension: int) -> None:
    if rows.dtype != np.int16 or rows.ndim != 2 or rows.shape[1] != dimension:
        raise ValueError(f"rows must be int16 (n, {dimension}), not {rows.dtype} {rows.shape}")
    if isinstance(answers, str) or len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows need as many answers, not {len(answers)}")
    if rows.size and (rows.min() < -SCALE or rows.max() > SCALE):
        raise ValueError(f"a row leaves the grid: components are from {-SCALE} to {SCALE}")
    for answer in answers:
        if not isinstance(answer, str):
            raise ValueError(f"an answer must be a string, not {type(answer).__name__}")
        answer.encode()  # a lone surrogate: UnicodeEncodeError, which is a ValueError


def _check_gram(gram: Integers, count: int) -> None:
    """A sum of `count` outer products of grid rows has |G_ij| ≤ 2²⁸·count, and G_ii ≥ 0."""
    bound = SCALE * SCALE * count
    if (gram.diagonal() < 0).any() or gram.min() < -bound or gram.max() > bound:
        raise ValueError(f"no {count} rows make this gram: rows were taken out that had not been put in")


def _check_sum(answer: str, total: NDArray[np.signedinteger], count: int) -> None:
    """A sum of `count` grid rows has components of at most 2¹⁴·count."""
    bound = SCALE * count
    if count < 0 or total.min() < -bound or total.max() > bound:
        raise ValueError(
            f"no {count} rows make this sum for {answer!r}: rows were taken out that were not in"
        )


def _unpack_gram(packed: bytes) -> tuple[int, int, Integers]:
    if len(packed) < _GRAM_HEADER.size:
        raise ValueError(f"corrupt gram: {len(packed)} bytes")
    dimension, count = _GRAM_HEADER.unpack_from(packed)
    length = _GRAM_HEADER.size + 4 * dimension * (dimension + 1)
    if dimension < 1 or count > MAX_ROWS or len(packed) != length:
        raise ValueError(f"corrupt gram: dimension {dimension}, {count} rows, {len(packed)} bytes")
    upper = np.zeros((dimension, dimension), np.int64)
    upper[np.triu_indices(dimension)] = np.frombuffer(packed, "<i8", offset=_GRAM_HEADER.size)
    gram = upper + np.triu(upper, 1).T
    _check_gram(gram, count)
    return dimension, count, gram


def _unpack_sum(answer: str, packed: bytes, dimension: int) -> AnswerSum:
    if len(packed) < _SUM_HEADER.size:
        raise ValueError(f"corrupt sum for {answer!r}: {len(packed)} bytes")
    width, count = _SUM_HEADER.unpack_from(packed)
    if (
        width not in (2, 4, 8)
        or not 1 <= count <= MAX_ROWS
        or len(packed) != _SUM_HEADER.size + width * dimension
    ):
        raise ValueError(f"corrupt sum for {answer!r}: width {width}, {count} rows, {len(packed)} bytes")
    total = np.frombuffer(packed, f"<i{width}", offset=_SUM_HEADER.size).astype(np.int64)
    _check_sum(answer, total, count)
    narrow = _narrowed(total)
    if narrow.dtype.itemsize != width:
        raise ValueError(f"corrupt sum for {answer!r}: {width} bytes an integer where fewer would do")
    return AnswerSum(count, narrow)
