"""The search on a torch device finds what the host's finds and what fractions say, to the bit. Torch's CPU is
a device here; where there is a GPU, it is tested too."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Event
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, snap, squared_norms
from hurnet_stream.core.index import tidying
from hurnet_stream.core.index.index import ContextIndex, Matches
from hurnet_stream.core.native import disabled
from hurnet_stream.core.search import block, blocks, bounds
from hurnet_stream.core.search import device as device_scan
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.search.device import Device, DeviceRows, search_device
from hurnet_stream.core.stored.batch import Vectors
from tests.unit.test_index import Where, corpus, entry, reference

pytestmark = pytest.mark.usefixtures("exact_int8")

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def unexpected(reason: str) -> None:
    raise AssertionError(reason)


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest) -> Device:
    return Device(torch.device(request.param), unexpected)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks a chunk, one block a pass."""
    for module in (block, blocks, scan, tidying, device_scan):
        monkeypatch.setattr(module, "BLOCK_ROWS", 32)
    monkeypatch.setattr(device_scan, "CHUNK_ROWS", 64)
    monkeypatch.setattr(device_scan, "PRODUCTS", 32 * 32)


class Twins:
    """An index that is searched on the device, and the same on the host, with the kernels and without."""

    def __init__(self, dimension: int, device: Device) -> None:
        self.mine = ContextIndex(dimension, device=device)
        self.host = ContextIndex(dimension)
        with disabled():
            self.portable = ContextIndex(dimension)
        self.all = (self.mine, self.host, self.portable)

    def append(self, first: int, vectors: Vectors) -> None:
        for index in self.all:
            index.append(0, [entry(first + i) for i in range(len(vectors))], vectors)

    def remove(self, offset: int) -> None:
        assert all([index.remove(0, offset) for index in self.all])

    def search(self, queries: Vectors, k: int, exclude: list[Where | None] | None = None) -> list[Matches]:
        mine, *others = (index.search(queries, k, exclude=exclude) for index in self.all)
        for other in others:
            for a, b in zip(mine, other, strict=True):
                assert a.rows.tolist() == b.rows.tolist()
                assert a.cosines.tobytes() == b.cosines.tobytes()
        return mine


def rows_of(index: ContextIndex) -> DeviceRows:
    rows = index._blocks.device
    assert rows is not None
    return rows


def grid(random: np.random.Generator, values: list[int], shape: tuple[int, int]) -> Vectors:
    drawn = random.choice(np.array(values, dtype=np.int16), size=shape)
    drawn[~drawn.any(axis=1), random.integers(shape[1])] = 1
    return drawn


@pytest.mark.usefixtures("small_chunks")
@settings(SETTINGS, max_examples=60)
@given(
    d=st.sampled_from([1, 2, 3, 7, 17, 32, 37]),
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    values=st.sampled_from([[-1, 0, 1], [-SCALE, 0, SCALE], [-SCALE, -3, 0, 1, 77, SCALE]]),
    k=st.integers(1, 300),
    asked=st.sampled_from([1, 3, 40]),
    seed=st.integers(0, 2**32 - 1),
)
def test_ties_removals_exclusions_and_queries_of_zeros_while_rows_are_appended(
    device: Device, d: int, steps: list[int], values: list[int], k: int, asked: int, seed: int
) -> None:
    random, twins, rows = np.random.default_rng(seed), Twins(d, device), np.empty((0, d), np.int16)
    alive: list[int] = []
    for step in steps:
        alive += range(len(rows), len(rows) + step)
        new = grid(random, values, (step, d))
        twins.append(len(rows), new)
        rows = np.vstack([rows, new])
        for gone in random.choice(alive, size=len(alive) // 5, replace=False).tolist():
            twins.remove(gone)
            alive.remove(gone)
        queries = grid(random, values, (asked, d))
        queries[random.random(asked) < 0.2] = 0
        own = [(0, int(i)) if i % 2 else None for i in random.integers(len(rows), size=asked)]
        found = twins.search(queries, k, [*own])
        for query, mine, matches in list(zip(queries, own, found, strict=True))[:3]:
            left = [i for i in alive if mine != (0, i)] if query.any() else []
            nearest = reference(query, rows[left], [(0, i) for i in left], k) if left else []
            offsets = [twins.mine.entry_id(row)[1] for row in matches.rows.tolist()]
            assert offsets == [left[i] for i in nearest]


@pytest.mark.parametrize("seed", range(3))
def test_near_ties_that_float32_cannot_tell_apart(device: Device, seed: int) -> None:
    random = np.random.default_rng(seed)
    base = snap(random.normal(size=(1, 1024)))
    rows = np.repeat(base, 40, axis=0)
    rows[np.arange(40), random.integers(1024, size=40)] += random.choice(np.array([-1, 1], np.int16), size=40)
    twins, query = Twins(1024, device), snap(base + random.normal(scale=900, size=(1, 1024)))
    twins.append(0, rows)
    found = twins.search(query, 5)[0].rows.tolist()
    assert found == reference(query[0], rows, [(0, i) for i in range(40)], 5)


def test_sums_of_products_that_float32_rounds(device: Device) -> None:
    rows = np.full((40, 4099), SCALE, dtype=np.int16)
    rows[np.arange(40), np.arange(40)] -= 40 - np.arange(40, dtype=np.int16)
    twins = Twins(4099, device)
    twins.append(0, rows)
    assert twins.search(np.full((2, 4099), SCALE, np.int16), 3)[1].rows.tolist() == [39, 38, 37]


def test_more_rows_than_a_block_and_more_queries_than_are_aligned(device: Device) -> None:
    """In chunks and passes as large as they are in earnest."""
    vectors, twins = corpus(40_000, 20)[0], Twins(20, device)
    for first in range(0, 40_000, 7_000):
        twins.append(first, vectors[first : first + 7_000])
    for n in (1, 33):
        twins.search(vectors[-n:] // 2, 10, [(0, 39_000)] * n)


def test_an_empty_index_zero_queries_and_a_k_of_zero_find_nothing(device: Device) -> None:
    twins = Twins(2, device)
    assert [len(m.rows) for m in twins.search(np.ones((2, 2), np.int16), 3)] == [0, 0]
    twins.append(0, np.ones((3, 2), np.int16))
    assert [len(m.rows) for m in twins.search(np.zeros((2, 2), np.int16), 3)] == [0, 0]
    assert twins.search(np.ones((0, 2), np.int16), 3) == []
    assert len(twins.search(np.ones((1, 2), np.int16), 0)[0].rows) == 0
    with pytest.raises(ValueError, match="leaves the grid"):
        twins.mine.search(np.full((1, 2), SCALE + 1, np.int16), 1)


@pytest.mark.parametrize("share", [1, 0.25, 0])
def test_a_bound_that_is_too_small_loses_the_best_row(device: Device, share: float) -> None:
    """A query along what rounding loses of a row, which the first pass does not see, and others that it sees
    well: with the bound the row is found, with a quarter of it or none it is not."""
    random = np.random.default_rng(3)
    row = snap(random.normal(size=(1, 256)))
    plane = bounds.plane(row, squared_norms(row))
    held = plane.p[0] * (plane.scale[0] * np.sqrt(squared_norms(row)[0]))
    error = row[0] - held
    along = error - (error @ held) / (held @ held) * held
    query = np.rint(127 * along / np.abs(along).max())  # in 8 bits without a rest
    along = query / np.linalg.norm(query)
    other = random.normal(size=256)
    other -= (other @ along) * along
    other += 0.7 * (row[0] @ along) / np.linalg.norm(row) * np.linalg.norm(other) * along
    rows = np.vstack([*[snap(other[None])] * 32, row])
    assert reference(query.astype(np.int16), rows, [(0, i) for i in range(33)], 1) == [32]
    index = ContextIndex(256, device=device)
    index.append(0, [entry(i) for i in range(33)], rows)
    rows_of(index)._chunks[0].slack[:33] *= share
    for n in (1, 9):
        for found in index.search(np.repeat(query[None].astype(np.int16), n, axis=0), 1):
            assert found.rows.tolist() == [32 if share == 1 else 0]


@pytest.mark.parametrize("share", [1, 0.25, 0])
def test_so_does_one_that_forgets_what_rounding_loses_of_the_query(
    device: Device, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row along what rounding loses of a query, and others with 0.7 times its cosine: 8 bits hold all of
    them as they are, but the products see nothing of the first."""
    coefficients, random = bounds.coefficients, np.random.default_rng(4)

    def less(queries: Vectors, norms: NDArray[np.int64]) -> bounds.Coefficients:
        found = coefficients(queries, norms)
        return found._replace(rest=found.rest * np.float32(share))

    query = snap(random.normal(size=(1, 256)))
    c = coefficients(query, squared_norms(query)).c[0].astype(float)
    error = query[0] - c * (np.abs(query).max() / np.float32(127))
    along = error - (error @ c) / (c @ c) * c
    row = np.rint(127 * along / np.abs(along).max())
    others = random.integers(-127, 128, (2000, 256)).astype(float)
    others[:, 0] = 127
    cosines = others @ query[0] / np.linalg.norm(others, axis=1)
    other = others[np.abs(cosines - 0.7 * (row @ query[0]) / np.linalg.norm(row)).argmin()]
    rows = np.vstack([*[other] * 32, row]).astype(np.int16)
    assert reference(query[0], rows, [(0, i) for i in range(33)], 1) == [32]
    index = ContextIndex(256, device=device)
    index.append(0, [entry(i) for i in range(33)], rows)
    monkeypatch.setattr(bounds, "coefficients", less)
    assert index.search(query, 1)[0].rows.tolist() == [32 if share == 1 else 0]


@pytest.mark.usefixtures("small_chunks")
def test_appends_write_what_is_new_and_move_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    plane, written = bounds.plane, list[int]()

    def counting(part: Vectors, norms: NDArray[np.int64]) -> bounds.Plane:
        written.append(len(part))
        return plane(part, norms)

    monkeypatch.setattr(bounds, "plane", counting)
    vectors, rows, places = corpus(200)[0], device.rows(32), list[int]()
    for first in range(0, 200, 20):
        rows.write(first, vectors[first : first + 20])
        now = [chunk.p.data_ptr() for chunk in rows._chunks]
        assert now[: len(places)] == places
        places = now
    assert sum(written) == 200
    assert [chunk.first for chunk in rows._chunks] == [0, 32, 64, 128, 192]


@pytest.mark.usefixtures("small_chunks")
def test_rows_that_move_are_found_on_the_device_where_they_are_now(device: Device) -> None:
    vectors, _ = corpus(150)
    twins = Twins(32, device)
    twins.append(0, vectors)
    for gone in range(0, 150, 3):
        twins.remove(gone)
        twins.search(vectors[gone : gone + 2], 150)
    left = [offset for offset in range(150) if offset % 3]
    assert [twins.mine.find((0, offset)) for offset in left] != left  # what they were at first
    found = twins.search(vectors[:5], 150)
    assert [len(matches.rows) for matches in found] == [100] * 5
    twins.append(150, vectors[:7])
    assert len(twins.search(vectors[:1], 150)[0].rows) == 107


@pytest.mark.usefixtures("small_chunks")
def test_products_keep_to_what_cuda_takes_and_to_their_limit(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, sizes = torch._int_mm, []

    def strict(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        assert left.is_contiguous()
        assert right.stride(0) == 1  # both factors lie along the dimensions
        (m, k), (_, n) = left.shape, right.shape
        assert m % 32 == k % 32 == n % 32 == 0
        sizes.append(m * n)
        return product(left, right)

    monkeypatch.setattr(device_scan, "PRODUCTS", 4096)
    monkeypatch.setattr(torch, "_int_mm", strict)
    twins = Twins(19, device)
    twins.append(0, corpus(333, 19)[0])
    for n in (1, 31, 32, 33, 100):
        found = twins.mine.search(corpus(n, 19)[0], 7)
        assert [len(matches.rows) for matches in found] == [7] * n
    assert max(sizes) == 4096
    twins.mine.search(corpus(300, 19)[0], 7)
    assert max(sizes) == 320 * 32  # more queries than fit: as few rows as can be


def test_nothing_of_cuda_meets_anything_of_the_host() -> None:
    """In a process of its own: what torch loads for it complains when that ends."""
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        assert other.submit(devices_of_tensors, corpus(300, 37)[0]).result() == {"cuda"}


def devices_of_tensors(vectors: Vectors) -> set[str]:
    """Where the rows and what comes back of them lie. Torch raises where devices meet, also for tensors that
    have a shape and a device but no numbers: no GPU is needed. Numbers come back to the host when all has
    been computed."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    class Brought(Exception):
        pass

    def cpu(tensor: torch.Tensor) -> torch.Tensor:
        raise Brought(tensor.device.type)

    with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True):
        rows = Device(torch.device("cuda"), unexpected).rows(37)
        rows.write(0, vectors)
        rows.remove(5)
        with pytest.raises(Brought) as brought, mock.patch.object(torch.Tensor, "cpu", cpu):
            rows.survivors(vectors[:3], [5, 6, 5])
    return {*brought.value.args, *(tensor.device.type for tensor in rows._chunks[0][1:])}


@pytest.fixture(params=["zeros", "_int_mm", "topk"])
def breaking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Torch's memory is full, once the event is set: for new rows, or for a search, early and late."""
    broken, whole = Event(), getattr(torch, request.param)

    def failing(*args: object, **kwargs: object) -> object:
        if broken.is_set():
            raise torch.OutOfMemoryError("out of memory")
        return whole(*args, **kwargs)

    monkeypatch.setattr(torch, request.param, failing)
    return broken


@pytest.mark.usefixtures("small_chunks")
def test_where_the_device_fails_the_host_goes_on_and_it_is_said_once(breaking: Event) -> None:
    failures: list[str] = []
    device = Device(torch.device("cpu"), failures.append)
    vectors, _ = corpus(200)
    twins, second = Twins(32, device), Twins(32, device)
    for both in (twins, second):
        both.append(0, vectors[:50])
    breaking.set()
    for both in (twins, second):
        both.append(50, vectors[50:150])  # beyond the first chunk
        both.search(vectors[:4], 9)
        both.remove(3)
        both.append(150, vectors[150:])
        assert 3 not in both.search(vectors[3:4], 200)[0].rows
        assert rows_of(both.mine)._chunks == []
    assert failures == ["out of memory"]
    assert device.failed


def test_where_a_row_cannot_be_removed_the_device_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    vectors, twins = corpus(20)[0], Twins(32, Device(torch.device("cpu"), failures.append))
    twins.append(0, vectors)

    def failing(rows: DeviceRows, row: int) -> None:
        raise RuntimeError("the GPU has fallen off the bus")

    monkeypatch.setattr(DeviceRows, "_chunk", failing)
    twins.remove(3)
    assert 3 not in twins.search(vectors[3:4], 20)[0].rows
    assert failures == ["the GPU has fallen off the bus"]


def test_searches_that_fail_together_are_one_failure() -> None:
    failures: list[str] = []
    device = Device(torch.device("cpu"), failures.append)
    for reason in ("first", "second"):
        with device.trying():
            raise RuntimeError(reason)
    assert failures == ["first"]


def test_auto_is_the_host_where_there_is_no_gpu_and_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert search_device("auto", unexpected) is None
    with pytest.raises(ValueError, match="there is no device 'cuda' here"):
        search_device("cuda", unexpected)


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = search_device("auto", unexpected)
    assert found is not None
    assert found.torch_device.type == "cuda"


def test_who_asks_for_no_device_loads_no_torch() -> None:
    code = (
        "import sys, numpy, hurnet_stream.wiring.running, hurnet_stream.responder.responder\n"
        "from hurnet_stream.responder.loaded_contexts import LoadedContexts\n"
        "from hurnet_stream.core.rule.halves import undivided\n"
        "LoadedContexts(undivided(2)).index('c').search(numpy.ones((1, 2), numpy.int16), 1)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
