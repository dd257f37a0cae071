"""What rows teach, in C: the chains and the products against the same in Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.native import taught as kernels
from hurnet_stream.core.native.search import best_level

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the kernels were not built")

LEVELS = range(best_level() + 1) if kernels.available() else range(0)


@given(answer_of=st.lists(st.integers(0, 5), max_size=40), asked=st.sets(st.integers(0, 5)))
def test_chains_are_followed_from_the_last_row_to_the_first(answer_of: list[int], asked: set[int]) -> None:
    last, previous = np.full(6, -1, np.int32), np.full(40, -1, np.int32)
    for row, answer in enumerate(answer_of):
        previous[row], last[answer] = last[answer], row
    answers = np.array(sorted(asked), np.int64)
    expected = [
        (place, row)
        for place, answer in enumerate(answers.tolist())
        for row in reversed(range(len(answer_of)))
        if answer_of[row] == answer
    ]
    found = kernels.chains(last, previous, answers, len(expected))
    assert found is not None
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
    if expected:
        assert kernels.chains(last, previous, answers, len(expected) - 1) is None


@pytest.mark.parametrize("d", [1, 2, 15, 16, 17, 18, 33, 100, 513])
def test_half_of_a_symmetric_matrix_is_enough(d: int) -> None:
    random = np.random.default_rng(d)
    square, rows = random.normal(size=(d, d)), random.normal(size=(5, d))
    matrix = square + square.T
    for level in LEVELS:
        found = kernels.symmetric_times(np.triu(matrix), rows, level)
        np.testing.assert_allclose(found, rows @ matrix, rtol=1e-10, atol=1e-10)
        alone = [kernels.symmetric_times(np.triu(matrix), rows[i : i + 1], level) for i in range(5)]
        assert np.concatenate(alone).tobytes() == found.tobytes()


@pytest.mark.parametrize("d", [1, 7, 15, 16, 17, 64, 100, 1024])
def test_rows_are_weighed_as_numpy_weighs_them(d: int) -> None:
    random = np.random.default_rng(d)
    rows = random.integers(-SCALE, SCALE, (30, d), np.int16, endpoint=True)
    p = random.normal(size=d)
    addresses = rows.ctypes.data + np.arange(30) * rows.strides[0]
    chosen = random.permutation(30)
    for level in LEVELS:
        found = kernels.weigh(addresses[chosen], p, level)
        np.testing.assert_allclose(found, rows[chosen] @ p, rtol=1e-12, atol=1e-7)
