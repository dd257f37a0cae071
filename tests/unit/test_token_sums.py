"""Sums of rows of tokens: exact, and the same bytes with and without kernels."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core import native, token_sums
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.native import token_sums as kernels
from hurnet_stream.core.token_sums import unit_sums


def obvious(rows: NDArray[np.int16], text: list[int]) -> list[int]:
    """One text in Python's integers; its coordinates on the grid, rounded with a square root of 200 bits."""
    sums = [sum(int(rows[token, i]) for token in text) for i in range(rows.shape[1])]
    while max(map(abs, sums), default=0) >= 1 << 21:
        sums = [component >> 1 for component in sums]
    norm = Fraction(isqrt(sum(component**2 for component in sums) << 400), 1 << 200) or Fraction(1)
    return [round(component * SCALE / norm) for component in sums]


texts = st.lists(st.lists(st.integers(0, 6), max_size=9), max_size=9)


@given(texts, st.integers(1, 40), st.integers(0, 15), st.integers(0, 1000))
def test_a_text_is_the_sum_of_its_tokens_rows(drawn: list[list[int]], d: int, bits: int, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-(1 << bits), 1 << bits, (7, d)).astype(np.int16)
    flat = np.array([token for text in drawn for token in text], np.int64)
    lengths = np.array([len(text) for text in drawn], np.int64)
    units = unit_sums(rows, flat, lengths)
    assert units.tolist() == [obvious(rows, text) for text in drawn]
    with native.disabled():
        np.testing.assert_array_equal(unit_sums(rows, flat, lengths), units)


def test_kernels_for_older_processors_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    rows = rng.integers(-30_000, 30_000, (90, 131)).astype(np.int16)
    lengths = rng.integers(0, 300, 40)
    flat = rng.integers(0, 90, lengths.sum())
    units = unit_sums(rows, flat, lengths)
    monkeypatch.setattr(kernels, "features", lambda: native.CpuFeature(0))
    np.testing.assert_array_equal(unit_sums(rows, flat, lengths), units)


@pytest.mark.parametrize("largest", [(1 << 21) - 1, 1 << 21, (1 << 22) - 1, -(1 << 21), 32767 << 16])
def test_long_texts_are_halved_until_their_squares_are_exact(largest: int) -> None:
    """At the edges, the other way of rounding would show in the last bit."""
    count = -(-abs(largest) // 32767)
    assert count <= token_sums.TOKENS_MAX
    sign = 1 if largest > 0 else -1
    last = largest - sign * 32767 * (count - 1)
    rows = np.array([[sign * 32767, 3, -3], [last, 1, -1]], np.int16)
    text = [0] * (count - 1) + [1]
    flat, lengths = np.array(text), np.array([count])
    assert unit_sums(rows, flat, lengths).tolist() == [obvious(rows, text)]
    with native.disabled():
        assert unit_sums(rows, flat, lengths).tolist() == [obvious(rows, text)]


def test_batches_that_are_longer_than_a_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    rows = rng.integers(-3000, 3000, (50, 24)).astype(np.int16)
    lengths = rng.integers(0, 12, 200)
    flat = rng.integers(0, 50, lengths.sum())
    units = unit_sums(rows, flat, lengths)
    monkeypatch.setattr(token_sums, "_TOKENS_AT_ONCE", 7)  # some texts are longer, and some have none
    with native.disabled():
        np.testing.assert_array_equal(unit_sums(rows, flat, lengths), units)


@pytest.mark.parametrize(
    ("tokens", "lengths", "dimension"),
    [([2], [1], 3), ([-1], [1], 3), ([0, 1], [1], 3), ([0], [-1, 2], 3), ([0], [1], 2049)],
)
def test_what_would_read_or_write_elsewhere_is_refused(
    tokens: list[int], lengths: list[int], dimension: int
) -> None:
    with pytest.raises(ValueError, match=r"token|coordinates"):
        unit_sums(np.ones((2, dimension), np.int16), np.array(tokens), np.array(lengths))
