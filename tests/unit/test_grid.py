"""The grid: unit length, exact norms, clear refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, snap, squared_norms, zero_rows

finite = arrays(np.float64, (3, 7), elements=st.floats(allow_nan=False, allow_infinity=False))


@settings(deadline=None)
@given(finite)
def test_rows_are_unit_vectors_to_half_a_step_a_coordinate(vectors: NDArray[np.float64]) -> None:
    rows = snap(vectors)
    assert rows.dtype == np.int16
    filled = vectors.any(axis=1)
    assert (zero_rows(rows) == ~filled).all()
    norms = np.sqrt(squared_norms(rows[filled])) / SCALE
    np.testing.assert_allclose(norms, 1, atol=np.sqrt(7) / 2 / SCALE)


@settings(deadline=None)
@given(finite)
def test_a_row_does_not_depend_on_its_batch(vectors: NDArray[np.float64]) -> None:
    alone = [snap(vector[None])[0] for vector in vectors]
    np.testing.assert_array_equal(snap(vectors), np.stack(alone))


def test_snapping_again_keeps_a_row_within_a_step() -> None:
    rows = snap(np.random.default_rng(0).normal(size=(50, 64)))
    assert np.abs(snap(rows.astype(np.float64)).astype(int) - rows).max() <= 1


def test_norms_are_exact_where_int32_would_overflow() -> None:
    assert squared_norms(np.full((1, 4096), -(1 << 15), dtype=np.int16)).tolist() == [4096 << 30]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        snap(np.array([[0.0, bad]]))


def test_no_rows() -> None:
    assert snap(np.zeros((0, 5))).shape == (0, 5)
