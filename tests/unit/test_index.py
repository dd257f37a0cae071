"""The exact search, with the kernels and without, against integers and fractions, row by row."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE, snap, squared_norms
from hurnet_stream.core.index import arena, teaching, tidying
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import disabled, library
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.search import block, blocks, bounds
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.search.block import Block
from hurnet_stream.core.stored.batch import MAX_COPIES, Entry, Vectors

Where = tuple[int, int]
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["kernels", "portable"], autouse=True)
def native(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Everything here holds with the kernels and without them."""
    if request.param == "kernels" and library() is None:
        pytest.skip("no kernels were built")
    with nullcontext() if request.param == "kernels" else disabled():
        yield request.param == "kernels"


def entry(offset: int, answer: str | None = "a") -> Entry:
    return Entry(offset, 0, "c", f"text {offset}", answer)


def build(
    vectors: Vectors, coordinates: list[Where] | None = None, answers: str | None = None
) -> ContextIndex:
    index = ContextIndex(vectors.shape[1])
    for i, vector in enumerate(vectors):
        partition, offset = coordinates[i] if coordinates else (0, i)
        index.append(partition, [entry(offset, answers[i] if answers else "a")], vector[None])
    return index


def signed_square_cosine(q: Vectors, x: Vectors) -> Fraction:
    """sign(cos) cos², which orders as the cosine does, exactly."""
    wide_q, wide_x = [int(v) for v in q], [int(v) for v in x]
    dot = sum(a * b for a, b in zip(wide_q, wide_x, strict=True))
    return Fraction(dot * abs(dot), sum(a * a for a in wide_q) * sum(b * b for b in wide_x))


def reference(q: Vectors, rows: Vectors, coordinates: list[Where], k: int) -> list[int]:
    return sorted(range(len(rows)), key=lambda i: (-signed_square_cosine(q, rows[i]), coordinates[i]))[:k]


small = st.integers(-3, 3) | st.integers(-SCALE, SCALE)
"""Few values make ties and multiples of one another common; large ones make sums round in float32."""


@st.composite
def contexts(draw: st.DrawFn) -> tuple[Vectors, Vectors, list[Where]]:
    d = draw(st.sampled_from([1, 2, 3, 17]))
    rows = draw(
        arrays(np.int16, (draw(st.integers(1, 24)), d), elements=small).filter(lambda x: x.any(axis=1).all())
    )
    repeats = draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    rows = np.vstack([rows, rows[repeats]]).astype(np.int16)
    places = st.tuples(st.integers(0, 2), st.integers(0, 200))
    coordinates = draw(st.lists(places, min_size=len(rows), max_size=len(rows), unique=True))
    query = draw(arrays(np.int16, d, elements=small).filter(lambda x: bool(x.any())))
    return query, rows, coordinates


@SETTINGS
@given(contexts(), st.integers(1, 30))
def test_the_k_nearest_are_those_of_exact_fractions(
    case: tuple[Vectors, Vectors, list[Where]], k: int
) -> None:
    query, rows, coordinates = case
    found = build(rows, coordinates).search(query[None], k)[0]
    assert found.rows.tolist() == reference(query, rows, coordinates, k)
    expected = [float(signed_square_cosine(query, rows[i])) for i in found.rows]
    np.testing.assert_allclose(found.cosines * np.abs(found.cosines), expected, atol=1e-12)


@settings(SETTINGS, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_near_ties_that_float32_cannot_tell_apart(seed: int) -> None:
    """Rows one grid step apart in one coordinate of 1,024: their cosines differ by about 1e-9."""
    random = np.random.default_rng(seed)
    base = snap(random.normal(size=(1, 1024)))[0]
    rows = np.repeat(base[None], 40, axis=0)
    for row in rows[1:]:
        row[random.integers(1024)] += random.choice([-1, 1])
    query = snap(base[None] + random.normal(scale=900, size=(1, 1024)))[0]
    coordinates = [(0, int(o)) for o in random.permutation(40)]
    found = build(rows, coordinates).search(query[None], 5)[0]
    assert found.rows.tolist() == reference(query, rows, coordinates, 5)


def test_float32_alone_would_be_wrong() -> None:
    """What the integers are for: here the order of float32 scores is not the order of the cosines."""
    random = np.random.default_rng(1)
    base = snap(random.normal(size=(1, 1024)))[0]
    rows = base + np.eye(1024, dtype=np.int16)[:200]
    query = snap(base[None] + random.normal(scale=900, size=(1, 1024)))[0]
    norms = np.sqrt((rows.astype(np.float32) ** 2).sum(axis=1))
    naive = np.argsort(-(rows.astype(np.float32) @ query.astype(np.float32) / norms), kind="stable")
    exact = reference(query, rows, [(0, i) for i in range(200)], 200)
    assert naive.tolist() != exact
    assert build(rows).search(query[None], 200)[0].rows.tolist() == exact


def test_ties_go_to_the_lowest_partition_then_offset() -> None:
    rows = np.array([[2, 0], [1, 0], [3, 0], [0, 5]], dtype=np.int16)
    index = build(rows, [(1, 0), (0, 9), (0, 4), (0, 1)])
    assert index.search(np.array([[7, 0]], dtype=np.int16), 3)[0].rows.tolist() == [2, 1, 0]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (block, blocks, scan, tidying):
        monkeypatch.setattr(module, "BLOCK_ROWS", 32)
    monkeypatch.setattr(scan, "_FIRST_ROWS", 5)
    monkeypatch.setattr(scan, "_LEAST_ROWS", 12)
    monkeypatch.setattr(scan, "_PRODUCTS", 70)
    monkeypatch.setattr(teaching, "MANY", 3)
    monkeypatch.setattr(arena, "FIRST_CHUNK", 16)
    monkeypatch.setattr(arena, "LARGEST_CHUNK", 128)


SEVERAL = 70
"""Rows of three small blocks."""


def corpus(n: int, d: int = 32) -> tuple[Vectors, list[Entry]]:
    random = np.random.default_rng(n)
    answers = [None if i % 5 == 0 else f"answer {i % 7}" for i in range(n)]
    return snap(random.normal(size=(n, d))), [entry(i, answers[i]) for i in range(n)]


@pytest.mark.usefixtures("small_blocks")
def test_batches_blocks_and_appends_between_searches_change_nothing() -> None:
    vectors, entries = corpus(SEVERAL)
    queries = snap(np.random.default_rng(0).normal(size=(9, 32)))
    index, done = ContextIndex(32), 0
    for n in (1, 6, 1, 0, 28, 34):
        index.append(0, entries[done : done + n], vectors[done : done + n])
        done += n
        together = index.search(queries, 5)
        for query, found in zip(queries, together, strict=True):
            alone = index.search(query[None], 5)[0]
            assert found.rows.tolist() == reference(query, vectors[:done], [(0, i) for i in range(done)], 5)
            assert found.rows.tolist() == alone.rows.tolist()
            assert found.cosines.tolist() == alone.cosines.tolist()
    assert [index.entry(i) for i in range(SEVERAL)] == entries
    assert index.entry_id(69) == (0, 69)
    np.testing.assert_array_equal(index.vectors(np.array([65, 2, 40])), vectors[[65, 2, 40]])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("own", [None, (0, 3), (0, 5), (1, 3)])
def test_weights_scores_are_inner_products_with_the_sum_of_an_answers_training_rows(
    own: Where | None,
) -> None:
    vectors, entries = corpus(SEVERAL)
    index = ContextIndex(32)
    index.append(0, entries, vectors)
    prediction = np.random.default_rng(5).normal(size=32)
    sums: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = defaultdict(lambda: np.zeros(32))
    for i, item in enumerate(entries):
        if item.answer is not None and own != (0, i):
            sums[item.answer] += vectors[i] / SCALE
    found = index.search(vectors[:1], 40, [own])[0]
    expected = [prediction @ sums[index.answers[answer]] for answer in index.answer_ids(found.rows)]
    np.testing.assert_allclose(index.predicted(prediction, found.rows, own), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("late", [False, True])
def test_weights_scores_take_a_weight_as_so_many_copies(late: bool) -> None:
    """With a sum and without, of rows appended before any weight was seen and after, and of some removed."""
    vectors, entries = corpus(SEVERAL)
    random = np.random.default_rng(7)
    copies = random.integers(1, 50, SEVERAL)
    copies[: 40 if late else 0] = copies[60:] = 1
    entries = [replace(item, copies=int(w)) for item, w in zip(entries, copies, strict=True)]
    index, gone = ContextIndex(32), {2, 8, 41, 66}
    for first in range(0, SEVERAL, 20):
        index.append(0, entries[first : first + 20], vectors[first : first + 20])
    for offset in gone:
        index.remove(0, offset)
    prediction = random.normal(size=32)
    scores: dict[str, float] = defaultdict(float)
    for i, item in enumerate(entries):
        if item.answer is not None and i not in gone:
            scores[item.answer] += copies[i] * (prediction @ vectors[i] / SCALE)
    found = index.search(vectors[:1], SEVERAL)[0]
    expected = [scores[index.answers[answer]] for answer in index.answer_ids(found.rows)]
    np.testing.assert_allclose(index.predicted(prediction, found.rows), expected, rtol=1e-11, atol=1e-11)
    assert (index.counts(found.rows) == copies[found.rows]).all()  # type: ignore[union-attr]


def test_while_all_weights_are_1_none_are_read() -> None:
    index = build(np.array([[1, 0], [0, 1]], dtype=np.int16), [(0, 0), (2, 7)])
    assert index.counts(np.array([0, 1])) is None


def test_an_excluded_entry_does_not_answer_even_where_it_is_alone() -> None:
    index = build(np.array([[1, 0], [0, 1]], dtype=np.int16), [(0, 0), (2, 7)])
    query = np.array([[1, 0]], dtype=np.int16)
    assert index.search(query, 2, exclude=[(0, 0)])[0].rows.tolist() == [1]
    one = build(np.array([[1, 0]], dtype=np.int16), [(2, 7)])
    assert one.search(query, 2, exclude=[(2, 7)])[0].rows.tolist() == []


def test_an_entry_without_an_answer_is_its_own() -> None:
    index = ContextIndex(2)
    entries = [entry(0, None), entry(1, "text 0"), entry(2, "other")]
    index.append(0, entries, np.array([[1, 0], [0, 1], [1, 1]], dtype=np.int16))
    assert list(index.answers) == ["text 0", "other"]
    assert index.answer_ids(np.array([0, 1, 2])).tolist() == [0, 0, 1]


def test_an_empty_index_and_a_query_of_zeros_match_nothing() -> None:
    query = np.array([[1, 0]], dtype=np.int16)
    assert len(ContextIndex(2).search(query, 5)[0].rows) == 0
    index = build(np.array([[1, 0]], dtype=np.int16))
    assert len(index.search(np.zeros((1, 2), dtype=np.int16), 5)[0].rows) == 0
    assert index.search(np.zeros((0, 2), dtype=np.int16), 5) == []


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((1, 2), np.int16),
        np.ones((1, 3), np.int16),
        np.ones((2, 2), np.int16),
        np.ones((1, 2)),
        -(SCALE + 1) * np.ones((1, 2), np.int16),
    ],
)
def test_vectors_that_do_not_fit_are_refused_and_leave_the_index_as_it_was(vectors: Vectors) -> None:
    index = ContextIndex(2)
    with pytest.raises(ValueError, match=r"do not fit|zeros|leaves the grid"):
        index.append(0, [entry(0)], vectors)
    assert len(index) == 0


def test_queries_of_another_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="queries must be"):
        ContextIndex(2).search(np.ones((1, 3), dtype=np.int16), 1)
    with pytest.raises(ValueError, match="leaves the grid"):
        ContextIndex(2).search(np.full((1, 2), SCALE + 1, dtype=np.int16), 1)
    with pytest.raises(ValueError, match="dimensions"):
        ContextIndex(bounds.MAX_DIMENSION + 1)


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.usefixtures("small_blocks")
def test_each_query_of_a_batch_has_its_own_exclusion(k: int) -> None:
    vectors, entries = corpus(SEVERAL)
    index = ContextIndex(32)
    index.append(0, entries, vectors)
    own: list[Where | None] = [(0, i) if i % 3 else None for i in range(20)]
    found = index.search(vectors[:20], k, exclude=own)
    for i, matches in enumerate(found):
        others = [j for j in range(SEVERAL) if own[i] != (0, j)]
        nearest = reference(vectors[i], vectors[others], [(0, j) for j in others], k)
        assert matches.rows.tolist() == [others[j] for j in nearest]


@pytest.mark.parametrize("d", [1, 2, 3, 5, 31, 64])
def test_extreme_values_at_odd_dimensions(d: int) -> None:
    random = np.random.default_rng(d)
    rows = random.choice(np.array([-SCALE, -1, 0, 1, SCALE], dtype=np.int16), size=(60, d))
    rows[~rows.any(axis=1), 0] = 1
    coordinates = [(0, i) for i in range(60)]
    index = build(rows, coordinates)
    for found, query in zip(index.search(rows[:9], 60), rows[:9], strict=True):
        assert found.rows.tolist() == reference(query, rows, coordinates, 60)
    assert index.search(rows[:1], 7)[0].rows.tolist() == reference(rows[0], rows, coordinates, 7)


def test_products_that_leave_31_bits() -> None:
    """|q||x| beyond 2**31: far from unit length, but on the grid."""
    rows = np.full((40, 4096), SCALE, dtype=np.int16)
    rows[np.arange(40), np.arange(40)] -= 40 - np.arange(40, dtype=np.int16)
    found = build(rows).search(np.full((1, 4096), SCALE, dtype=np.int16), 3)[0]
    assert found.rows.tolist() == [39, 38, 37]


def planes(index: ContextIndex, n: int) -> list[NDArray[np.float64]]:
    """What the first passes know of the first n rows: s p, and with kernels s p' by the upper bits."""
    block = index._blocks.blocks[0]
    if not block.native:
        held = [block.plane[:n].astype(np.float64)]
        scale = block.scale
    else:
        both = np.stack([block.plane & 15, block.plane >> 4], axis=4).transpose(0, 1, 3, 2, 4, 5)
        high, low = both.reshape(2, len(block.vectors), -1)[:, :n].astype(np.float64)
        held = [16 * high + low - 128, 16 * high - 120.5]
        scale = floats(block.scale)
    lengths = np.linalg.norm(rotated(index.dimension, index.vectors(np.arange(n))), axis=1)
    return [p * (scale[:n] * lengths)[:, None] for p in held]


def floats(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (halves.astype(np.uint32) << 16).view(np.float32)


def slacks(index: ContextIndex, n: int) -> NDArray[np.float32]:
    block = index._blocks.blocks[0]
    found: NDArray[np.float32] = floats(block.slack) if block.native else block.slack
    return found[:, :n]


def rotation(d: int) -> NDArray[np.float64]:
    """H S, read from the planes of unit vectors."""
    identity = SCALE * np.eye(d, dtype=np.int16)
    index = build(identity)
    if not index._blocks.native:
        return np.eye(d)
    block = index._blocks.blocks[0]
    both = np.stack([block.plane & 15, block.plane >> 4], axis=4).transpose(0, 1, 3, 2, 4, 5)
    high, low = both.reshape(2, len(block.vectors), -1)[:, :d].astype(np.float64)
    signs: NDArray[np.float64] = np.sign(16 * high + low - 128).T
    return signs


def rotated(d: int, vectors: NDArray[np.float32] | Vectors) -> NDArray[np.float64]:
    return vectors.astype(np.float64) @ rotation(d).T


@pytest.mark.parametrize("d", [1, 2, 3, 17, 37, 64, 100, 256, 300])
def test_the_rotation_keeps_every_cosine(d: int) -> None:
    """It is an orthogonal matrix times the root of a power of two, and mixes all that it can."""
    h = rotation(d)
    b = int((h[:, 0] != 0).sum())
    assert b & (b - 1) == 0
    np.testing.assert_array_equal(h.T @ h, b * np.eye(d))


def test_the_rotation_leaves_no_component_that_stands_out(native: bool) -> None:
    if native:
        sparse = np.zeros((1, 256), dtype=np.int16)
        sparse[0, [3, 77]] = SCALE, SCALE // 3
        assert slacks(build(sparse), 1)[1, 0] < 0.15
        assert slacks(build(np.full((1, 256), SCALE, dtype=np.int16)), 1)[1, 0] < 0.15


@SETTINGS
@given(contexts())
def test_slack_bounds_what_rounding_loses_of_a_row(case: tuple[Vectors, Vectors, list[Where]]) -> None:
    _, rows, coordinates = case
    index = build(rows, coordinates)
    y = rotated(rows.shape[1], rows)
    lengths = np.linalg.norm(y, axis=1)
    for held, slack in zip(planes(index, len(rows)), slacks(index, len(rows)), strict=True):
        rho = np.linalg.norm(y - held, axis=1) / lengths
        assert (rho <= slack).all()
        assert (slack <= rho * (1 + 2**-7) + 2**-16).all()


def overshoot(query: Vectors, rows: Vectors) -> float:
    """How far the first pass's estimates are from the truth, as a share of what the bound allows, at most."""
    plane = bounds.plane(rows, squared_norms(rows))
    c = bounds.coefficients(query[None], squared_norms(query[None]))
    dots = (c.c.astype(np.int64) @ plane.p.astype(np.int64).T)[0]
    estimates = (dots.astype(np.float32) * plane.scale * c.weight[0]).astype(np.float64)
    true = (rows.astype(np.int64) @ query.astype(np.int64)) / np.sqrt(squared_norms(rows))
    reach = np.linalg.norm(query.astype(np.float64)) + np.linalg.norm(lost(query))
    return float((np.abs(true / reach - estimates) / (plane.slack + c.rest[0]).astype(np.float64)).max())


def lost(row: Vectors) -> NDArray[np.float64]:
    """What rounding to 8 bits loses of a row."""
    step = np.float32(np.abs(row).max()) / np.float32(127)
    error: NDArray[np.float64] = row - np.float64(step) * np.rint(row / step)
    return error


@SETTINGS
@given(contexts())
def test_the_bound_holds_for_every_row(case: tuple[Vectors, Vectors, list[Where]]) -> None:
    query, rows, _ = case
    assert overshoot(query, rows) <= 1


def test_the_bound_is_not_idle() -> None:
    """A query along what is lost of a row comes near to it: half of it would be wrong."""
    row = snap(np.random.default_rng(3).normal(size=(1, 256)))[0]
    assert 0.5 < overshoot(snap(lost(row)[None])[0], row[None]) <= 1


def barely_seen(plane: int) -> tuple[Vectors, Vectors]:
    """A query along what a plane does not see of a row, the best of 33, and others that it sees well."""
    random = np.random.default_rng(3)
    row, h = snap(random.normal(size=(1, 256)))[0], rotation(256)
    held = planes(build(row[None]), 1)[plane][0]
    error = h @ row - held
    along = error - (error @ held) / (held @ held) * held
    c = np.rint(127 * along / np.abs(along).max())  # which the query is in 8 bits, without a rest
    query, along = (c @ h).astype(np.int16), c / np.linalg.norm(c)
    other = random.normal(size=256)
    other -= (other @ along) * along
    cosine = (h @ row @ along) / np.linalg.norm(h @ row)
    other = snap(((other + 0.7 * cosine * np.linalg.norm(other) * along) @ h)[None])[0]
    rows = np.stack([*[other] * 32, row])
    assert reference(query, rows, [(0, i) for i in range(33)], 1) == [32]
    return query, rows


@pytest.mark.parametrize("copies", [1, 9])
@pytest.mark.parametrize("share", [1, 0.25, 0])
def test_a_bound_that_is_too_small_loses_the_best_row(share: float, copies: int, native: bool) -> None:
    """With the bound the row is found, with a quarter of it or none it is not. One query takes the upper four
    bits, nine take all."""
    query, rows = barely_seen(1 if native and copies == 1 else 0)
    index = build(rows)
    slack = index._blocks.blocks[0].slack[:, :33]
    slack[:] = halves(floats(slack) * np.float32(share)) if native else slack * share
    for found in index.search(np.repeat(query[None], copies, axis=0), 1):
        assert found.rows.tolist() == [32 if share == 1 else 0]


portable_alone = pytest.mark.parametrize("native", ["portable"], indirect=True)


@portable_alone
@pytest.mark.parametrize("share", [1, 0.25, 0])
@pytest.mark.parametrize("first", [16, 512])
def test_a_common_slack_that_is_too_small_loses_it_too(
    share: float, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the row is among the first, which raise what must be reached, or not."""
    monkeypatch.setattr(scan, "_FIRST_ROWS", first)
    monkeypatch.setattr(scan, "_FIRST_TIMES", 1)
    query, rows = barely_seen(0)
    index = build(rows)
    index._blocks.blocks[0].widest *= share
    assert index.search(query[None], 1)[0].rows.tolist() == [32 if share == 1 else 0]


def halves(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


kernels_alone = pytest.mark.parametrize("native", ["kernels"], indirect=True)
LEVELS = range(kernels.best_level() + 1)  # none without kernels


@kernels_alone
@pytest.mark.parametrize("halves", [(512, 512), (512, 256), (512, 48), (16, 24)])
@pytest.mark.parametrize("level", LEVELS)
def test_a_query_that_is_zero_in_one_half_finds_the_same_whatever_it_is_asked_with(
    halves: tuple[int, int], level: int
) -> None:
    random, d = np.random.default_rng(0), sum(halves)
    rows = snap(random.normal(size=(700, d)) + random.normal(size=d))
    queries = rows[:20] // 2
    queries[::2, : halves[0]] = 0
    queries[1::4, halves[0] :] = 0
    queries[5] = 0
    index = build(rows)
    table, wide = index._blocks.table(), rows.astype(np.float64)
    for at_once in (1, 3, 20):
        found = [
            rows_and_cosines
            for first in range(0, 20, at_once)
            for rows_and_cosines in kernels.search(
                table, queries[first : first + at_once], 30, level=level
            ).nearest
        ]
        for query, (best, _) in zip(queries, found, strict=True):
            cosines = wide @ query / np.linalg.norm(wide, axis=1)
            expected = np.argsort(-cosines, kind="stable")[: 30 * query.any()]
            assert best.tolist() == expected.tolist()


@kernels_alone
@pytest.mark.parametrize("at", [0, 5, 16])
def test_two_threads_quantise_rows_as_one_does(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = corpus(1501, 37)

    def quantised(cores: int) -> list[bytes]:
        monkeypatch.setattr(kernels, "cores", lambda: cores)
        kernels._helper.cache_clear()
        into, of = Block(37, 0, native=True, room=2048), slice(at, at + len(vectors))
        kernels.quantise(vectors, at, into.plane, into.scale, into.slack, into.norms)
        assert (kernels._helper() is None) == (cores == 1)
        parts = into.plane, into.scale[of], into.slack[:, of], into.norms[of]
        return [part.tobytes() for part in parts]

    assert quantised(2) == quantised(1)
    kernels._helper.cache_clear()


@kernels_alone
@pytest.mark.parametrize("n", [1, 4, 5, 8, 9, 17])
@pytest.mark.parametrize("k", [1, 5, 200])
def test_every_instruction_set_finds_the_same(n: int, k: int) -> None:
    """At k = 200 the upper four bits leave too many rows, and the rest of the block is read whole."""
    vectors, entries = corpus(300, 37)
    index = ContextIndex(37)
    index.append(0, entries, vectors)
    queries = snap(np.random.default_rng(0).normal(size=(n, 37)))
    table, own = index._blocks.table(), np.zeros((n, 3), dtype=np.int64)
    places = [(0, i) for i in range(300)]
    expected = [reference(query, vectors, places, k) for query in queries]
    for level in LEVELS:
        found = kernels.search(table, queries, k, kernels.LeftOut(own), level).nearest
        assert [rows.tolist() for rows, _ in found] == expected


@kernels_alone
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threads", [2, 3, 40])
@pytest.mark.parametrize("k", [1, 60])
def test_threads_find_the_same(threads: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever part of the rows each of them gets, one query or many."""
    vectors, entries = corpus(400)
    rows = np.concatenate([vectors, vectors])  # every best row is tied with one far away
    index = ContextIndex(32, threads=threads)
    index.append(0, [*entries, *(entry(400 + i) for i in range(400))], rows)
    monkeypatch.setattr(scan, "_SHARE", 1)  # products: all threads that there may be
    own: list[Where | None] = [(0, i) if i % 2 else None for i in range(12)]
    for n in (1, 4, 12):
        for i, found in enumerate(index.search(vectors[:n], k, exclude=own[:n])):
            left = [j for j in range(800) if own[i] != (0, j)]
            nearest = reference(vectors[i], rows[left], [(0, j) for j in left], k)
            assert found.rows.tolist() == [left[j] for j in nearest]


@kernels_alone
@settings(SETTINGS, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 150), st.sampled_from([1, 3, 6]), st.integers(1, 20), st.data())
def test_every_instruction_set_agrees_with_fractions(
    d: int, n: int, asked: int, k: int, data: st.DataObject
) -> None:
    """Ties, zeros, extremes, removed and excluded entries, at every dimension up to 40."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = data.draw(st.sampled_from([[-1, 0, 1], [-SCALE, 0, SCALE], [-SCALE, -3, 0, 1, 77, SCALE]]))
    vectors = random.choice(np.array(values, dtype=np.int16), size=(n + asked, d))
    vectors[~vectors.any(axis=1), random.integers(d)] = 1
    rows, queries = vectors[asked:], vectors[:asked]
    index = ContextIndex(d)
    index.append(0, [entry(i) for i in range(n)], rows)
    removed = set(random.choice(n, size=n // 4, replace=False).tolist())
    for gone in removed:
        assert index.remove(0, gone)
    own = [[1, 0, i % n] for i in range(asked)]
    for level in LEVELS:
        found = kernels.search(
            index._blocks.table(), queries, k, kernels.LeftOut(np.array(own)), level
        ).nearest
        for i, query in enumerate(queries):
            left = [j for j in range(n) if j not in removed and j != own[i][2]]
            nearest = [left[j] for j in reference(query, rows[left], [(0, j) for j in left], k)]
            assert found[i][0].tolist() == nearest


@pytest.mark.usefixtures("small_blocks")
def test_a_removed_entry_is_as_if_it_had_never_been() -> None:
    vectors, entries = corpus(SEVERAL)
    queries, prediction = vectors[:6], np.random.default_rng(5).normal(size=(6, 32))
    index = ContextIndex(32)
    index.append(0, entries, vectors)
    left = list(range(SEVERAL))
    for gone in np.random.default_rng(1).permutation(SEVERAL).tolist():
        assert index.remove(0, gone)
        assert not index.remove(0, gone)
        left.remove(gone)
        if len(left) % 9:
            continue
        fresh = ContextIndex(32)
        fresh.append(0, [entries[i] for i in left], vectors[left])
        assert len(index) == len(left)
        for mine, new, p in zip(
            index.search(queries, 20), fresh.search(queries, 20), prediction, strict=True
        ):
            assert [index.entry(i) for i in mine.rows] == [fresh.entry(i) for i in new.rows]
            assert mine.cosines.tolist() == new.cosines.tolist()
            weights = index.predicted(p, mine.rows), fresh.predicted(p, new.rows)
            np.testing.assert_allclose(*weights, rtol=1e-12, atol=1e-12)
    assert len(index) == 0
    assert not index.remove(1, 0)


def test_what_is_removed_leaves_no_words_behind() -> None:
    index = build(np.array([[1, 0], [0, 1], [1, 1]], dtype=np.int16), answers="xyx")
    assert index.remove(0, 1)
    assert list(index.answers) == ["x", ""]
    assert index.remove(0, 0)
    assert list(index.answers) == ["x", ""]
    for removed in (index.entry, index.text):
        with pytest.raises(KeyError):
            removed(1)
    index.append(0, [entry(9, "y")], np.array([[0, 1]], dtype=np.int16))
    assert index.answers[index.answer_ids(np.array([3]))[0]] == "y"


words = st.sampled_from(["one text", "another", "ação", "what is it", "日本語", ""])  # none in another
held = st.builds(
    Entry,
    offset=st.just(0),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
    context=st.just("c"),
    text=words,
    answer=st.none() | words,
    metadata=st.dictionaries(words, words, max_size=2),
    copies=st.integers(1, MAX_COPIES),
)


@pytest.fixture
def clean_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """New arrays hold nothing of what was freed before."""
    monkeypatch.setattr(np, "empty", np.zeros)


def said(entries: list[Entry]) -> set[str]:
    found = {word for e in entries for word in (e.text, e.answer, *e.metadata, *e.metadata.values())}
    return {word for word in found if word}


@pytest.mark.usefixtures("small_blocks", "clean_memory")
@settings(SETTINGS, max_examples=40)
@given(st.lists(st.lists(held, max_size=40), max_size=5), st.integers(0, 2**32))
def test_an_index_holds_the_entries_it_was_given_and_nothing_of_those_removed(
    batches: list[list[Entry]], seed: int
) -> None:
    index, random = ContextIndex(2), Random(seed)
    ever, kept = list[Entry](), list[Entry]()
    for batch in batches:
        new = [replace(e, offset=len(ever) + i) for i, e in enumerate(batch)]
        index.append(3, new, np.ones((len(new), 2), dtype=np.int16))
        ever, kept = ever + new, kept + new
        for gone in random.sample(kept, random.randint(0, len(kept))):
            assert index.remove(3, gone.offset)
            kept.remove(gone)
        memory = b"".join(bytes(chunk) for chunk in index._arena._chunks)
        assert all(word.encode() in memory for word in said(kept))
        assert not any(word.encode() in memory for word in said(ever) - said(kept))
    rows = [index.find((3, entry.offset)) for entry in kept]
    assert None not in rows
    places = np.array(rows, dtype=np.int64)
    assert [index.entry(row) for row in places.tolist()] == kept
    assert [index.text(row) for row in places.tolist()] == [entry.text for entry in kept]
    answers = [entry.text if entry.answer is None else entry.answer for entry in kept]
    ids = index.answer_ids(places).tolist()
    assert [index.answers[i] for i in ids] == answers
    assert len(set(ids)) == len(set(answers))


@pytest.mark.usefixtures("clean_memory")
def test_an_answer_that_stands_behind_an_empty_text_goes_too() -> None:
    index = build(np.array([[1, 0]], dtype=np.int16))
    entries = [Entry(8 + i, 0, index.entry(0).context, "", "a secret") for i in range(2)]
    index.append(0, entries, np.ones((2, 2), dtype=np.int16))
    assert [index.remove(0, entry.offset) for entry in entries] == [True, True]
    assert b"secret" not in b"".join(bytes(chunk) for chunk in index._arena._chunks)


def test_an_index_is_of_one_context() -> None:
    index, vectors = build(np.array([[1, 0]], dtype=np.int16)), np.ones((2, 2), dtype=np.int16)
    for contexts in ("cd", "dc", "dd"):
        with pytest.raises(ValueError, match="context"):
            index.append(0, [Entry(8 + i, 0, c, "text") for i, c in enumerate(contexts)], vectors)
    assert len(index) == 1


@pytest.mark.usefixtures("small_blocks")
def test_what_the_weights_predict_is_the_sum_over_every_row_that_teaches() -> None:
    """Answers taught by few rows and by many, before and after some are removed."""
    random = np.random.default_rng(8)
    vectors = snap(random.normal(size=(400, 16)))
    entries = [entry(i, "many" if i % 4 else f"few {i % 40}" if i % 8 else None) for i in range(400)]
    index = ContextIndex(16)
    index.append(0, entries, vectors)
    predictions = random.normal(size=(3, 16))
    left = set(range(400))
    for gone in [None, *random.permutation(400)[:100].tolist()]:
        if gone is not None:
            assert index.remove(0, gone)
            left.remove(gone)
        if gone is not None and len(left) % 20:
            continue
        for matches, p in zip(index.search(vectors[:3], 50), predictions, strict=True):
            weights = index.predicted(p, matches.rows)
            for row, weight in zip(matches.rows.tolist(), weights.tolist(), strict=True):
                answer = index.entry(row).answer
                mine = [i for i in left if answer is not None and entries[i].answer == answer]
                expected = vectors[mine].astype(np.int64).sum(0) @ p / SCALE
                assert weight == pytest.approx(expected, abs=1e-9)
