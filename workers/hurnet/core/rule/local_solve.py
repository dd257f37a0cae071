"""The closed form over the nearest entries alone (equation 3 by its dual, restricted to a neighbourhood).

Over a store of many kinds one global solve is dominated by whatever is most frequent; a solve over the
nearest entries is not, and needs no state: α = (K + λI)⁻¹k with K = (XXᵀ)², k = max(0, Xq)², entry by entry.

A row of weight w is w copies of it: they share one α, and the equation of each, summed, says that it takes
D⁻¹, D the weights, in place of I.
"""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 256
RIDGE = 0.1


def local_coefficients(
    neighbours: NDArray[np.float32],
    cosines: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """α (m,) of the m nearest rows (m, d), given their cosines (m,) with the query, and their weights, if any
    is not 1: then that of all copies together.

    The sum of α over the rows that share an answer estimates, by least squares, whether the query has that
    answer."""
    gram = neighbours @ neighbours.T
    inverse = 1.0 / np.sqrt(np.diagonal(gram))
    # The square of a Gram matrix entry by entry is positive semi-definite (Schur's product theorem; cut at
    # 0 it need not be), so the condition of K + λI is at most (m + λ)/λ and the solve cannot fail.
    kernel = np.square(gram * inverse * inverse[:, None], dtype=np.float64)
    kernel[np.diag_indices_from(kernel)] += RIDGE if weights is None else RIDGE / weights
    alpha: NDArray[np.float64] = np.linalg.solve(kernel, np.square(np.maximum(cosines, 0.0)))
    return alpha
