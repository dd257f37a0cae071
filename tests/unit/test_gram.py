"""Every path that sums G against Python's own integers, and the certificates that make them exact."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hurnet_stream.core.arrays import backend_of
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.native import CpuFeature, disabled, features, syrk
from hurnet_stream.core.native.syrk import Kernel, certified_rows, multiply, pack_pairs
from hurnet_stream.core.statistics import gram as module
from hurnet_stream.core.statistics import gram_torch
from hurnet_stream.core.statistics.gram import (
    AddGram,
    Integers,
    add_float64,
    add_gram,
    fastest,
    mirrored,
    paths,
)
from hurnet_stream.core.statistics.gram_torch import add_float64_on, add_int8_on

pytestmark = pytest.mark.usefixtures("exact_int8")

CPU = backend_of("cpu")
CUDA = [backend_of("cuda")] if torch.cuda.is_available() else []
PATHS: dict[str, AddGram] = {name: add for backend in [CPU, *CUDA] for name, add in paths(backend).items()}
PATHS |= {"int8 by torch on the CPU": partial(add_int8_on, device="cpu")}
PATHS |= {"float64 by torch on the CPU": partial(add_float64_on, device="cpu")}
KERNELS: list[Kernel] = []
if CpuFeature.AVX2 in features():
    KERNELS.append("avx2")
if CpuFeature.VNNI in features():
    KERNELS.append("vnni")

component = st.integers(-SCALE, SCALE) | st.sampled_from([-SCALE, -129, -128, 0, 127, 128, SCALE])
shapes = st.tuples(st.integers(0, 40), st.integers(1, 70))
grid_rows = hnp.arrays(np.int16, shapes, elements=component)


def reference(rows: NDArray[np.int16]) -> Integers:
    """XᵀX in Python's integers; numpy multiplies objects by their own operators."""
    wide = rows.astype(object)
    return (wide.T @ wide if len(rows) else np.zeros((rows.shape[1],) * 2)).astype(np.int64)


def random_rows(count: int, dimension: int) -> NDArray[np.int16]:
    chance = np.random.default_rng(count * 1000 + dimension)
    return chance.integers(-SCALE, SCALE, (count, dimension), np.int16, endpoint=True)


@given(grid_rows)
def test_every_path_gives_the_same_bytes(rows: NDArray[np.int16]) -> None:
    expected = reference(rows)
    for name, add in PATHS.items():
        gram = np.zeros_like(expected)
        add(rows, gram)
        assert np.array_equal(mirrored(gram), expected), name


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dimension", [1, 15, 16, 17, 31, 32, 33, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65])
def test_every_size_is_summed_onto_what_is_there(path: str, dimension: int, count: int) -> None:
    rows = random_rows(count, dimension)
    gram = np.full((dimension, dimension), 5, np.int64)
    PATHS[path](rows, gram)
    PATHS[path](rows, gram)
    assert np.array_equal(mirrored(gram), 2 * reference(rows) + 5)


@pytest.mark.parametrize("path", PATHS)
def test_many_rows_of_the_largest_components(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more than int32 holds, in one column and across two, through several blocks of every path."""
    monkeypatch.setattr(module, "FLOAT64_ROWS", 1000)
    monkeypatch.setattr(gram_torch, "INT8_ROWS", 1000)
    rows = np.zeros((4500, 20), np.int16)
    rows[:, 0], rows[:, 17], rows[::2, 19] = SCALE, -SCALE, -128
    gram = np.zeros((20, 20), np.int64)
    PATHS[path](rows, gram)
    assert np.array_equal(mirrored(gram), reference(rows))


@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 30), st.integers(1, 5))))
def test_the_certificate_is_the_longest_that_holds(rows: NDArray[np.int16]) -> None:
    """Any int16, off the grid too: there is always a row to go on with."""
    if not KERNELS:
        return
    count = certified_rows(rows, np.empty(rows.shape[1], np.uint32))
    squares = np.cumsum(rows.astype(np.int64) ** 2, axis=0).max(axis=1)
    assert count == int((squares < 2**31).sum()) >= 1


@pytest.mark.parametrize("kernel", KERNELS)
def test_beyond_the_certificate_int32_overflows(kernel: Kernel) -> None:
    """Seven rows of 2**14 are certified; the kernel without the certificate is wrong at the eighth."""
    rows = np.full((8, 3), SCALE, np.int16)
    assert certified_rows(rows, np.empty(3, np.uint32)) == 7
    packed = syrk._packing_room(8, 3)
    for count, right in ((7, True), (8, False)):
        unchecked = np.zeros((3, 3), np.int64)
        pack_pairs(rows[:count], packed)
        multiply(packed, count, unchecked, kernel)
        assert (int(unchecked[0, 2]) == count * SCALE**2) == right
    gram = np.zeros((3, 3), np.int64)
    PATHS[kernel](rows, gram)
    assert int(gram[0, 2]) == 8 * SCALE**2


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_share_the_columns(kernel: Kernel, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syrk, "THREAD_PRODUCTS", 0)
    monkeypatch.setattr(syrk, "threads_max", lambda: threads)
    for dimension in (1, 40, 200):
        rows = random_rows(100, dimension)
        gram = np.zeros((dimension, dimension), np.int64)
        PATHS[kernel](rows, gram)
        assert np.array_equal(mirrored(gram), reference(rows))


@given(st.integers(1, 200), st.integers(1, 40))
def test_shares_are_all_panels_once(panels: int, threads: int) -> None:
    shares = list(syrk._shares(panels, threads))
    assert [panel for first, end in shares for panel in range(first, end)] == list(range(panels))
    assert all(first % 2 == 0 for first, _ in shares)
    assert len(shares) <= threads


def test_float64_is_exact_up_to_the_stated_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLOAT64_ROWS", 2**25)
    rows = np.full((2**25, 1), SCALE - 1, np.int16)
    rows[::2] *= -1
    rows[0] = SCALE
    gram = np.zeros((1, 1), np.int64)
    add_float64(rows, gram)
    assert int(gram[0, 0]) == (2**25 - 1) * (SCALE - 1) ** 2 + SCALE**2


def test_int8_is_exact_up_to_the_stated_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram_torch, "INT8_ROWS", 2**17 - 1)
    rows = np.tile(np.array([[-128, -SCALE]], np.int16), (2**17 - 1, 1))
    gram = np.zeros((2, 2), np.int64)
    add_int8_on(rows, gram, "cpu")
    assert gram.tolist() == [[len(rows) * a * b for b in (-128, -SCALE)] for a in (-128, -SCALE)]


def test_without_kernels_numpy_serves_and_says_so() -> None:
    rows = random_rows(300, 48)
    one, other = np.zeros((48, 48), np.int64), np.zeros((48, 48), np.int64)
    add_gram(rows, one, CPU)
    with disabled():
        assert fastest(48, CPU) == "float64"
        add_gram(rows, other, CPU)
    assert np.array_equal(mirrored(one), mirrored(other))


def test_the_path_that_takes_least_is_taken_and_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def slow(name: str, seconds: float, rows: NDArray[np.int16], gram: Integers) -> None:
        calls.append(name)
        time.sleep(seconds)
        add_float64(rows, gram)

    fakes = {name: partial(slow, name, seconds) for name, seconds in {"a": 0.02, "b": 0.0, "c": 0.02}.items()}
    monkeypatch.setattr(module, "paths", lambda _: fakes)
    assert fastest(3, CPU) == "b"
    assert set(calls) == {"a", "b", "c"}
    calls.clear()
    assert fastest(3, CPU) == "b"
    assert not calls


def test_a_path_that_fails_or_errs_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(rows: NDArray[np.int16], gram: Integers) -> None:
        raise RuntimeError("this GPU has no such operation")

    def wrong(rows: NDArray[np.int16], gram: Integers) -> None:
        gram[0, -1] += 1

    fakes = {"unsupported": unsupported, "wrong": wrong, "float64": add_float64}
    monkeypatch.setattr(module, "paths", lambda _: fakes)
    assert fastest(64, CPU) == "float64"


def test_a_mirror_is_a_new_matrix() -> None:
    upper = np.triu(np.arange(150 * 150).reshape(150, 150))
    garbage = upper + np.tril(np.full((150, 150), 7), -1)
    full = mirrored(garbage)
    assert np.array_equal(full, upper + np.triu(upper, 1).T)
    assert np.array_equal(np.tril(garbage, -1), np.tril(np.full((150, 150), 7), -1))
