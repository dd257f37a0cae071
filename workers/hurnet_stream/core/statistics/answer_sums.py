"""n_a and B_a: the number and the sum of the rows that share answer a. B_a is column a of C = XᵀY, Y one-hot.

    rows            answers         sums
    (1, 0)          "yes"           yes: n = 2, B = (1, 2)
    (0, 2)          "yes"           no:  n = 1, B = (3, 1)
    (3, 1)          "no"

A sum is kept in the narrowest integers that hold it, since most answers of a large store are taught once: d
components of two bytes, where int64 would take eight. A `Delta` is what a set of pairs adds to the sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, check_grid
from hurnet_stream.core.statistics.gram import MAX_ROWS, blocks
from hurnet_stream.core.stored.batch import Vectors

Copies = NDArray[np.int64]
"""How often each row counts, (n,), from 1 up."""

BLOCK_ANSWERS: Final = 4096
"""Sums taken at once."""
INT32_ROWS: Final = 2**17 - 1
"""Rows whose sum int32 holds: a component is at most 2**14."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerSum:
    """n_a and B_a (d,), in the narrowest of int16, int32 and int64 that holds it. Never changed in place."""

    count: int
    total: NDArray[np.signedinteger]


@dataclass(frozen=True, slots=True)
class Delta:
    """What a set of pairs adds to the sums: its answers, their n_a, and their B_a as rows (A, d)."""

    answers: list[str]
    counts: list[int]
    totals: NDArray[np.signedinteger]


def check_pairs(rows: Vectors, answers: Sequence[str], dimension: int) -> None:
    """Raise ValueError unless these are grid rows (n, d) and as many answers that UTF-8 can hold."""
    if rows.dtype != np.int16 or rows.ndim != 2 or rows.shape[1] != dimension:
        raise ValueError(f"rows must be int16 (n, {dimension}), not {rows.dtype} {rows.shape}")
    if isinstance(answers, str) or len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows need as many answers, not {len(answers)}")
    check_grid(rows)
    for answer in answers:
        if not isinstance(answer, str):
            raise ValueError(f"an answer must be a string, not {type(answer).__name__}")
        answer.encode()  # a lone surrogate: UnicodeEncodeError, which is a ValueError


def checked_copies(copies: Copies | None, rows: int) -> Copies | None:
    """`copies` of `rows` rows, checked; None if every row counts once, as in most batches.

    Raises ValueError if they are not numbers of copies, OverflowError if one alone is beyond `MAX_ROWS`.
    """
    if copies is None:
        return None
    if copies.dtype != np.int64 or copies.shape != (rows,):
        raise ValueError(f"{rows} rows need as many copies in int64, not {copies.dtype} {copies.shape}")
    if copies.min(initial=1) < 1:
        raise ValueError(f"copies must be from 1 up, not {copies.min()}")
    if copies.max(initial=1) > MAX_ROWS:
        raise OverflowError(f"{copies.max()} copies: G is exact up to {MAX_ROWS} rows")
    return copies if (copies != 1).any() else None


def count_of(rows: Vectors, copies: Copies | None) -> int:
    """The number of rows (n, d), copies counted."""
    return len(rows) if copies is None else int(copies.sum())


def delta_of(rows: Vectors, answers: Sequence[str], copies: Copies | None = None) -> Delta:
    """The sums of pairs: grid `rows` (n, d), each counted as often as it has `copies` (n,); once for None."""
    numbers: dict[str, int] = {}
    number_of_row = np.array([numbers.setdefault(answer, len(numbers)) for answer in answers], np.intp)
    wide = np.int32 if count_of(rows, copies) <= INT32_ROWS else np.int64
    if copies is not None:
        rows = np.multiply(rows, copies[:, None], dtype=wide, casting="unsafe")
    if len(numbers) == len(rows):  # every answer is there once: nothing to sum
        counts = [1] * len(rows) if copies is None else copies.tolist()
        return Delta(list(numbers), counts, rows.astype(wide))
    order = np.argsort(number_of_row, kind="stable")  # rows of one answer come together
    lengths = np.bincount(number_of_row, minlength=len(numbers))
    counts = lengths if copies is None else np.add.reduceat(copies[order], np.cumsum(lengths) - lengths)
    return Delta(list(numbers), counts.tolist(), _summed(rows[order], lengths.tolist(), wide))


def _summed(
    rows: NDArray[np.signedinteger], lengths: Sequence[int], wide: type[np.signedinteger]
) -> NDArray[np.signedinteger]:
    """The sums (A, d) of consecutive runs of `rows`, whose `lengths` add up to all of them."""
    totals, start = np.empty((len(lengths), rows.shape[1]), wide), 0
    for total, length in zip(totals, lengths, strict=True):  # np.add.reduceat takes six times as long
        np.add.reduce(rows[start : start + length], axis=0, dtype=wide, out=total)
        start += length
    return totals


def deltas_of(sums: Mapping[str, AnswerSum], times: int) -> Iterator[Delta]:
    """The sums of other statistics, multiplied by `times`, a block of answers at a time."""
    answers, entries = list(sums), list(sums.values())
    for block in blocks(len(answers), BLOCK_ANSWERS):
        totals = np.array([entry.total for entry in entries[block]], np.int64) * times
        yield Delta(answers[block], [entry.count * times for entry in entries[block]], totals)


def updated(sums: Mapping[str, AnswerSum], delta: Delta, sign: int) -> dict[str, AnswerSum | None]:
    """The new sums of `delta`'s answers when it is added (`sign` 1) or taken out (-1).

    None for an answer of which no rows are left. Raises ValueError if what is left can't be the sum of that
    many grid rows.
    """
    old = [sums.get(answer) for answer in delta.answers]
    counts = [sign * count + (o.count if o else 0) for count, o in zip(delta.counts, old, strict=True)]
    largest = max((n + (o.count if o else 0) for n, o in zip(delta.counts, old, strict=True)), default=0)
    wide = delta.totals.dtype if largest <= INT32_ROWS else np.int64
    totals = np.multiply(delta.totals, sign, dtype=wide)  # (A, d)
    for row, entry in enumerate(old):
        if entry:
            totals[row] += entry.total
    low, high = totals.min(axis=1, initial=0).tolist(), totals.max(axis=1, initial=0).tolist()
    updates: dict[str, AnswerSum | None] = {}
    for answer, count, total, least, greatest in zip(delta.answers, counts, totals, low, high, strict=True):
        check_sum(answer, count, least, greatest)
        updates[answer] = AnswerSum(count, total.astype(_width(least, greatest))) if count else None
    return updates


def same_sums(left: Mapping[str, AnswerSum], right: Mapping[str, AnswerSum]) -> bool:
    """Whether both have the same answers with the same n_a and B_a."""
    return left.keys() == right.keys() and all(
        entry.count == right[answer].count and np.array_equal(entry.total, right[answer].total)
        for answer, entry in left.items()
    )


def narrowed(total: NDArray[np.int64]) -> NDArray[np.signedinteger]:
    """`total` (d,) in the narrowest width that holds it."""
    return total.astype(_width(int(total.min()), int(total.max())))


def check_sum(answer: str, count: int, least: int, greatest: int) -> None:
    """Raise ValueError if no `count` grid rows have a sum with components from `least` to `greatest`."""
    if count < 0 or least < -SCALE * count or greatest > SCALE * count:
        raise ValueError(
            f"no {count} rows make this sum for {answer!r}: rows were taken out that were not in"
        )


def _width(least: int, greatest: int) -> type[np.signedinteger]:
    largest = max(greatest, ~least)  # ~x = -x - 1: two's complement reaches one further down
    return np.int16 if largest < 2**15 else np.int32 if largest < 2**31 else np.int64
