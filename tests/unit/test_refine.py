"""Exact residuals against rational arithmetic, and refined weights against exact elimination."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core.arrays import Backend, backend_of
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.solve.inverse import by_eigh
from hurnet_stream.core.solve.problem import problem_of
from hurnet_stream.core.solve.refine import MAX_STEPS, ExactSystem, refine, snapped_ridge
from hurnet_stream.core.solve.solve import certified, solve, solve_weights
from hurnet_stream.core.solve.weights import MAX_RIDGE
from hurnet_stream.core.statistics.statistics import Statistics

Floats = NDArray[np.float64]
Rationals = list[list[Fraction]]
BACKENDS = [backend_of("cpu"), Backend(np, "cpu"), Backend(torch, "cpu:0")]
"""The last takes the way of a GPU, as nothing but "cpu" is on the host; what it computes on is the CPU."""

pytestmark = pytest.mark.usefixtures("each_library")


def symmetric(size: int, bits: int, seed: int) -> NDArray[np.int64]:
    chance = np.random.default_rng(seed)
    lower = np.tril(chance.integers(-(1 << bits) + 1, 1 << bits, (size, size)))
    return np.asarray(lower + np.tril(lower, -1).T)


def product(matrix: NDArray[np.int64], ridge: float, x: Floats) -> Rationals:
    """(M·2⁻²⁸ + λ)x, slow and exact."""
    unit, n = Fraction(1, 1 << 28), len(matrix)
    return [
        [
            sum((Fraction(int(matrix[i, j])) * unit * Fraction(float(x[j, k])) for j in range(n)), Fraction())
            + Fraction(ridge) * Fraction(float(x[i, k]))
            for k in range(x.shape[1])
        ]
        for i in range(n)
    ]


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 9),
    bits=st.integers(1, 61),
    ridge=st.one_of(st.just(0.0), st.floats(2.0**-64, 2.0**32)),
    backend=st.sampled_from(BACKENDS),
)
def test_the_residual_is_the_rational_one_rounded(
    seed: int, size: int, bits: int, ridge: float, backend: Backend
) -> None:
    matrix, ridge = symmetric(size, bits, seed), snapped_ridge(ridge)
    chance = np.random.default_rng(seed)
    system = ExactSystem(matrix, ridge, backend)
    wild = chance.standard_normal((size, 2)) * 10.0 ** chance.integers(-9, 9, (size, 2))
    x = system.snapped(backend.put(wild))
    exact = product(matrix, ridge, backend.host(x))
    target = np.array([[float(value) for value in row] for row in exact])  # leaves nothing but its rounding
    found = backend.host(system.residual(backend.put(target), x))
    for i, row in enumerate(exact):
        for k, value in enumerate(row):
            left = Fraction(float(target[i, k])) - value
            assert abs(Fraction(float(found[i, k])) - left) <= abs(left) * Fraction(2, 1 << 52)


@pytest.mark.parametrize("backend", BACKENDS, ids=str)
def test_snapping_changes_the_last_bit_of_no_large_entry(backend: Backend) -> None:
    system = ExactSystem(symmetric(6, 40, 1), 0.1, backend)
    x = backend.put(np.random.default_rng(1).uniform(1, 2, (6, 4)) * 10.0 ** np.arange(4))
    assert (system.snapped(x) == x).all()
    small = backend.put(np.array([[1.0], [1e-30], *[[0.0]] * 4]))
    assert system.snapped(small).ravel().tolist() == [1.0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("ridge", [0.1, 1.0, 2.0**-12 + 2.0**-64, 3.7e9, 0.0])
def test_a_ridge_is_taken_as_it_is(ridge: float) -> None:
    assert snapped_ridge(ridge) == ridge


def test_a_tiny_ridge_is_taken_at_the_next_multiple_and_a_huge_one_refused() -> None:
    assert snapped_ridge(1e-19) == 2 * 2.0**-64
    with pytest.raises(ValueError, match="below"):
        snapped_ridge(MAX_RIDGE)


def test_entries_that_leave_no_room_are_refused() -> None:
    with pytest.raises(OverflowError, match="too large"):
        ExactSystem(np.array([[1 << 62]]), 0.0, BACKENDS[0])


@pytest.mark.parametrize("backend", BACKENDS, ids=str)
def test_refinement_leaves_out_a_step_that_would_be_noise(backend: Backend) -> None:
    system = ExactSystem(np.array([[1 << 28]]), 0.0, backend)
    target = backend.put(np.array([[1.0]]))
    wrong = refine(system, target, lambda r: 3 * r)
    assert (wrong.steps, wrong.solution.item()) == (1, -3.0)
    slow = refine(system, target, lambda r: 0.75 * r)
    assert (slow.steps, slow.solution.item()) == (MAX_STEPS, 1 - 0.25**4)
    assert slow.correction == pytest.approx(0.75 * 0.25**4, rel=0.01)


def ill_conditioned(condition: float, d: int = 40, m: int = 240) -> tuple[NDArray[np.int16], list[str]]:
    """Rows on the grid whose X has about this condition: small integers times triangular integer matrices.

    An inverse of such a triangle doubles from entry to entry. Two of them: two small singular values, of
    which one is the square root of the other.
    """
    chance = np.random.default_rng(7)
    mixing = np.eye(d, dtype=np.int64)
    first = 0
    for power in (1.0, 0.5):
        size = min(round(math.log2(condition) * power), d - first)
        mixing[first : first + size, first : first + size] -= np.triu(np.ones((size, size), np.int64), 1)
        first += size
    rows = chance.integers(-100, 101, (m, d)) @ mixing
    return rows.astype(np.int16), [f"a{i}" for i in chance.integers(0, 4, m)]


def learned(rows: NDArray[np.int16], labels: Sequence[str]) -> Statistics:
    statistics = Statistics(rows.shape[1])
    statistics.add(rows, labels)
    return statistics


def eliminated(rows: NDArray[np.int16], right: NDArray[Any], ridge: float = 0.0) -> Rationals:
    """(G + λI)⁻¹·right·2²⁸ for integers on the right, exactly: fractions only at the end (Bareiss 1968)."""
    x, d, scale = rows.astype(object), rows.shape[1], 1 << 36
    ridged = x.T @ x * scale + np.eye(d, dtype=int) * int(ridge * 2.0**64)
    system = np.hstack([ridged, right.astype(object) * scale])
    last = 1
    for k in range(d):
        others = [i for i in range(d) if i != k]
        system[others] = (system[k, k] * system[others] - np.outer(system[others, k], system[k])) // last
        last = system[k, k]
    return [[Fraction(value << 28, last) for value in row] for row in system[:, d:]]


def sums(rows: NDArray[np.int16], labels: Sequence[str], names: Sequence[str]) -> NDArray[Any]:
    """C for some answers, in units of 2⁻¹⁴."""
    chosen = np.array([[label == name for name in names] for label in labels], dtype=np.int64)
    return np.asarray(rows.astype(np.int64).T @ chosen)


def oracle(
    rows: NDArray[np.int16], labels: Sequence[str], names: Sequence[str], ridge: float = 0
) -> Rationals:
    """(G + λI)⁻¹C in rationals."""
    return [[v / SCALE for v in row] for row in eliminated(rows, sums(rows, labels, names), ridge)]


def floats(rationals: Rationals) -> Floats:
    return np.array([[float(value) for value in row] for row in rationals])


def apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize("condition", [1e0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
def test_refined_weights_are_right_to_the_last_bit_where_least_squares_on_the_rows_is_not(
    condition: float,
) -> None:
    rows, labels = ill_conditioned(condition)
    names = sorted(set(labels))
    exact = floats(oracle(rows, labels, names))
    found = solve_weights(learned(rows, labels), names, 0.0, "cpu")
    assert apart(found.weights, exact) <= 1e-15
    assert found.correction <= 1e-15
    assert found.steps <= 3
    x, y = rows / SCALE, np.array([[label == name for name in names] for label in labels], float)
    real = np.linalg.cond(x)
    assert condition / 10 < real < condition * 100
    rows_own = apart(np.linalg.lstsq(x, y)[0], exact)
    assert rows_own < 1e-14 * real
    assert rows_own > 1e-13 or condition < 1e4  # so that the comparison says something


@pytest.mark.parametrize("ridge", [2.0**-40, 1e-6, 0.1])
def test_a_ridge_is_refined_too(ridge: float) -> None:
    rows, labels = ill_conditioned(1e10, d=30, m=100)
    exact = floats(oracle(rows, labels, ["a0"], ridge))
    assert apart(solve_weights(learned(rows, labels), ["a0"], ridge, "cpu").weights, exact) <= 1e-15


@pytest.mark.parametrize("condition", [1e4, 1e6])
def test_the_residual_of_an_ill_conditioned_solve_is_exact(condition: float) -> None:
    rows, labels = ill_conditioned(condition)
    names = sorted(set(labels))
    w, c_integers = oracle(rows, labels, names), sums(rows, labels, names)
    explained = sum(w[i][a] * int(c_integers[i, a]) for i in range(len(w)) for a in range(len(names)))
    left = (len(rows) - explained / SCALE) / len(rows)
    c = solve(learned(rows, labels), 0.0, "cpu").certificate
    assert c.residual_exact
    assert 1 <= c.refinement_steps <= MAX_STEPS
    assert c.residual == pytest.approx(float(left), rel=1e-15)


@pytest.mark.parametrize(
    ("condition", "ridge", "off"), [(1e2, 0.0, 1e-13), (1e2, 0.1, 1e-14), (1e4, 0.0, 1e-10)]
)
def test_the_residual_taken_from_p_is_as_right_as_p(
    condition: float, ridge: float, off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With too many answers for W's columns to be refined too. ‖XW - Y‖² = m - tr(WᵀC) - λ‖W‖²."""
    monkeypatch.setattr("hurnet_stream.core.solve.exact_residual.EXACT_ANSWERS", 0)
    rows, labels = ill_conditioned(condition)
    names = sorted(set(labels))
    w, c_integers = oracle(rows, labels, names, ridge), sums(rows, labels, names)
    pairs = [(w[i][a], int(c_integers[i, a])) for i in range(len(w)) for a in range(len(names))]
    left = len(rows) - sum(value * c / SCALE + Fraction(ridge) * value**2 for value, c in pairs)
    c = solve(learned(rows, labels), ridge, "cpu").certificate
    assert not c.residual_exact
    assert c.residual == pytest.approx(float(left / len(rows)), rel=off)


@pytest.mark.parametrize("condition", [1e4, 1e6])
def test_a_refined_projection_is_right_to_its_last_bits(condition: float) -> None:
    rows, labels = ill_conditioned(condition, d=32, m=100)
    exact = floats(eliminated(rows, np.eye(32, dtype=int)))
    weights = solve(learned(rows, labels), 0.0, "cpu")
    assert weights.certificate.refinement_steps
    assert apart(weights.projection, exact) <= 2e-16
    in_float64 = np.linalg.inv((rows / SCALE).T @ (rows / SCALE))
    assert apart(in_float64, exact) > 1e-11


def test_least_norm_where_columns_are_the_same() -> None:
    rows, labels = ill_conditioned(1e6, d=24, m=100)
    doubled = np.hstack([rows, rows[:, :4]])
    exact = floats(oracle(rows, labels, ["a0", "a1"]))
    exact[:4] /= 2  # of two equal columns each has half
    found = solve_weights(learned(doubled, labels), ["a0", "a1"], 0.0, "cpu").weights
    assert apart(found, np.vstack([exact, exact[:4]])) < 1e-12


def test_a_row_alone() -> None:
    rows = np.array([[SCALE, 0, SCALE // 2]], np.int16)
    found = solve_weights(learned(rows, ["a"]), ["a"], 0.0, "cpu")
    assert found.weights.ravel() == pytest.approx(np.array([1, 0, 0.5]) / 1.25, rel=1e-15)


def test_answers_that_are_not_there_and_statistics_without_pairs_are_refused() -> None:
    with pytest.raises(KeyError):
        solve_weights(learned(*ill_conditioned(1e2)), ["nobody's"], 0.1, "cpu")
    with pytest.raises(ValueError, match="no pairs"):
        solve_weights(Statistics(3), [], 0.1, "cpu")
    with pytest.raises(ValueError, match="ridge"):
        solve_weights(learned(*ill_conditioned(1e2)), ["a0"], -1.0, "cpu")


def test_what_is_refined_is_the_same_by_each_library() -> None:
    statistics = learned(*ill_conditioned(1e4))
    results = []
    for backend in BACKENDS:
        problem = problem_of(statistics, backend)
        weights = certified(problem, 0.0, by_eigh(problem, 0.0))
        assert weights.certificate.refinement_steps
        assert weights.certificate.residual_exact
        results.append(weights)
    for other in results[1:]:
        assert apart(other.projection, results[0].projection) < 1e-15
        assert other.certificate.residual == pytest.approx(results[0].certificate.residual, rel=1e-15)
