"""The local closed form against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core.rule.local_solve import RIDGE, local_coefficients, ridges

Floats = NDArray[np.float64]


def cosines(rows: Floats) -> Floats:
    """Of rows (m, d) with each other, (m, m)."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


@pytest.mark.parametrize("m", [1, 2, 40])
def test_it_solves_its_own_equation(m: int) -> None:
    alike = cosines(np.random.default_rng(m).normal(size=(m, 16)) + 1)
    alpha = local_coefficients(alike, alike[0])
    np.testing.assert_allclose(
        (alike**2 + RIDGE * np.eye(m)) @ alpha, np.maximum(alike[0], 0) ** 2, atol=1e-9
    )


def test_one_entry_that_is_the_query_itself() -> None:
    assert local_coefficients(np.ones((1, 1)), np.ones(1)) == pytest.approx([1 / (1 + RIDGE)])


def test_copies_share_and_opposites_count_for_nothing() -> None:
    alike = cosines(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    alpha = local_coefficients(alike, np.array([1.0, 1.0, 0.0]))
    assert alpha[0] == pytest.approx(alpha[1])
    assert alpha[:2].sum() == pytest.approx(2 / (2 + RIDGE))
    assert alpha[2] == pytest.approx(0, abs=1e-6)
    assert local_coefficients(np.ones((1, 1)), np.array([-1.0])) == pytest.approx([0])


def test_many_copies_stay_solvable() -> None:
    assert local_coefficients(np.ones((256, 256)), np.ones(256)).sum() == pytest.approx(256 / (256 + RIDGE))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 99))
def test_a_weight_is_so_many_copies(weights: list[int], seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(len(weights), 6))
    alike = cosines(rows)
    counts = np.array(weights, np.float64)
    alpha = local_coefficients(alike, alike[0], ridges(np.ones(len(weights), np.int64), 1.0, counts))
    copied = cosines(np.repeat(rows, weights, axis=0))
    every = local_coefficients(copied, copied[0])
    starts = np.cumsum([0, *weights[:-1]])
    np.testing.assert_allclose(alpha, np.add.reduceat(every, starts), atol=1e-6)


def test_the_ridge_grows_with_what_teaches_an_answer_if_nothing_is_near() -> None:
    taught = np.array([1, 4, 100])
    assert ridges(taught, 0.9, None) == pytest.approx([RIDGE] * 3)
    assert ridges(taught, 0.7, None) == pytest.approx([RIDGE] * 3)
    assert ridges(taught, 0.65, None) == pytest.approx(RIDGE * np.array([1, 2, 10]))
    assert ridges(taught, 0.2, None) == pytest.approx(RIDGE * taught)
    assert ridges(np.array([4, 4, 12]), 0.2, None) == pytest.approx(RIDGE * np.array([1, 1, 3]))
    assert ridges(np.array([0]), 0.2, np.array([2.0])) == pytest.approx(
        [RIDGE / 2]
    )  # an entry that teaches nothing


def test_if_nothing_is_near_many_entries_a_little_alike_count_less_beside_one_that_is_nearer() -> None:
    taught = np.array([1] + [200] * 200)  # one of "right", two hundred of "frequent"
    alike = np.full((201, 201), 0.3) + 0.7 * np.eye(201)
    with_query = np.array([0.45] + [0.35] * 200)

    def right_to_frequent(nearest: float) -> float:
        alpha = local_coefficients(alike, with_query, ridges(taught, nearest, None))
        return float(alpha[0] / alpha[1:].sum())

    shares = [right_to_frequent(nearest) for nearest in (0.45, 0.6, 0.65, 0.7, 0.95)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == shares[1] > 2 * shares[-1]
