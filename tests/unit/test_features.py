"""Kernel features: exact against slow arithmetic, near their kernels, and the same bytes everywhere."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.paper.feature_sums import FeatureSums
from hurnet_stream.core.paper.kernel_features import _LONGEST, KernelMap
from hurnet_stream.core.paper.variant import Variant
from hurnet_stream.core.rule.rule import ranked
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.weights import predict
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Entry, Vectors
from hurnet_stream.operations.evaluation import Evaluation
from hurnet_stream.settings.settings import SolveSettings

Floats = NDArray[np.float64]


def unit_rows(count: int, dimension: int, seed: int = 0) -> Vectors:
    """Rows with a direction in common, so that their angles vary."""
    random = np.random.default_rng(seed)
    return snap(random.normal(size=(count, dimension)) + random.normal(size=dimension))


def gaussian(x: Floats, y: Floats, width: float = 1.0) -> Floats:
    return np.asarray(np.exp(-_squared_distances(x, y) / (2 * width**2)))


def laplace(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.exp(-np.sqrt(_squared_distances(x, y))))


def arccosine(x: Floats, y: Floats) -> Floats:
    angle = np.arccos(np.clip(x @ y.T, -1, 1))
    return np.asarray((np.sin(angle) + (math.pi - angle) * np.cos(angle)) / math.pi)


def _squared_distances(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.maximum(0, np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T))


@pytest.mark.parametrize(
    ("spec", "kernel"),
    [
        ("gaussian", gaussian),
        ("gaussian:{}:0.7", lambda x, y: gaussian(x, y, 0.7)),
        ("laplace", laplace),
        ("arccosine", arccosine),
    ],
)
def test_inner_products_near_the_kernel_as_the_size_grows(
    spec: str, kernel: Callable[[Floats, Floats], Floats]
) -> None:
    rows = unit_rows(60, 48)
    exact = kernel(rows / SCALE, rows / SCALE)
    errors = {}
    for size in (256, 4096):
        features = KernelMap(spec.format(size) if "{" in spec else f"{spec}:{size}", 48)
        mapped = features(rows).astype(np.float64) / SCALE
        errors[size] = float(np.sqrt(np.square(mapped @ mapped.T - exact).mean()))
    assert errors[4096] < 2.5 / math.sqrt(4096)
    assert errors[4096] < errors[256] / 2  # √16 = 4 times less is expected


@pytest.mark.parametrize("kernel", ["gaussian", "laplace"])
def test_waves_equal_arithmetic_in_whole_numbers(kernel: str) -> None:
    features = KernelMap(f"{kernel}:256", 12)
    rows = unit_rows(5, 12)
    assert features._frequencies is not None
    frequencies = [[int(v) for v in column] for column in features._frequencies.T]
    amplitude = SCALE / math.sqrt(128)
    for row, mapped in zip(rows.tolist(), features(rows).tolist(), strict=True):
        for j, column in enumerate(frequencies):
            angle = sum(w * x for w, x in zip(column, row, strict=True))  # units of 2**-30 turns
            place = ((angle + 2**13) >> 14) % 2**16
            turn = 2 * math.pi * place / 2**16
            assert mapped[j] == round(amplitude * math.cos(turn))
            assert mapped[128 + j] == round(amplitude * math.sin(turn))


def test_rectified_products_equal_arithmetic_in_whole_numbers() -> None:
    features = KernelMap("arccosine:256", 12)
    rows = unit_rows(5, 12)
    assert features._frequencies is not None
    for row, mapped in zip(rows.tolist(), features(rows).tolist(), strict=True):
        for column, got in zip(features._frequencies.T.tolist(), mapped, strict=True):
            product = sum(int(w) * x for w, x in zip(column, row, strict=True))
            assert got == min(SCALE, round(max(0, product) * math.sqrt(2 / 256) / 2**16))


@given(
    st.integers(1, 40), st.integers(0, 5), st.sampled_from(["gaussian:256", "laplace:256", "arccosine:256"])
)
def test_a_row_s_features_do_not_depend_on_its_batch(cut: int, seed: int, spec: str) -> None:
    rows = unit_rows(41, 9, seed)
    features = KernelMap(spec, 9)
    whole = features(rows)
    np.testing.assert_array_equal(np.vstack([features(rows[:cut]), features(rows[cut:])]), whole)
    np.testing.assert_array_equal(features(rows[::-1])[::-1], whole)


def test_the_longest_frequencies_stay_exact() -> None:
    features = KernelMap("laplace:4096:0.001", 64)
    assert features._frequencies is not None
    lengths = np.sqrt(np.square(features._frequencies).sum(axis=0))
    assert lengths.max() <= _LONGEST
    assert lengths.max() * 2**15 <= 2**53
    np.testing.assert_array_equal(features._frequencies, np.rint(features._frequencies))


def test_the_same_bytes_on_any_machine() -> None:
    row = np.arange(-8, 8, dtype=np.int16)[None] * 700
    digests = {
        spec: hashlib.sha256(KernelMap(spec, 16)(row).astype("<i2").tobytes()).hexdigest()[:16]
        for spec in ("gaussian:256", "laplace:256", "arccosine:256")
    }
    assert digests == {
        "gaussian:256": "d51b7ba25a281f93",
        "laplace:256": "ba16a69838bef14c",
        "arccosine:256": "53b227182960ef1f",
    }


def test_identities_tell_features_apart() -> None:
    specs = ["none", "gaussian:256", "gaussian:512", "gaussian:256:0.5", "laplace:256", "arccosine:256"]
    identities = [KernelMap(spec, dimension).identity for spec in specs for dimension in (16, 17)]
    assert len(set(identities)) == len(identities) - 1  # "none" is one
    assert KernelMap("gaussian:256", 16).identity == identities[2]
    assert KernelMap("gaussian:256", 16).identity.startswith("gaussian:256/")


def test_no_features_leave_rows_as_they_are() -> None:
    rows = unit_rows(3, 8)
    assert KernelMap("none", 8)(rows) is rows
    assert KernelMap("none", 8).size == 8


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "gaussian",
        "gaussian:100",
        "rbf:256",
        "gaussian:256:0",
        "gaussian:256:0.000",
        "gaussian:256:100",
        "arccosine:256:1",
    ],
)
def test_a_wrong_spec_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="features must be"):
        KernelMap(spec, 8)


def test_rows_that_do_not_fit_are_refused() -> None:
    features = KernelMap("gaussian:256", 8)
    wrong: list[Any] = [np.zeros((2, 9), np.int16), np.zeros((2, 8), np.int32), np.zeros(8, np.int16)]
    for rows in wrong:
        with pytest.raises(ValueError, match="int16"):
            features(rows)


def entries(answers: list[str | None]) -> list[Entry]:
    return [Entry(i, 0, "c", f"text {i}", answer) for i, answer in enumerate(answers)]


def test_closed_form_over_features_nears_exact_kernel_ridge() -> None:
    """α = (K + λI)⁻¹k, summed by answer, is what infinitely many features would give."""
    random = np.random.default_rng(1)
    rows, queries = snap(random.normal(size=(80, 6))), snap(random.normal(size=(30, 6)))
    answers = [f"a{i % 7}" for i in range(80)]
    x, q = rows / SCALE, queries / SCALE
    alpha = np.linalg.solve(gaussian(x, x) + 0.1 * np.eye(80), gaussian(x, q))
    exact = np.stack([alpha[np.array(answers) == f"a{i}"].sum(0) for i in range(7)], axis=1)
    errors = {}
    for size in (256, 1024):
        features = KernelMap(f"gaussian:{size}", 6)
        statistics, sums = Statistics(size), FeatureSums(features)
        statistics.add(features(rows), answers)
        sums.add(entries(list(answers)), rows)
        predictions = predict(solve(statistics, 0.1, "cpu").projection, features(queries))
        scores = predictions @ np.stack([sums.total(f"a{i}") for i in range(7)], axis=1) / SCALE
        errors[size] = float(np.sqrt(np.square(scores - exact).mean()))
    assert errors[1024] < 0.06  # of scores up to 1
    assert errors[1024] < 0.7 * errors[256]  # √4 = 2 times less is expected


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=20), st.randoms())
def test_sums_equal_the_dense_ones_in_any_order(answers: list[str | None], random: object) -> None:
    rows, features = unit_rows(len(answers), 6), KernelMap("gaussian:256", 6)
    order = np.random.default_rng(len(answers)).permutation(len(answers))
    sums = FeatureSums(features)
    taught = entries(answers)
    for i in order:
        sums.add([taught[i]], rows[[i]])
    for answer in ("a", "b", "c"):
        mine = [i for i, given_answer in enumerate(answers) if given_answer == answer]
        np.testing.assert_array_equal(sums.total(answer), features(rows)[mine].astype(np.int64).sum(0))


def test_a_sum_outgrows_its_width() -> None:
    sums = FeatureSums(KernelMap("none", 2))
    row = np.array([[SCALE, -SCALE]], np.int16)
    for count, width in ((1, np.int16), (2, np.int32), ((1 << 17) - 1, np.int32), (1 << 17, np.int64)):
        sums._sums["a"], sums._copies["a"] = (row[0].astype(np.int32) * (count - 1)), count - 1
        if count == 1:
            sums = FeatureSums(KernelMap("none", 2))
        sums.add(entries(["a"]), row)
        assert sums.total("a").dtype == width
        assert sums.total("a").tolist() == [SCALE * count, -SCALE * count]


def test_the_rule_weighs_by_features_and_leaves_the_asker_s_own_entry_out() -> None:
    rows, answers = unit_rows(30, 16, 3), [None if i % 6 == 5 else f"a{i % 3}" for i in range(30)]
    features = KernelMap("gaussian:512", 16)
    index, sums, statistics = ContextIndex(16), FeatureSums(features), Statistics(512)
    index.append(0, entries(answers), rows)
    sums.add(entries(answers), rows)
    taught = [i for i, answer in enumerate(answers) if answer is not None]
    statistics.add(features(rows[taught]), [answers[i] or "" for i in taught])
    solved = solve(statistics, 0.1, "cpu")
    query = rows[[4]]
    for out in (None, 4, 5):  # its own is a pair, and a plain text
        own = None if out is None else (0, out)
        nearest = Variant(sums=sums).nearest(query, index, solved.projection, [own])
        (ranking,) = ranked(["text 4"], nearest, index)
        prediction = predict(solved.projection, features(query))[0]
        for candidate in ranking.candidates:
            mine = [i for i in taught if answers[i] == candidate.answer and i != out]
            score = features(rows)[mine].astype(np.int64).sum(0) @ prediction / SCALE
            assert candidate.scores.weights == pytest.approx(min(1, max(0, score)), abs=1e-9)


@pytest.mark.parametrize("spec", ["none", "gaussian:512", "laplace:512", "arccosine:512"])
def test_evaluation_teaches_solves_and_asks_with_features(spec: str) -> None:
    evaluation = Evaluation(HashedText(64), SolveSettings(device="cpu"), features=spec)
    colours = ["red", "green", "blue", "yellow"]
    evaluation.teach(
        [TextEvent(text=f"{verb} {c} lamp", answer=c) for c in colours for verb in ("light", "dim")]
    )
    assert evaluation.solve() == []
    asked = evaluation.ask([TextEvent(text=f"the {c} lamp please", answer=c) for c in colours])
    assert all(question.right("weights") and question.right() for question in asked)


def test_what_is_subtracted_was_never_added() -> None:
    rows, answers = unit_rows(9, 8, 5), ["a", "b", None, "a", "a", "b", "c", None, "c"]
    gone, kept = [1, 2, 3, 6, 8], [0, 4, 5, 7]
    both, alone = FeatureSums(KernelMap("gaussian:256", 8)), FeatureSums(KernelMap("gaussian:256", 8))
    both.add(entries(answers), rows)
    both.subtract(entries([answers[i] for i in gone]), rows[gone])
    alone.add(entries([answers[i] for i in kept]), rows[kept])
    for answer in ("a", "b", "c"):
        np.testing.assert_array_equal(both.total(answer), alone.total(answer))
    assert both._copies == alone._copies == {"a": 2, "b": 1}
