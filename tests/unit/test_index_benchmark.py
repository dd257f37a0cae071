"""What the benchmark of the index says of answers: the reference, tiling, and that wrong ones are counted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hurnet_stream.core.grid import snap
from hurnet_stream.core.stored.batch import Vectors
from tests.benchmarks._exact import nearest
from tests.benchmarks._race import check, race
from tests.benchmarks._searches import MAX_SCORES, peers
from tests.benchmarks._text import Corpus
from tests.benchmarks._upkeep import filled, remove, search_between_appends

ROWS, DIMENSION, QUERIES = 700, 24, 40


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Rows that are each there two times and a bit, and of which two are equal."""
    vectors = snap(np.random.default_rng(0).standard_normal((300 + QUERIES, DIMENSION), np.float32))
    vectors[7] = vectors[211]
    vectors[-1] = vectors[211]  # a query
    return Corpus(vectors[:300], vectors[300:], ROWS)


def slowly(rows: Vectors, query: Vectors) -> int:
    """In Python's integers: the greatest cosine, squared with its sign, of the lowest row."""
    best, found = (-1, 1), -1
    for i, row in enumerate(rows.tolist()):
        dot = sum(a * b for a, b in zip(row, query.tolist(), strict=True))
        norm = sum(a * a for a in row)
        if found < 0 or dot * abs(dot) * best[1] > best[0] * norm:
            best, found = (dot * abs(dot), norm), i
    return found


@pytest.fixture(scope="module")
def truth(corpus: Corpus) -> NDArray[np.int64]:
    return nearest(corpus.distinct, corpus.queries)


def test_the_reference_is_the_first_of_the_nearest_rows_of_all(
    corpus: Corpus, truth: NDArray[np.int64]
) -> None:
    rows = np.concatenate(list(corpus.parts(64)))
    assert len(rows) == ROWS
    assert truth.tolist() == [slowly(rows, query) for query in corpus.queries]
    assert truth[-1] == 7


def test_exact_searches_find_near_enough_the_reference_also_in_parts(
    corpus: Corpus, truth: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = peers(corpus, graphs=False)["numpy"](corpus.queries)
    monkeypatch.setattr("tests.benchmarks._searches.MAX_SCORES", 100 * QUERIES)
    in_parts = {name: search(corpus.queries) for name, search in peers(corpus, graphs=False).items()}
    assert MAX_SCORES > ROWS * QUERIES  # `whole` was in one part
    assert (in_parts["numpy"] == whole).all()
    for name in ("numpy", "torch"):
        assert (in_parts[name] % 300 == truth % 300)[:-1].all()


def test_every_wrong_answer_is_counted(corpus: Corpus, truth: NDArray[np.int64]) -> None:
    rows = {query.tobytes(): row for query, row in zip(corpus.queries, truth.tolist(), strict=True)}

    def right(queries: Vectors) -> NDArray[np.int64]:
        return np.array([rows[query.tobytes()] for query in queries])

    def once(queries: Vectors) -> NDArray[np.int64]:
        return np.where((queries == corpus.queries[3]).all(axis=1), -1, right(queries))

    raced = race({"right": right, "once": once}, corpus.queries, truth, rounds=QUERIES - 1)
    assert raced[1]["right"].tally.wrong == 0
    assert (raced[1]["once"].tally.asked, raced[1]["once"].tally.wrong) == (QUERIES, 1)
    assert check(once, corpus.queries, truth, (1, 16)).wrong == 2


def test_answers_between_appends_and_after_removals_are_checked(
    corpus: Corpus, truth: NDArray[np.int64]
) -> None:
    index, changed = filled(corpus)
    copies = search_between_appends(index, corpus, truth, changed)
    assert copies
    assert len(index) == ROWS + copies
    assert (changed.tally.asked, changed.tally.wrong) == (QUERIES, 0)
    search_between_appends(filled(corpus)[0], corpus, truth + 1, changed)
    assert (changed.tally.asked, changed.tally.wrong) == (2 * QUERIES, QUERIES)
    remove(index, corpus, copies, changed)
    assert (changed.tally.asked, changed.tally.wrong) == (3 * QUERIES, QUERIES)
    assert len(index) == ROWS - len(range(0, ROWS, 3))
