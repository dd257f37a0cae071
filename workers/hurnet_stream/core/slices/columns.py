"""What the messages between slices consist of, and that the columns of one fit each other.

The checks raise ValueError. What is asked comes over a network, and kernels trust what passed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NOBODY: Final = -1
"""Stands for an entry, a condition or a row that there is not."""

Integers = NDArray[np.int64]
Pairs = NDArray[np.int64]  # (n, 2)
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Vectors = NDArray[np.int16]  # (n, d)
Terms = NDArray[np.uint64]  # (n, 4), as `lexical/terms` has them
Doubles = NDArray[np.float64]  # (n, d)
Strings = tuple[str, ...]
Metadata = tuple[Mapping[str, str], ...]


def same_length(*columns: object) -> None:
    """All have as many items."""
    lengths = {len(column) for column in columns}  # type: ignore[arg-type]
    if len(lengths) > 1:
        raise ValueError(f"columns of one message have {sorted(lengths)} items")


def wide(table: NDArray[Any], columns: int) -> None:
    """It has so many columns."""
    if table.shape[1] != columns:
        raise ValueError(f"{table.shape[1]} columns, not {columns}")


def starts_fit(starts: Integers, items: int) -> None:
    """`starts` (n + 1,) ascend from 0 to all items."""
    if not len(starts) or starts[0] != 0 or starts[-1] != items or (np.diff(starts) < 0).any():
        raise ValueError(f"starts that do not cover {items} items")


def below(places: Integers, end: int) -> None:
    """Each place is below `end`, or NOBODY."""
    if len(places) and (places.min() < NOBODY or places.max() >= end):
        raise ValueError(f"a place beyond the {end} that there are")
