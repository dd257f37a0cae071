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
the entry's diagonal gets λ/c in place of λ."""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 256
"""How many nearest entries are searched for, and solved over."""
RIDGE = 0.1


def local_coefficients(
    neighbours: NDArray[np.float32],
    cosines: NDArray[np.float64],
    counts: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """α (m,) of the m nearest rows (m, d), given their cosines with the query (m,).

    `counts` (m,) says how often each row counts, None: each once. α is then that of all its copies
    together."""
    gram = neighbours @ neighbours.T  # (m, m) float32: the only product here that grows with d
    inverse_norms = 1.0 / np.sqrt(np.diagonal(gram))
    # The square of a Gram matrix, entry by entry, is positive semi-definite (Schur's product theorem), which
    # it need not be if it is cut at 0. So the condition of K + λI is at most (m + λ)/λ, and the solve cannot
    # fail.
    kernel = np.square(gram * inverse_norms * inverse_norms[:, None], dtype=np.float64)
    kernel[np.diag_indices_from(kernel)] += RIDGE if counts is None else RIDGE / counts
    alpha: NDArray[np.float64] = np.linalg.solve(kernel, np.square(np.maximum(cosines, 0.0)))
    return alpha
