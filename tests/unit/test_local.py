"""The local closed form against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.grid import snap
from hurnet_stream.core.rule.local_solve import RIDGE, local_coefficients


@pytest.mark.parametrize("m", [1, 2, 40])
def test_it_solves_its_own_equation(m: int) -> None:
    random = np.random.default_rng(m)
    rows = snap(random.normal(size=(m, 16)) + 1).astype(np.float32)
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    cosines = unit @ unit[0]
    alpha = local_coefficients(rows, cosines)
    kernel = (unit @ unit.T) ** 2 + RIDGE * np.eye(m)
    np.testing.assert_allclose(kernel @ alpha, np.maximum(cosines, 0) ** 2, atol=1e-5)


def test_one_entry_that_is_the_query_itself() -> None:
    assert local_coefficients(snap(np.ones((1, 4))).astype(np.float32), np.ones(1)) == pytest.approx(
        [1 / (1 + RIDGE)]
    )


def test_copies_share_and_opposites_count_for_nothing() -> None:
    rows = snap(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).astype(np.float32)
    alpha = local_coefficients(rows[:3], np.array([1.0, 1.0, 0.0]))
    assert alpha[0] == pytest.approx(alpha[1])
    assert alpha[:2].sum() == pytest.approx(2 / (2 + RIDGE))
    assert alpha[2] == pytest.approx(0, abs=1e-6)
    assert local_coefficients(rows[3:], np.array([-1.0])) == pytest.approx([0])


def test_many_copies_stay_solvable() -> None:
    rows = np.repeat(snap(np.random.default_rng(0).normal(size=(1, 32))), 256, axis=0).astype(np.float32)
    assert local_coefficients(rows, np.ones(256)).sum() == pytest.approx(256 / (256 + RIDGE), abs=1e-3)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 99))
def test_a_weight_is_so_many_copies(weights: list[int], seed: int) -> None:
    rows = snap(np.random.default_rng(seed).normal(size=(len(weights), 6))).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (unit @ unit[0]).astype(np.float64)
    alpha = local_coefficients(rows, cosines, np.array(weights, np.float64))
    every = local_coefficients(np.repeat(rows, weights, axis=0), np.repeat(cosines, weights))
    starts = np.cumsum([0, *weights[:-1]])
    np.testing.assert_allclose(alpha, np.add.reduceat(every, starts), atol=1e-4)  # K is float32


def test_weights_of_1_change_no_bit() -> None:
    rows = snap(np.random.default_rng(3).normal(size=(50, 8))).astype(np.float32)
    cosines = np.linspace(1, -1, 50)
    assert np.array_equal(local_coefficients(rows, cosines), local_coefficients(rows, cosines, np.ones(50)))
