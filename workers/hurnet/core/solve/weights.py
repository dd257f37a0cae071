"""Solved weights: what they are, how good they are, and when they may serve.

Solving is in core/solve/solve.py, which needs torch; applying weights does not.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet.core.grid import SCALE
from hurnet.core.stored.batch import Vectors

MAX_RIDGE: Final = 2.0**33
"""Below which a ridge fits beside G in integers (core/solve/refine.py)."""
LEAST_RIDGE: Final = 2.0**-64
"""What a ridge is rounded to a multiple of: anything smaller would be 0."""
MAX_INVERSE_ERROR: Final = 1e-6
"""‖(G + λI)P - I‖_F/√d from which weights are refused."""

NO_FEATURES: Final = "none"
"""The identity of kernel features (core/paper) if there are none."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of a solution. Plain numbers and strings, all finite: `as_dict` is JSON.

    `count` is of the pairs, each as often as its weight says, and all figures are as of so many rows. Where
    pairs age (core/solve/window.py), with a `half_life` in seconds, it is the sum of their weights in `pane`.
    `effective_rank` is exp of the entropy of X's singular values taken as shares (Roy & Vetterli 2007),
    `rank` their number above rounding, `degrees_of_freedom` Σσ²/(σ²+λ) (eq. 9). `residual` is
    ‖XW - Y‖²_F/‖Y‖²_F (eq. 11), `gcv` the generalised cross-validation score, None where nothing is left to
    validate with (λ = 0 and rank = count). `condition` is that of G + λI on the directions kept, and
    `inverse_error` ‖E‖_F/√d there with E = (G+λI)P - I. As W - W* = EᵀW* for the exact W* and W = PC, ‖E‖_F
    bounds W's relative error. Where that was too large for comfort P was refined, in `refinement_steps`, with
    E taken exactly; `residual_exact` then says that the residual is that of W*, to its last bits. `seconds`,
    and `features`, the identity of those that X holds (core/paper/kernel_features.py), are filled in by the
    caller.
    `ridge_chosen_by` is "fixed" or "gcv", and `method` "cholesky" or "eigh", or a name that a newer solver
    knows. A figure that is added must have a default, which readers take where an older solver leaves it out.
    """

    count: float
    answers: int
    ridge: float
    ridge_chosen_by: str
    method: str
    condition: float
    rank: int
    effective_rank: float
    degrees_of_freedom: float
    residual: float
    gcv: float | None
    inverse_error: float
    device: str
    seconds: float = 0.0
    features: str = NO_FEATURES
    refinement_steps: int = 0
    residual_exact: bool = False
    half_life: float = 0.0
    pane: int = 0

    def as_dict(self) -> dict[str, float | str | None]:
        """Its fields by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """P = (G·2⁻²⁸ + λI)⁻¹, (d, d) float64 and symmetric, and what is known of it."""

    projection: Floats
    certificate: Certificate


def predict(projection: Floats, rows: Vectors) -> Floats:
    """Px of each of `rows` (n, d) on the grid, (n, d) float64. ⟨Px, B_a·2⁻¹⁴⟩ is (xW)_a (eq. 10)."""
    return np.asarray(rows.astype(np.float64) / SCALE @ projection)


def gate(
    weights: Weights, max_inverse_error: float = MAX_INVERSE_ERROR, tolerance: float = 1e-6
) -> list[str]:
    """Why these weights must not be published, one sentence a reason; empty where they may.

    Each holds in exact arithmetic for every solution of eq. 3 with a ridge (W = 0 has residual 1, so W has no
    more), so that a breach means rounding has won or the statistics are damaged.
    """
    c = weights.certificate
    figures = [value for value in c.as_dict().values() if isinstance(value, float)]
    most = min(c.count, len(weights.projection)) * (1 + tolerance)
    checks = {
        "the projection holds what is not finite": bool(np.isfinite(weights.projection).all()),
        "a figure of the certificate is not finite": all(map(math.isfinite, figures)),
        f"{c.answers} answers from {c.count} rows": 1 <= c.answers <= c.count,
        f"the inverse errs by {c.inverse_error:.1e}": c.inverse_error <= max_inverse_error,
        f"the residual {c.residual:.3g} is outside 0 to 1": -tolerance <= c.residual <= 1 + tolerance,
        f"{c.degrees_of_freedom:.6g} degrees of freedom, more than rows or dimensions": c.degrees_of_freedom
        <= most,
        f"rank {c.rank}, more than rows or dimensions": c.rank <= most,
    }
    return [reason for reason, holds in checks.items() if not holds]
