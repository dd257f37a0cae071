"""The closed form over the nearest entries alone: equation 3 in its dual form, restricted to a neighbourhood.

    K = (cosines of the entries with each other)²        entry by entry, (m, m)
    k = max(0, cosines of the entries with the query)²   (m,)
    α = (K + λI)⁻¹ k                                     λ = 0.1

An answer's score is the sum of the α of its entries. For example, two entries of "on" and one of "off":

    cosines with the query    on 0.98    on 1.00    off 0.59
    k                            0.96       0.99        0.35
    α                            0.39       0.57        0.01      on 0.96, off 0.01

The two entries of "on" are alike (K = 0.92) and share what one of them alone would get. That of "off" gets
next to nothing: what it has in common with the query, the other two explain better.

One global solve over a store of many kinds is dominated by whatever is most frequent. A solve over the
nearest entries is not, and it needs no state.

An entry that counts c times is c copies of it. Copies share one α, and the sum of their equations says that
the entry's diagonal gets λ/c in place of λ.

If nothing is really near, hundreds of entries of one frequent answer, each a little alike, add up to more
than the four of the right one. So λ is then multiplied by n: how many times more pairs teach the entry's
answer than the answer nearby that is taught least. Each entry then counts as one n-th of a copy.

    cosine of the nearest entry by meaning    0.7 and above    0.65       0.6 and below
    λ is multiplied by                        1                √n         n
"""

import numpy as np
from numpy.typing import NDArray

RIDGE = 0.1

_NEAR, _FAR = 0.7, 0.6
MOST_TAUGHT = 1 << 35
"""No more pairs teach an answer (core/statistics)."""

Floats = NDArray[np.float64]


def local_coefficients(cosines: Floats, with_query: Floats, ridge: Floats | float = RIDGE) -> Floats:
    """α (m,) of m entries, given their cosines with each other (m, m) and with the query (m,), and λ of each
    entry (m,) or of all."""
    # The square of a Gram matrix, entry by entry, is positive semi-definite (Schur's product theorem), which
    # it need not be if it is cut at 0. So the condition of K + λI is at most (m + λ)/λ, and the solve cannot
    # fail.
    kernel = np.square(cosines)
    kernel[np.diag_indices_from(kernel)] += ridge
    alpha: Floats = np.linalg.solve(kernel, np.square(np.maximum(with_query, 0.0)))
    return alpha


def ridges(taught: NDArray[np.int64], nearest: float, counts: Floats | None) -> Floats:
    """λ of each entry (m,), given how many pairs teach its answer (m,), the cosine of the nearest entry by
    meaning, and how often each entry counts (m,), negative for one that refutes, None: each once."""
    distance = min(1.0, max(0.0, (_NEAR - nearest) / (_NEAR - _FAR)))
    times = np.maximum(taught, 1)
    ridge: Floats = RIDGE * (times / times.min(initial=MOST_TAUGHT)) ** distance
    return ridge if counts is None else ridge / np.abs(counts)
