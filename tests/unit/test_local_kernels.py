"""What compares a few hundred rows in C, against Python's own integers, LAPACK and the same in numpy, on
every kind of CPU that this one can play."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import disabled
from hurnet_stream.core.native import local_solve as kernels
from hurnet_stream.core.native.search import best_level
from hurnet_stream.core.rule.comparing import solve_over, with_question
from hurnet_stream.core.stored.entries import Entry

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the kernels were not built")

LEVELS = range(best_level() + 1) if kernels.available() else range(0)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = NDArray[np.int16]

ONE = np.ones((1, 1))
component = st.integers(-SCALE, SCALE) | st.sampled_from([-SCALE, -1, 0, 1, SCALE])


@st.composite
def short_rows(draw: st.DrawFn) -> Rows:
    """Any rows with |x|² below 2³¹: of 7 components, or of more that are small enough."""
    d = draw(st.integers(1, 70))
    most = int(np.sqrt((kernels.MOST_SQUARED - 1) / d))
    rows = draw(hnp.arrays(np.int16, (draw(st.integers(1, 40)), d), elements=component))
    short: Rows = np.clip(rows, -most, most)
    return short


def addresses(rows: Rows) -> Integers:
    stood: Integers = rows.ctypes.data + np.arange(len(rows)) * rows.strides[0]
    return stood


def unit_rows(m: int, d: int, seed: int = 0) -> Rows:
    """Rows that have something in common, as the nearest of a question do."""
    chance = np.random.default_rng(seed)
    return snap(chance.normal(size=(m, d)) + chance.normal(size=d))


def by_lapack(rows: Rows, parts: list[slice], shares: Floats, diagonal: Floats, right: Floats) -> Floats:
    cosines = []
    for part in parts:
        wide = rows[:, part].astype(np.float64)
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        wide = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
        cosines.append(wide @ wide.T)
    kernels_of = [np.square(np.tensordot(of_parts, cosines, 1)) + np.diag(diagonal) for of_parts in shares]
    return np.array([np.linalg.solve(kernel, k) for kernel, k in zip(kernels_of, right, strict=True)])


@pytest.mark.parametrize("level", LEVELS)
@given(rows=short_rows(), first=st.integers(0, 69), size=st.integers(1, 70))
def test_products_are_those_of_integers(level: int, rows: Rows, first: int, size: int) -> None:
    first = min(first, rows.shape[1] - 1)
    part = slice(first, min(first + size, rows.shape[1]))
    wide = rows[:, part].astype(np.int64)
    assert np.array_equal(np.triu(kernels.row_products(addresses(rows), part, level)), np.triu(wide @ wide.T))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("m", [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 255, 256, 257, 600])
def test_alpha_is_that_of_lapack(level: int, m: int) -> None:
    chance, parts = np.random.default_rng(m), [slice(16, 40), slice(0, 16)]
    rows = unit_rows(m, 40, m)
    shares, diagonal = np.array([[1.0, 0.0], [0.25, 0.75]]), 0.1 / chance.integers(1, 9, m)
    right = chance.random((2, m))
    found = kernels.solve(addresses(rows), parts, shares, diagonal, right, level)
    assert found is not None
    np.testing.assert_allclose(found, by_lapack(rows, parts, shares, diagonal, right), atol=1e-12 * m)


@pytest.mark.parametrize("level", LEVELS)
def test_a_row_may_be_nothing_in_one_part(level: int) -> None:
    rows = unit_rows(20, 32)
    rows[3, :16] = rows[4, 16:] = 0
    parts = [slice(0, 16), slice(16, 32)]
    shares, diagonal, right = np.array([[0.5, 0.5]]), np.full(20, 0.1), np.ones((1, 20))
    found = kernels.solve(addresses(rows), parts, shares, diagonal, right, level)
    assert found is not None
    np.testing.assert_allclose(found, by_lapack(rows, parts, shares, diagonal, right), atol=1e-12)
    cosines = kernels.cosines(addresses(rows), parts, rows[0], level)
    assert cosines[0, 3] == cosines[1, 4] == 0


@pytest.mark.parametrize("level", LEVELS)
def test_rows_that_are_all_alike_share_what_one_of_them_would_get(level: int) -> None:
    rows = np.repeat(unit_rows(1, 64), 256, axis=0)
    found = kernels.solve(addresses(rows), [slice(0, 64)], ONE, np.full(256, 0.1), np.ones((1, 256)), level)
    assert found is not None
    np.testing.assert_allclose(found, 1 / 256.1, rtol=1e-9)


@pytest.mark.parametrize("level", LEVELS)
def test_a_system_that_is_not_positive_definite_is_refused(level: int) -> None:
    held = unit_rows(30, 16)
    rows = addresses(held)
    for diagonal in (np.full(30, -2.0), np.full(30, np.nan), np.r_[np.full(29, 0.1), -2.0]):
        assert kernels.solve(rows, [slice(0, 16)], ONE, diagonal, np.ones((1, 30)), level) is None


def test_cpus_that_round_products_and_sums_once_agree_to_the_last_bit() -> None:
    chance = np.random.default_rng(0)
    rows = chance.integers(-2_000, 2_000, (200, 96), np.int16)
    right, diagonal = chance.random((1, 200)), np.full(200, 0.1)
    for level in LEVELS[1:]:
        alpha = kernels.solve(addresses(rows), [slice(0, 96)], ONE, diagonal, right, level)
        assert alpha is not None
        assert (
            hashlib.sha256(alpha.tobytes()).hexdigest()[:16] == "9ff544e66ede93ee"
        )  # that of all other CPUs


def index_of(rows: Rows) -> ContextIndex:
    index = ContextIndex(rows.shape[1])
    index.append(0, [Entry(i, 0, "c", f"text {i}", "a") for i in range(len(rows))], rows)
    return index


@given(seed=st.integers(0, 99), m=st.integers(1, 60))
def test_without_kernels_the_same_comes_out(seed: int, m: int) -> None:
    chance, halves = np.random.default_rng(seed), [slice(0, 24), slice(24, 40)]
    rows = unit_rows(100, 40, seed)
    rows[chance.integers(100, size=5), :24] = 0
    chosen, question = chance.choice(100, m, replace=False), unit_rows(1, 40, seed + 1)[0]
    shares, ridge = np.array([[1.0, 0.0], [0.25, 0.75]]), chance.uniform(0.1, 9.0, m)

    def compared() -> tuple[Floats, Floats]:
        index = index_of(rows)
        cosines = with_question(index, chosen, question, halves)
        return cosines, solve_over(index, chosen, halves, shares, cosines, ridge)

    cosines, alphas = compared()
    with disabled():
        cosines_in_numpy, alphas_in_numpy = compared()
    np.testing.assert_array_equal(cosines, cosines_in_numpy)
    np.testing.assert_allclose(alphas, alphas_in_numpy, atol=1e-12)


def test_rows_whose_products_int32_might_not_hold_are_left_to_numpy() -> None:
    rows = unit_rows(10, 16)
    index = index_of(rows)
    assert index.addresses(np.arange(10)) is not None
    longest = np.full((1, 16), SCALE, np.int16)  # |x|² = 2³²
    index.append(0, [Entry(10, 0, "c", "long", "a")], longest)
    assert index.addresses(np.arange(10)) is None
    assert with_question(index, np.array([10]), longest[0], [slice(0, 16)]) == 1


def test_a_question_that_is_too_long_is_left_to_numpy() -> None:
    rows = unit_rows(10, 16)
    longest = np.full(16, SCALE, np.int16)
    expected = rows.sum(axis=1) / 4 / np.linalg.norm(rows, axis=1)
    found = with_question(index_of(rows), np.arange(10), longest, [slice(0, 16)])
    np.testing.assert_allclose(found[0], expected)
