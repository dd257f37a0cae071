"""How much memory something holds in arrays."""

from __future__ import annotations

import numpy as np


def array_bytes(*holders: object) -> int:
    """The bytes of the arrays that are attributes of these objects, or stand in tuples that are."""
    values = [value for holder in holders for value in vars(holder).values()]
    values += [part for value in values if isinstance(value, tuple) for part in value]
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))
