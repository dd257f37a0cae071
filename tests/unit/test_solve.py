"""The closed form from the statistics against the same from the rows themselves (SVD, least squares)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.adapters.redis import published
from hurnet_stream.core import arrays
from hurnet_stream.core.arrays import Backend
from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.paper.gcv import solve_by_gcv, solve_with
from hurnet_stream.core.solve.inverse import by_cholesky, by_eigh
from hurnet_stream.core.solve.problem import problem_of
from hurnet_stream.core.solve.solve import certified, solve, solve_weights
from hurnet_stream.core.solve.weights import MAX_INVERSE_ERROR, Certificate, Weights, gate, predict
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.ports import PublishedWeights

pytestmark = pytest.mark.usefixtures("each_library")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Rows on the grid with their answers, and the same as X and one-hot Y in float64."""

    rows: NDArray[np.int16]
    labels: Sequence[str]

    @property
    def x(self) -> Floats:
        return self.rows / SCALE

    @property
    def y(self) -> Floats:
        names = sorted(set(self.labels))
        return np.eye(len(names))[[names.index(label) for label in self.labels]]

    @property
    def statistics(self) -> Statistics:
        statistics = Statistics(self.rows.shape[1])
        statistics.add(self.rows, self.labels)
        return statistics


def task(m: int, d: int, answers: int, condition: float = 1.0, seed: int = 0) -> Task:
    """Clusters around `answers` centres; dimensions scaled down to `condition` (of X, before snapping)."""
    chance = np.random.default_rng(seed)
    labels = [f"a{i % answers}" for i in range(m)]
    centres = chance.standard_normal((answers, d))
    rows = centres[[i % answers for i in range(m)]] + chance.standard_normal((m, d))
    return Task(snap(rows * np.logspace(0, -math.log10(condition), d)), labels)


def weights_of(task: Task, projection: Floats) -> Floats:
    return projection @ task.x.T @ task.y


def ridge_by_svd(x: Floats, y: Floats, ridge: float) -> Floats:
    """The oracle: from X's own singular value decomposition, which never squares the condition number."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    kept = s > max(x.shape) * np.finfo(float).eps * s[0]
    return np.asarray(vt[kept].T @ ((s[kept] / (s[kept] ** 2 + ridge))[:, None] * (u[:, kept].T @ y)))


def apart(one: Floats, other: NDArray[np.floating[Any]]) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 3.0])
@pytest.mark.parametrize(
    ("m", "d", "answers"), [(300, 24, 7), (300, 24, 300), (10, 24, 4), (1, 24, 1), (24, 1, 2)]
)
def test_ridge_equals_the_svd_of_the_rows(m: int, d: int, answers: int, ridge: float) -> None:
    t = task(m, d, answers)
    weights = solve(t.statistics, ridge, device="cpu")
    assert apart(weights_of(t, weights.projection), ridge_by_svd(t.x, t.y, ridge)) < 1e-11
    assert gate(weights) == []


@pytest.mark.parametrize(
    ("condition", "method", "tolerance"),
    [(1, "cholesky", 1e-12), (1e2, "cholesky", 1e-9), (3e3, "eigh", 1e-6)],
)
def test_without_a_ridge_it_is_least_squares(condition: float, method: str, tolerance: float) -> None:
    t = task(400, 20, 5, condition)
    weights = solve(t.statistics, 0, device="cpu")
    expected = np.linalg.lstsq(t.x, t.y)[0]
    assert apart(weights_of(t, weights.projection), expected) < tolerance
    assert weights.certificate.method == method
    assert weights.certificate.condition == pytest.approx(np.linalg.cond(t.x) ** 2, rel=1e-3)
    bound = weights.certificate.inverse_error * math.sqrt(20)  # of W's relative error
    assert apart(weights_of(t, weights.projection), expected) < 10 * bound < tolerance


def duplicated_columns() -> Task:
    t = task(200, 12, 5)
    half = snap(np.hstack([t.rows, t.rows[:, :6]]).astype(float)) // 2
    half[:, 12:] = half[:, :6]
    return Task(half, t.labels)


SINGULAR = {
    "fewer rows than dimensions": (task(9, 30, 3), 9),
    "one row": (task(1, 30, 1), 1),
    "the same row again and again": (Task(np.repeat(task(1, 8, 1).rows, 50, axis=0), ["a", "b"] * 25), 1),
    "duplicated columns": (duplicated_columns(), 12),
    "a dimension never used": (
        Task(task(80, 6, 4).rows * np.array([1, 1, 0, 1, 1, 0], np.int16), ["a"] * 80),
        4,
    ),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_statistics_give_the_pseudo_inverse(name: str) -> None:
    t, rank = SINGULAR[name]
    weights = solve(t.statistics, 0.0, device="cpu")
    assert weights.certificate.method == "eigh"
    assert weights.certificate.rank == rank
    assert weights.certificate.degrees_of_freedom == pytest.approx(rank)
    assert apart(weights.projection, np.linalg.pinv(t.x.T @ t.x, rcond=1e-10, hermitian=True)) < 1e-8
    assert apart(weights_of(t, weights.projection), np.linalg.pinv(t.x) @ t.y) < 1e-8
    assert gate(weights) == []


@pytest.mark.parametrize("name", SINGULAR)
def test_a_ridge_makes_singular_statistics_plain(name: str) -> None:
    t, rank = SINGULAR[name]
    weights = solve(t.statistics, 0.1, device="cpu")
    assert apart(weights_of(t, weights.projection), ridge_by_svd(t.x, t.y, 0.1)) < 1e-11
    assert (weights.certificate.method, weights.certificate.rank) == ("cholesky", rank)


def test_an_ill_conditioned_problem_takes_the_eigendecomposition_at_the_stated_condition() -> None:
    t = task(400, 20, 5, 30)
    condition = solve(t.statistics, 0.0, device="cpu").certificate.condition
    below = solve(t.statistics, 0.0, device="cpu", max_condition=condition * 0.99)
    above = solve(t.statistics, 0.0, device="cpu", max_condition=condition * 1.01)
    assert (below.certificate.method, above.certificate.method) == ("eigh", "cholesky")
    assert apart(below.projection, above.projection) < 1e-11


@pytest.mark.parametrize("ridge", [0.0, 0.1, "gcv"])
@pytest.mark.parametrize(("m", "answers"), [(300, 7), (300, 290), (15, 4)])
def test_the_certificate_says_what_the_rows_say(m: int, answers: int, ridge: float | Literal["gcv"]) -> None:
    t = task(m, 24, answers)
    weights = solve_with(t.statistics, ridge, device="cpu")
    c = weights.certificate
    s = np.linalg.svd(t.x, compute_uv=False)
    shares = s / s.sum()
    left = t.x @ weights_of(t, weights.projection) - t.y
    freedom = (s**2 / (s**2 + c.ridge)).sum()
    assert (c.count, c.answers, c.rank) == (m, answers, min(m, 24))
    assert c.degrees_of_freedom == pytest.approx(freedom)
    assert c.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert c.residual == pytest.approx((left**2).sum() / m, abs=1e-11)
    if c.ridge == 0 and m < 24:
        assert c.gcv is None
    else:
        assert c.gcv == pytest.approx(gcv_of_the_rows(t, np.array([c.ridge]))[0], rel=1e-6)
    assert json.loads(json.dumps(c.as_dict(), allow_nan=False))["rank"] == min(m, 24)


def gcv_of_the_rows(t: Task, ridges: Floats) -> list[float]:
    """(‖(I-H)Y‖²_F/m) / (tr(I-H)/m)² with the m by m matrix I - H itself, by X's left singular vectors."""
    m = len(t.x)
    u, s, _ = np.linalg.svd(t.x)
    squares = np.zeros(m)
    squares[: len(s)] = s**2
    scores = []
    for ridge in ridges:
        shares = np.divide(ridge, squares + ridge, out=np.ones(m), where=squares > 0)
        rest = (u * shares) @ u.T
        scores.append(float((np.linalg.norm(rest @ t.y) ** 2 / m) / (np.trace(rest) / m) ** 2))
    return scores


@pytest.mark.parametrize(
    ("m", "d", "answers", "condition"), [(200, 20, 3, 1), (60, 20, 5, 20), (30, 40, 3, 1)]
)
def test_cross_validation_takes_the_best_of_its_grid(m: int, d: int, answers: int, condition: float) -> None:
    t = task(m, d, answers, condition)
    c = solve_by_gcv(t.statistics, device="cpu").certificate
    grid = np.logspace(-6, 1, 57) * np.linalg.norm(t.x, 2) ** 2
    scores = gcv_of_the_rows(t, grid)
    assert c.ridge_chosen_by == "gcv"
    assert c.ridge == pytest.approx(grid[int(np.argmin(scores))], rel=1e-9)
    assert c.gcv == pytest.approx(min(scores), rel=1e-6)


def test_cross_validation_finds_a_ridge_that_serves_rows_it_has_not_seen() -> None:
    chance = np.random.default_rng(3)
    centres = chance.standard_normal((4, 30))
    labels = [i % 4 for i in range(4000)]
    rows = snap(centres[labels] + 3 * chance.standard_normal((4000, 30)))
    seen = Task(rows[:80], [str(label) for label in labels[:80]])
    unseen_x, unseen_y = rows[80:] / SCALE, np.eye(4)[labels[80:]]

    def error(ridge: float | Literal["gcv"]) -> float:
        w = weights_of(seen, solve_with(seen.statistics, ridge, device="cpu").projection)
        return float(((unseen_x @ w - unseen_y) ** 2).mean())

    best = min(error(float(ridge)) for ridge in np.logspace(-4, 3, 40))
    assert error("gcv") < 1.05 * best
    assert error(0.0) > 1.2 * best


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 30), st.integers(1, 6), st.floats(1e-3, 10)
)
def test_any_solution_obeys_its_own_gate(seed: int, d: int, m: int, answers: int, ridge: float) -> None:
    t = task(m, d, min(answers, m), seed=seed)
    weights = solve(t.statistics, ridge, device="cpu")
    w = weights_of(t, weights.projection)
    assert gate(weights) == []
    assert np.array_equal(weights.projection, weights.projection.T)
    # the normal equations (eq. 3): the gradient of ‖XW - Y‖² + λ‖W‖² is zero there
    assert np.allclose(t.x.T @ (t.x @ w - t.y) + ridge * w, 0, atol=1e-9)


def test_the_projection_and_the_sums_give_the_scores() -> None:
    t = task(300, 24, 7)
    statistics = t.statistics
    questions = task(20, 24, 7, seed=9).rows
    weights = solve(statistics, 0.1, device="cpu")
    names = sorted(statistics.answer_sums)
    sums = np.array([statistics.answer_sums[name].total for name in names]) / SCALE
    scores = predict(weights.projection, questions) @ sums.T
    assert np.allclose(scores, questions / SCALE @ ridge_by_svd(t.x, t.y, 0.1), atol=1e-12)


@pytest.mark.parametrize("ridge", [0.1, 3.0])
def test_cross_validation_s_score_is_near_the_leave_one_out_error(ridge: float) -> None:
    t = task(300, 12, 4)
    c = solve(t.statistics, ridge, device="cpu").certificate
    smoother = t.x @ np.linalg.solve(t.x.T @ t.x + ridge * np.eye(12), t.x.T)
    left = (t.y - smoother @ t.y) / (1 - smoother.diagonal())[:, None]
    error = (left**2).sum() / 300
    assert c.residual < error
    assert c.gcv == pytest.approx(error, rel=0.05)


@given(st.integers(0, 2**32 - 1), st.floats(0, 4))
def test_the_inverse_s_error_bounds_that_of_the_weights(seed: int, digits: float) -> None:
    t = task(60, 8, 3, 10**digits, seed)
    weights = solve(t.statistics, 2.0**-30, device="cpu")
    names = sorted(t.statistics.answer_sums)
    exact = solve_weights(t.statistics, names, 2.0**-30, "cpu").weights
    bound = weights.certificate.inverse_error * math.sqrt(8)  # ‖E‖_F
    # W = PC is taken in float64 here, which errs by some eps·‖P‖·‖C‖ by itself
    rounding = (
        1e-14 * np.linalg.norm(weights.projection) * np.linalg.norm(t.x.T @ t.y) / np.linalg.norm(exact)
    )
    assert apart(weights.projection @ (t.x.T @ t.y), exact) <= bound + rounding


@pytest.mark.parametrize("ridge", [0.0, 0.1, "gcv"])
@pytest.mark.parametrize("labels", ["a", "ab", "aab", "aaaa"])
@pytest.mark.parametrize("weight", [1, 1000])
def test_rows_without_any_spread_are_solved_and_pass_the_gate(
    ridge: float | Literal["gcv"], labels: str, weight: int
) -> None:
    """One pair, or equal ones, as often as they like: W = 0 off their one direction."""
    rows = snap(np.ones((len(labels), 7)))
    statistics = Statistics(7)
    statistics.add(rows, list(labels), np.full(len(labels), weight))
    weights = solve_with(statistics, ridge, device="cpu")
    assert gate(weights) == []
    json.dumps(weights.certificate.as_dict(), allow_nan=False)
    assert weights.certificate.ridge_chosen_by == ("gcv" if ridge == "gcv" else "fixed")
    columns = solve_weights(statistics, sorted(set(labels)), weights.certificate.ridge, "cpu").weights
    np.testing.assert_allclose(columns, np.broadcast_to(columns.mean(axis=0), columns.shape), atol=1e-9)
    if ridge == 0.0:
        shares = [labels.count(answer) / len(labels) for answer in sorted(set(labels))]
        np.testing.assert_allclose(rows[0] / SCALE @ columns, shares, atol=1e-9)


def test_the_bound_printed_as_equation_11_is_false_and_the_residual_is_right() -> None:
    """X = [1; 0] explains nothing of the second row, whose residual of 1 stays. The printed bound is 0."""
    statistics = Statistics(1)
    statistics.add(np.array([[SCALE], [0]], np.int16), ["first", "second"])
    certificate = solve(statistics, 0.0, device="cpu").certificate
    assert certificate.residual * certificate.count == pytest.approx(1.0)


def test_order_and_batches_give_the_same_weights_to_the_last_bit() -> None:
    t = task(300, 24, 7)
    backwards = Statistics(24)
    for start in range(0, 300, 50):
        backwards.add(t.rows[::-1][start : start + 50], t.labels[::-1][start : start + 50])
    one, other = solve(t.statistics, device="cpu"), solve(backwards, device="cpu")
    assert one.projection.tobytes() == other.projection.tobytes()
    assert one.certificate == other.certificate


def test_a_row_of_zeros_alone_is_solved_with_a_ridge_and_without() -> None:
    statistics = Statistics(3)
    statistics.add(np.zeros((2, 3), np.int16), ["a", "b"])
    assert np.allclose(solve(statistics, 0.1, device="cpu").projection, np.eye(3) / 0.1)
    flat = solve(statistics, 0.0, device="cpu")
    assert not flat.projection.any()
    assert gate(flat) == []
    json.dumps(flat.certificate.as_dict(), allow_nan=False)
    chosen = solve_by_gcv(statistics, device="cpu").certificate
    assert (chosen.ridge, chosen.ridge_chosen_by, chosen.residual) == (0, "gcv", 1)


@st.composite
def any_statistics(draw: st.DrawFn) -> Statistics:
    """Few distinct rows, often opposite, nearly equal, zero or as long as the grid allows, at any weights."""
    d = draw(st.integers(1, 5))
    step = st.sampled_from([0, 0, 1, -1, 2, 5_000, 5_001, -5_000, SCALE, -SCALE]) | st.integers(-SCALE, SCALE)
    pool = draw(st.lists(st.lists(step, min_size=d, max_size=d), min_size=1, max_size=3))
    rows = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=8))
    weight = st.sampled_from([1, 1, 2, 1000, 2**20, 2**31])
    labels = draw(st.lists(st.sampled_from("abc"), min_size=len(rows), max_size=len(rows)))
    weights = draw(st.lists(weight, min_size=len(rows), max_size=len(rows)))
    statistics = Statistics(d)
    statistics.add(np.array(rows, np.int16), labels, np.array(weights, np.int64))
    return statistics


@settings(max_examples=400, deadline=None)
@given(
    any_statistics(),
    st.sampled_from([0.0, 1e-300, 1e-18, 1e-12, 0.1, 1e6, 2.0**33 - 1, "gcv"]),
)
def test_no_statistics_whatever_fail_to_be_solved_or_refused(
    statistics: Statistics, ridge: float | Literal["gcv"]
) -> None:
    try:
        weights = solve_with(statistics, ridge, "cpu")
    except OverflowError:  # 2³⁴ rows and more, which the refinement says it can't hold
        assert statistics.count >= 2**33
        return
    if not gate(weights):
        fields = published.encode_weights(PublishedWeights("faq", 1, weights, {0: 1}, 0))
        stored = {name.encode(): value for name, value in fields.items()}
        assert published.decode_weights("faq", stored).weights.certificate == weights.certificate


def test_nothing_seen_is_nothing_to_solve() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        solve(Statistics(4), device="cpu")


@pytest.mark.parametrize("ridge", [-0.1, math.nan, math.inf])
def test_a_ridge_that_is_none_is_refused(ridge: float) -> None:
    with pytest.raises(ValueError, match="ridge"):
        solve(task(5, 2, 2).statistics, ridge, device="cpu")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown device"):
        solve(task(5, 2, 2).statistics, device="abacus")


@pytest.mark.parametrize("device", ["auto", "mps", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("ridge", [0.1, "gcv"])
def test_every_device_gives_the_same_weights_within_1e_10(device: str, ridge: float | Literal["gcv"]) -> None:
    if device == "cuda" and arrays.installed_torch() is None:
        pytest.skip("a GPU needs torch")
    statistics = task(2000, 64, 20, 10).statistics
    here, there = solve_with(statistics, ridge, device="cpu"), solve_with(statistics, ridge, device=device)
    assert apart(there.projection, here.projection) < 1e-10
    assert there.certificate.residual == pytest.approx(here.certificate.residual, rel=1e-10)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 129, 200])
def test_numpy_inverts_by_cholesky_as_torch_does(size: int) -> None:
    rows = np.random.default_rng(size).standard_normal((3 * size, size))
    gram = rows.T @ rows
    ours, theirs = (b.inverse(b.put(gram)) for b in (Backend(np, "cpu"), Backend(torch, "cpu")))
    assert ours is not None
    assert theirs is not None
    assert apart(ours, theirs.numpy()) < 1e-12
    assert np.array_equal(ours, ours.T)
    for backend in (Backend(np, "cpu"), Backend(torch, "cpu")):
        assert backend.inverse(backend.put(-gram)) is None


def test_numpy_and_torch_give_the_same_weights_within_1e_10() -> None:
    ridge = 0.125
    statistics = task(2000, 64, 20, 10).statistics
    weights = []
    as_on_a_gpu = Backend(torch, "cpu:0")
    for backend in (Backend(np, "cpu"), Backend(torch, "cpu"), as_on_a_gpu):
        problem = problem_of(statistics, backend)
        by_factor = by_cholesky(problem, ridge, 1e6)
        assert by_factor is not None
        weights += [certified(problem, ridge, inverse) for inverse in (by_factor, by_eigh(problem, ridge))]
    for other in weights[1:]:
        assert apart(other.projection, weights[0].projection) < 1e-10
        assert other.certificate.residual == pytest.approx(weights[0].certificate.residual, rel=1e-10)


GOOD = solve(task(50, 4, 3).statistics, device="cpu")


def with_nan() -> Floats:
    projection = GOOD.projection.copy()
    projection[2, 1] = math.nan
    return projection


@pytest.mark.parametrize(
    ("projection", "certificate", "reason"),
    [
        (with_nan(), GOOD.certificate, "projection holds what is not finite"),
        (GOOD.projection, replace(GOOD.certificate, gcv=math.inf), "figure of the certificate is not finite"),
        (GOOD.projection, replace(GOOD.certificate, inverse_error=2 * MAX_INVERSE_ERROR), "inverse errs"),
        (GOOD.projection, replace(GOOD.certificate, inverse_error=math.nan), "inverse errs"),
        (GOOD.projection, replace(GOOD.certificate, residual=-0.01), "residual -0.01 is outside"),
        (GOOD.projection, replace(GOOD.certificate, residual=1.01), "residual 1.01 is outside"),
        (GOOD.projection, replace(GOOD.certificate, residual=math.nan), "residual nan is outside"),
        (GOOD.projection, replace(GOOD.certificate, count=0), "3 answers from 0 rows"),
        (GOOD.projection, replace(GOOD.certificate, answers=0), "0 answers from 50 rows"),
        (GOOD.projection, replace(GOOD.certificate, degrees_of_freedom=4.1), "4.1 degrees of freedom"),
        (GOOD.projection, replace(GOOD.certificate, rank=5), "rank 5"),
    ],
)
def test_the_gate_names_what_is_wrong(projection: Floats, certificate: Certificate, reason: str) -> None:
    assert gate(GOOD) == []
    assert any(reason in found for found in gate(Weights(projection, certificate)))


@pytest.mark.parametrize("max_condition", [1e6, math.inf])
def test_the_gate_stops_an_inverse_that_rounding_has_spoilt(max_condition: float) -> None:
    """Two columns that differ in one component by one step of the grid: condition 7e11, by either method."""
    t = task(4000, 12, 5)
    rows = np.hstack([t.rows, t.rows[:, :1]])
    rows[0, 12] += 1
    statistics = Task(rows, t.labels).statistics
    assert any("inverse errs" in reason for reason in gate(solve(statistics, 0.0, "cpu", max_condition)))
    assert gate(solve(statistics, 0.1, "cpu", max_condition)) == []
