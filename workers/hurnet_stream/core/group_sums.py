"""Sums of floating-point numbers by group, the same bits in whatever order the numbers come.

Floating-point addition rounds, so a sum depends on its order, and the order of rows on how a context came
about: by which batches, deletions and restarts. So a group is summed from its lowest number to its highest:

    numbers    0.1  0.7  0.2      0.1 + 0.2 + 0.7
    reversed   0.2  0.7  0.1      0.1 + 0.2 + 0.7        the same additions
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sums_by_group(groups: NDArray[np.int64], numbers: Floats, count: int) -> Floats:
    """The sums (count,) of the numbers (n,) of `count` groups; `groups` (n,) says of which each is."""
    order = np.argsort(numbers)  # equal numbers may change places: that changes no sum
    return np.bincount(groups[order], numbers[order], count).astype(np.float64)
