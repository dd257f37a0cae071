"""Products of 8-bit vectors as exact integers, rounded once to float32, by the fastest library that is here.

    queries      library                       why
    1 to 4       simsimd, if it is installed   one query at a time, at the speed of memory
    5 or more    torch, if it is exact here    a product of matrices reads the rows once for all queries
    any          float32 in slices             exact everywhere: 1,024 products below 2**14 fit 24 bits

The first line that applies is taken.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.arrays import installed_torch

Bytes = NDArray[np.int8]
Floats = NDArray[np.float32]

_DOT: Any = import_module("simsimd").dot if find_spec("simsimd") else None  # an extra of the package
_MANY = 5
"""The queries from which torch's product of matrices is faster than simsimd's of vectors."""
_EXACT = 1 << 10
"""How many products below 2**14 float32 adds up exactly, in any order."""


def multiply(c: Bytes, p: Bytes, out: Floats) -> None:
    """Writes c·p into `out` (n, rows), for c (n, d) and p (rows, d), all within ±127, d at most 2**14."""
    if _DOT and (len(c) < _MANY or not torch_is_exact()):
        for one, products in zip(c, out, strict=True):
            _DOT(p, one, out=products)
    elif torch_is_exact():
        out[:] = by_torch(c, p)
    else:
        out[:] = by_floats(c, p)


def by_torch(c: Bytes, p: Bytes) -> NDArray[np.int32]:
    """c·p (n, rows), exact if `torch_is_exact`."""
    import torch  # only here: a responder that has the kernels loads no torch

    products: NDArray[np.int32] = torch._int_mm(torch.from_numpy(c), torch.from_numpy(p).T).numpy()
    return products


@cache
def torch_is_exact() -> bool:
    """Whether torch is here and its products of int8 are exact, tried in shapes of all kinds.

    On x86 without VNNI they are not: there oneDNN adds pairs of products in 16 bits, which overflow.
    """
    if installed_torch() is None:
        return False
    chance = np.random.default_rng(0)
    return all(
        _is_exact(chance, queries, rows, d)
        for queries, rows, d in product((5, 40), (2, 32, 48), (1, 3, 37, 64))
    )


def _is_exact(chance: np.random.Generator, queries: int, rows: int, d: int) -> bool:
    c, p = (chance.choice(np.array([-127, 1, 127], np.int8), (count, d)) for count in (queries, rows))
    c[0], p[0] = 127, 127  # the largest sum there is
    return np.array_equal(by_torch(c, p), by_floats(c, p))


def by_floats(c: Bytes, p: Bytes) -> NDArray[np.float64]:
    """c·p (n, rows), exact everywhere."""
    products = np.zeros((len(c), len(p)))
    for start in range(0, c.shape[1], _EXACT):
        part = slice(start, start + _EXACT)
        products += c[:, part].astype(np.float32) @ p[:, part].astype(np.float32).T
    return products
