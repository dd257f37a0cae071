"""The exact search against integers and fractions, row by row."""

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.core import index as index_module
from workers.core.context import Entry, Vectors
from workers.core.grid import SCALE, snap
from workers.core.index import ContextIndex, Matches

Where = tuple[int, int]


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


@settings(deadline=None)
@given(contexts(), st.integers(1, 30))
def test_the_k_nearest_are_those_of_exact_fractions(
    case: tuple[Vectors, Vectors, list[Where]], k: int
) -> None:
    query, rows, coordinates = case
    found = build(rows, coordinates).search(query[None], k)[0]
    assert found.rows.tolist() == reference(query, rows, coordinates, k)
    expected = [float(signed_square_cosine(query, rows[i])) for i in found.rows]
    np.testing.assert_allclose(found.cosines * np.abs(found.cosines), expected, atol=1e-12)


@settings(deadline=None, max_examples=20)
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
    monkeypatch.setattr(index_module, "BLOCK_ROWS", 8)
    monkeypatch.setattr(index_module, "_SCORES_AT_ONCE", 64)


def corpus(n: int, d: int = 32) -> tuple[Vectors, list[Entry]]:
    random = np.random.default_rng(n)
    answers = [None if i % 5 == 0 else f"answer {i % 7}" for i in range(n)]
    return snap(random.normal(size=(n, d))), [entry(i, answers[i]) for i in range(n)]


@pytest.mark.usefixtures("small_blocks")
def test_batches_blocks_and_appends_between_searches_change_nothing() -> None:
    vectors, entries = corpus(43)
    queries = snap(np.random.default_rng(0).normal(size=(9, 32)))
    index, done = ContextIndex(32), 0
    for n in (1, 6, 1, 0, 20, 15):
        index.append(0, entries[done : done + n], vectors[done : done + n])
        done += n
        together = index.search(queries, 5, queries / SCALE)
        for query, found in zip(queries, together, strict=True):
            alone = index.search(query[None], 5, query[None] / SCALE)[0]
            assert found.rows.tolist() == reference(query, vectors[:done], [(0, i) for i in range(done)], 5)
            assert found.rows.tolist() == alone.rows.tolist()
            assert found.cosines.tolist() == alone.cosines.tolist()
            np.testing.assert_allclose(weights(found), weights(alone), atol=1e-6)
    assert [index.entry(i) for i in range(43)] == entries
    assert index.coordinates(42) == (0, 42)
    np.testing.assert_array_equal(index.vectors(np.array([40, 2, 9])), vectors[[40, 2, 9]])


def weights(found: Matches) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    assert found.weights is not None
    return found.weights


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("own", [None, (0, 3), (0, 5), (1, 3)])
def test_weights_scores_are_inner_products_with_the_sum_of_an_answers_training_rows(
    own: Where | None,
) -> None:
    vectors, entries = corpus(43)
    index = ContextIndex(32)
    index.append(0, entries, vectors)
    prediction = np.random.default_rng(5).normal(size=32)
    sums: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = defaultdict(lambda: np.zeros(32))
    for i, item in enumerate(entries):
        if item.answer is not None and own != (0, i):
            sums[item.answer] += vectors[i] / SCALE
    found = index.search(vectors[:1], 4, prediction[None], [own])[0]
    expected = [prediction @ sums[answer] for answer in index.answers]
    np.testing.assert_allclose(weights(found), expected, atol=1e-5)


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
    assert index.answers == ["text 0", "other"]
    assert index.answer_ids(np.array([0, 1, 2])).tolist() == [0, 0, 1]


def test_an_empty_index_and_a_query_of_zeros_match_nothing() -> None:
    query = np.array([[1, 0]], dtype=np.int16)
    assert len(ContextIndex(2).search(query, 5, query / SCALE)[0].rows) == 0
    index = build(np.array([[1, 0]], dtype=np.int16))
    assert len(index.search(np.zeros((1, 2), dtype=np.int16), 5)[0].rows) == 0
    assert index.search(np.zeros((0, 2), dtype=np.int16), 5) == []


@pytest.mark.parametrize(
    "vectors",
    [np.zeros((1, 2), np.int16), np.ones((1, 3), np.int16), np.ones((2, 2), np.int16), np.ones((1, 2))],
)
def test_vectors_that_do_not_fit_are_refused_and_leave_the_index_as_it_was(vectors: Vectors) -> None:
    index = ContextIndex(2)
    with pytest.raises(ValueError, match=r"do not fit|zeros"):
        index.append(0, [entry(0)], vectors)
    assert len(index) == 0


def test_queries_of_another_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="queries must be"):
        ContextIndex(2).search(np.ones((1, 3), dtype=np.int16), 1)
