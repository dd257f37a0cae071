"""The kernels of the local solve against Python's own integers and against LAPACK, on every kind of CPU that
this one can play."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.native import local_solve as kernels
from hurnet_stream.core.native.search import best_level

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the kernels were not built")

LEVELS = range(best_level() + 1) if kernels.available() else range(0)
Floats = NDArray[np.float64]

int16_rows = hnp.arrays(
    np.int16,
    st.tuples(st.integers(1, 40), st.integers(1, 70)),
    elements=st.integers(-(2**15), 2**15 - 1) | st.sampled_from([-(2**15), -SCALE, -1, 0, 1, SCALE]),
)


def unit_rows(m: int, d: int, seed: int = 0) -> NDArray[np.int16]:
    """Rows that have something in common, as the nearest of a question do."""
    chance = np.random.default_rng(seed)
    return snap(chance.normal(size=(m, d)) + chance.normal(size=d))


def by_lapack(
    rows: NDArray[np.int16], ends: tuple[int, ...], shares: Floats, diagonal: Floats, right: Floats
) -> Floats:
    cosines = []
    for first, end in zip((0, *ends), ends, strict=False):
        part = rows[:, first:end].astype(np.float64)
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        part = np.divide(part, lengths, out=np.zeros_like(part), where=lengths > 0)
        cosines.append(part @ part.T)
    kernels_of = [np.square(np.tensordot(of_parts, cosines, 1)) + np.diag(diagonal) for of_parts in shares]
    return np.array([np.linalg.solve(kernel, k) for kernel, k in zip(kernels_of, right, strict=True)])


@pytest.mark.parametrize("level", LEVELS)
@given(rows=int16_rows)
def test_products_are_those_of_integers(level: int, rows: NDArray[np.int16]) -> None:
    wide = rows.astype(np.int64)
    products = kernels.row_products(rows, level)
    if products is None:
        assert (np.square(wide).sum(axis=1) > 2**31 - 256 * rows.shape[1]).any()
    else:
        assert np.array_equal(np.triu(products), np.triu(wide @ wide.T))


@pytest.mark.parametrize("level", LEVELS)
def test_a_product_that_int32_might_not_hold_is_refused(level: int) -> None:
    long_row = np.full((2, 8), SCALE, np.int16)  # |x|² = 2³¹
    assert kernels.row_products(long_row, level) is None
    assert kernels.row_products(long_row[:, :7].copy(), level) is not None
    one = np.ones((1, 1))
    assert kernels.solve(kernels.addresses(long_row), (8,), one, np.ones(2), np.ones((1, 2)), level) is None


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("m", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 255, 256, 257, 600])
def test_alpha_is_that_of_lapack(level: int, m: int) -> None:
    chance, ends = np.random.default_rng(m), (24, 40)
    rows = unit_rows(m, 40, m)
    shares, diagonal = np.array([[1.0, 0.0], [0.25, 0.75]]), 0.1 / chance.integers(1, 9, m)
    right = chance.random((2, m))
    found = kernels.solve(kernels.addresses(rows), ends, shares, diagonal, right, level)
    assert found is not None
    np.testing.assert_allclose(found, by_lapack(rows, ends, shares, diagonal, right), atol=1e-12 * m)


@pytest.mark.parametrize("level", LEVELS)
def test_a_row_may_be_nothing_in_one_part(level: int) -> None:
    rows = unit_rows(20, 32)
    rows[3, :16] = rows[4, 16:] = 0
    shares, diagonal, right = np.array([[0.5, 0.5]]), np.full(20, 0.1), np.ones((1, 20))
    found = kernels.solve(kernels.addresses(rows), (16, 32), shares, diagonal, right, level)
    assert found is not None
    np.testing.assert_allclose(found, by_lapack(rows, (16, 32), shares, diagonal, right), atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_rows_that_are_all_alike_are_no_trouble(level: int) -> None:
    rows = np.repeat(unit_rows(1, 64), 256, axis=0)
    found = kernels.solve(
        kernels.addresses(rows), (64,), np.ones((1, 1)), np.full(256, 0.1), np.ones((1, 256)), level
    )
    assert found is not None
    np.testing.assert_allclose(found, 1 / 256.1, rtol=1e-9)  # they share what one of them would get


@pytest.mark.parametrize("level", LEVELS)
def test_a_system_that_is_not_positive_definite_is_refused(level: int) -> None:
    rows = kernels.addresses(unit_rows(30, 16))
    for diagonal in (np.full(30, -2.0), np.full(30, np.nan), np.r_[np.full(29, 0.1), -2.0]):
        assert kernels.solve(rows, (16,), np.ones((1, 1)), diagonal, np.ones((1, 30)), level) is None


@pytest.mark.skipif(best_level() < 2, reason="this CPU has no AVX-512")
def test_cpus_that_round_products_and_sums_once_agree_to_the_last_bit() -> None:
    rows = unit_rows(200, 96)
    right = np.random.default_rng(0).random((1, 200))
    avx2, avx512 = (
        kernels.solve(kernels.addresses(rows), (96,), np.ones((1, 1)), np.full(200, 0.1), right, level)
        for level in (1, 2)
    )
    assert avx2 is not None
    assert avx512 is not None
    assert avx2.tobytes() == avx512.tobytes()


def test_neighbours_that_share_memory_with_others_are_read_where_they_are() -> None:
    held = unit_rows(100, 48)
    chosen = np.array([7, 93, 2, 50])
    one, diagonal, right = np.ones((1, 1)), np.full(4, 0.1), np.ones((1, 4))
    found = kernels.solve(kernels.addresses(held)[chosen], (48,), one, diagonal, right)
    assert found is not None
    np.testing.assert_allclose(found, by_lapack(held[chosen], (48,), one, diagonal, right), atol=1e-13)
