"""n_a and B_a: number and sum of the rows that share answer a. B_a is column a of C = XᵀY, Y one-hot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.core.context import Vectors
from workers.core.gram import blocks
from workers.core.grid import SCALE

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


def delta_of(rows: Vectors, answers: Sequence[str]) -> Delta:
    """The sums of pairs: `rows` (n, d) on the grid."""
    numbers: dict[str, int] = {}
    column = np.array([numbers.setdefault(answer, len(numbers)) for answer in answers], np.intp)
    wide = np.int32 if len(rows) <= INT32_ROWS else np.int64
    if len(numbers) == len(rows):
        return Delta(list(numbers), [1] * len(rows), rows.astype(wide))
    counts = np.bincount(column, minlength=len(numbers)).tolist()
    together = rows[np.argsort(column, kind="stable")]
    totals, start = np.empty((len(numbers), rows.shape[1]), wide), 0
    for total, count in zip(totals, counts, strict=True):  # np.add.reduceat takes six times as long
        np.add.reduce(together[start : start + count], axis=0, dtype=wide, out=total)
        start += count
    return Delta(list(numbers), counts, totals)


def deltas_of(sums: Mapping[str, AnswerSum]) -> Iterator[Delta]:
    """The sums of other statistics, a block at a time."""
    answers, entries = list(sums), list(sums.values())
    for block in blocks(len(answers), BLOCK_ANSWERS):
        totals = np.array([entry.total for entry in entries[block]], np.int64)
        yield Delta(answers[block], [entry.count for entry in entries[block]], totals)


def updated(sums: Mapping[str, AnswerSum], delta: Delta, sign: int) -> dict[str, AnswerSum | None]:
    """What the sums of `delta`'s answers become when it is added (sign 1) or taken out (-1).

    None where no rows are left. Raises ValueError where what is left can't be the sum of as many grid rows.
    """
    old = [sums.get(answer) for answer in delta.answers]
    counts = [sign * count + (o.count if o else 0) for count, o in zip(delta.counts, old, strict=True)]
    most = max((n + (o.count if o else 0) for n, o in zip(delta.counts, old, strict=True)), default=0)
    wide = delta.totals.dtype if most <= INT32_ROWS else np.int64
    totals = np.multiply(delta.totals, sign, dtype=wide)
    for row, entry in enumerate(old):
        if entry:
            totals[row] += entry.total
    low, high = totals.min(axis=1, initial=0).tolist(), totals.max(axis=1, initial=0).tolist()
    updates: dict[str, AnswerSum | None] = {}
    for answer, count, total, least, greatest in zip(delta.answers, counts, totals, low, high, strict=True):
        check_sum(answer, count, least, greatest)
        updates[answer] = AnswerSum(count, total.astype(_width(least, greatest))) if count else None
    return updates


def narrowed(total: NDArray[np.int64]) -> NDArray[np.signedinteger]:
    """`total` in the narrowest width."""
    return total.astype(_width(int(total.min()), int(total.max())))


def check_sum(answer: str, count: int, least: int, greatest: int) -> None:
    """Raise ValueError where no `count` grid rows have a sum with components from `least` to `greatest`."""
    if count < 0 or least < -SCALE * count or greatest > SCALE * count:
        raise ValueError(
            f"no {count} rows make this sum for {answer!r}: rows were taken out that were not in"
        )


def _width(least: int, greatest: int) -> type[np.signedinteger]:
    largest = max(greatest, ~least)  # ~x = -x - 1: two's complement reaches one further down
    return np.int16 if largest < 2**15 else np.int32 if largest < 2**31 else np.int64
