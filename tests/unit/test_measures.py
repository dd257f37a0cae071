"""Equations 14 and 15 tied to the weights: with Φ(t) = t² and μ = Σ δ(w_j) the loss is that of ridge.

As printed, Ω(μ) does not depend on W, and the minimum over W is least squares whatever λ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.statistics.statistics import Statistics

Floats = NDArray[np.float64]


def loss(x: Floats, y: Floats, weights: Floats, ridge: float) -> float:
    """Equation 15: ‖XW - Y‖² + λ Σ_j Φ(‖w_j‖), over the rows w_j of W."""
    return float(np.square(x @ weights - y).sum() + ridge * sum(np.linalg.norm(w) ** 2 for w in weights))


@given(st.integers(0, 100), st.sampled_from([0.01, 0.1, 1.0]), st.integers(1, 40), st.floats(1e-3, 10))
def test_nothing_near_or_far_has_less_of_the_loss_than_what_is_solved(
    seed: int, ridge: float, count: int, size: float
) -> None:
    random = np.random.default_rng(seed)
    rows = snap(random.normal(size=(count, 7)))
    answers = random.integers(3, size=count)
    statistics = Statistics(7)
    statistics.add(rows, [str(answer) for answer in answers])
    x, y = rows / SCALE, np.eye(3)[answers]
    solved = solve(statistics, ridge, "cpu").projection @ x.T @ y
    step = random.normal(size=solved.shape) * size
    more = loss(x, y, solved + step, ridge) - loss(x, y, solved, ridge)
    # From its minimum, and from nowhere else, a quadratic rises by exactly its second-order term.
    assert more == pytest.approx(np.square(x @ step).sum() + ridge * np.square(step).sum(), rel=1e-6)
    assert more > 0
