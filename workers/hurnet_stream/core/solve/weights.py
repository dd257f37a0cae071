"""Solved weights: what they are, how good they are, and when they may serve.

    x (1, d)  ->  Px (1, d)  ->  ⟨Px, B_a⟩ = (xW)_a, the score of answer a

The solver publishes P (d, d) with its certificate. A responder holds the rows, and so the B_a, and applies P
by `predict`. Solving is in solve.py.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from hurnet_stream.core.arrays import Floats
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.native import taught as kernels
from hurnet_stream.core.stored.batch import Vectors

MAX_RIDGE: Final = 2.0**33
"""A ridge must be below this to fit beside G in integers (refine.py)."""
LEAST_RIDGE: Final = 2.0**-64
"""A ridge is rounded to a multiple of this. Half of it or less would be 0."""
MAX_INVERSE_ERROR: Final = 1e-6
"""‖(G + λI)P - I‖_F/√d above which weights are refused."""

NO_FEATURES: Final = "none"
"""The identity of kernel features (core/paper) if there are none."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of a solution. Plain numbers and strings, all numbers finite: `as_dict` is JSON.

    X has one row for every copy of a pair, and all figures are as of that many rows. A figure that is added
    must have a default: readers take it if an older solver did not write the figure.
    """

    count: float
    """Pairs, copies counted. If pairs age (window.py), each counts what it does in `pane`."""
    answers: int
    ridge: float
    ridge_chosen_by: str
    """"fixed" or "gcv", or a way that a newer solver knows."""
    method: str
    """"cholesky" or "eigh", or a method that a newer solver knows."""
    condition: float
    """Of G + λI, on the directions that could be inverted."""
    rank: int
    """Singular values of X that are more than rounding."""
    effective_rank: float
    """exp of the entropy of X's singular values, taken as shares of their sum (Roy & Vetterli 2007)."""
    degrees_of_freedom: float
    """Σσ²/(σ²+λ) over X's singular values σ (eq. 9)."""
    residual: float
    """‖XW - Y‖²_F/‖Y‖²_F (eq. 11), from 0 to 1."""
    gcv: float | None
    """The score of generalised cross-validation; None if no row is left to validate with."""
    inverse_error: float
    """‖E‖_F/√d with E = (G + λI)P - I. W = PC and the exact W* differ by EᵀW*, so ‖E‖_F, which is √d times
    this, bounds W's relative error."""
    device: str
    """"cpu" or "cuda"."""
    seconds: float = 0.0
    """What the solve took; the caller fills it in."""
    features: str = NO_FEATURES
    """The identity of the kernel features that X holds (core/paper); the caller fills it in."""
    refinement_steps: int = 0
    """More than 0 if P had to be refined. E is then taken exactly."""
    residual_exact: bool = False
    """Whether `residual` is that of W*, to its last bits."""
    half_life: float = 0.0
    """In seconds; 0 if pairs do not age."""
    pane: int = 0
    """The half-life since the epoch as of which pairs have aged."""
    digest: str = ""
    """That of the projection (`digest_of`); the caller fills it in."""
    threads: int = 0
    """By how many it was solved, which may change the last digits; the caller fills it in."""

    def as_dict(self) -> dict[str, float | str | None]:
        """The figures by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """P = (G·2⁻²⁸ + λI)⁻¹, (d, d) float64 and symmetric, and its certificate."""

    projection: Floats
    certificate: Certificate


def digest_of(projection: Floats) -> str:
    """A digest of P, 16 hexadecimal digits: equal for weights that are the same to the last bit."""
    return hashlib.sha256(np.ascontiguousarray(projection, "<f8").tobytes()).hexdigest()[:16]


def predict(projection: Floats, rows: Vectors) -> Floats:
    """Px of each of `rows` (n, d) on the grid, (n, d) float64. ⟨Px, B_a·2⁻¹⁴⟩ is (xW)_a (eq. 10).

    A row gives the same bits, whichever rows it is asked with: so an answer can be asked again."""
    units = rows.astype(np.float64) / SCALE
    if projection.flags.c_contiguous and kernels.available():
        return kernels.symmetric_times(projection, units)
    predicted = np.empty_like(units)
    for row, unit in enumerate(units):  # a product of two matrices rounds a row as its place in them has it
        predicted[row] = unit @ projection
    return predicted


def gate(
    weights: Weights, max_inverse_error: float = MAX_INVERSE_ERROR, tolerance: float = 1e-6
) -> list[str]:
    """Why these weights must not be published, one sentence a reason; empty if they may be.

    In exact arithmetic each check holds for every solution of eq. 3 with a ridge. (W = 0 has residual 1, so
    the W that minimises it has no more.) So a breach means that rounding has won, or that the statistics are
    damaged.
    """
    c = weights.certificate
    figures = [value for value in c.as_dict().values() if isinstance(value, float)]
    rank_max = min(c.count, len(weights.projection)) * (1 + tolerance)
    checks = {
        "the projection holds what is not finite": bool(np.isfinite(weights.projection).all()),
        "a figure of the certificate is not finite": all(map(math.isfinite, figures)),
        f"{c.answers} answers from {c.count} rows": 1 <= c.answers <= c.count,
        f"the inverse errs by {c.inverse_error:.1e}": c.inverse_error <= max_inverse_error,
        f"the residual {c.residual:.3g} is outside 0 to 1": -tolerance <= c.residual <= 1 + tolerance,
        f"{c.degrees_of_freedom:.6g} degrees of freedom, more than rows or dimensions": c.degrees_of_freedom
        <= rank_max,
        f"rank {c.rank}, more than rows or dimensions": c.rank <= rank_max,
    }
    return [reason for reason, holds in checks.items() if not holds]
