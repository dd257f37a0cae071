"""The lexical kernels over blocks of full size, where postings are skipped and looked up, against numpy."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from hurnet_stream.core.lexical.lexicon import Lexicon
from hurnet_stream.core.native import disabled, library
from hurnet_stream.core.search.block import RowColumns
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.stored.entries import starts_of

pytestmark = pytest.mark.skipif(library() is None, reason="no kernels were built")

ROWS, WORDS = 40_000, 3_000


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Words of which a few are in nearly every text and most in a few, and some texts that are long."""
    random = np.random.default_rng(0)
    lengths = random.integers(1, 12, ROWS)
    lengths[::997] = 300
    ranks = np.minimum(random.pareto(0.7, lengths.sum()).astype(np.int64), WORDS)
    words = iter([f"{rank}w" for rank in ranks.tolist()])
    return [" ".join(next(words) for _ in range(length)) for length in lengths.tolist()]


@pytest.fixture(scope="module")
def lexicon(texts: list[str]) -> Lexicon:
    return filled(texts)


def filled(texts: list[str]) -> Lexicon:
    blocks = Blocks(8)
    lexicon = Lexicon(blocks)
    offsets = np.random.default_rng(1).permutation(ROWS)  # ties must not follow the rows
    for first in range(0, ROWS, 3_000):
        part = texts[first : first + 3_000]
        zeros = np.zeros(len(part), np.int64)
        columns = RowColumns(
            zeros, offsets[first : first + len(part)], zeros, zeros + 1, zeros, zeros != 0, zeros, zeros
        )
        rows = blocks.append(np.ones((len(part), 8), np.int16), columns)
        lexicon.append(rows, "".join(part).encode(), starts_of(np.array(list(map(len, part)))))
    return lexicon


def questions(random: np.random.Generator, n: int) -> Iterator[str]:
    for _ in range(n):
        ranks = np.minimum(random.pareto(random.choice([0.3, 0.7, 1.5]), random.integers(1, 70)), WORDS + 5)
        yield " ".join(f"{rank}w" for rank in ranks.astype(np.int64).tolist())


def check_alike(lexicon: Lexicon, rows: NDArray[np.int64], random: np.random.Generator, n: int) -> None:
    for question in questions(random, n):
        k, own = int(random.choice([1, 3, 64, 500])), int(random.choice(rows))
        fast, given = lexicon.search(question, k, own), lexicon.scores(question, rows)
        with disabled():
            slow, expected = lexicon.search(question, k, own), lexicon.scores(question, rows)
        assert fast[0].tolist() == slow[0].tolist()
        assert fast[1].tolist() == slow[1].tolist()
        assert given.tolist() == expected.tolist()


def test_the_kernels_find_what_numpy_finds(lexicon: Lexicon) -> None:
    random = np.random.default_rng(2)
    check_alike(lexicon, random.integers(0, ROWS, 256), random, 120)


def test_the_kernels_find_what_numpy_finds_after_removals(texts: list[str]) -> None:
    lexicon, random = filled(texts), np.random.default_rng(3)
    gone = random.permutation(ROWS)[: ROWS // 5]
    for i, row in enumerate(gone.tolist()):
        if i % 2:
            lexicon.remove(row, texts[row])
        else:
            with disabled():
                lexicon.remove(row, texts[row])
    left = np.setdiff1d(np.arange(ROWS), gone)
    check_alike(lexicon, random.choice(left, 256), random, 60)
    kept = set(left.tolist())
    again = filled([text if row in kept else "" for row, text in enumerate(texts)])
    assert lexicon._total == again._total


def test_a_question_of_frequent_words_alone_is_answered_exactly(lexicon: Lexicon) -> None:
    every = np.arange(ROWS)
    for words in (1, 2, 5, 20):
        question = " ".join(f"{rank}w" for rank in range(words))
        scores = lexicon.scores(question, every)
        ids = lexicon._blocks.column("offsets", every)
        best = np.lexsort((ids, -scores))[:64]
        found, values = lexicon.search(question, 64)
        assert found.tolist() == best.tolist()
        assert values.tolist() == scores[best].tolist()


def test_rows_that_reach_the_bar_exactly_are_not_skipped() -> None:
    """Half of all rows tie at the bound of their runs, and the lowest entry ids are in the last runs, too."""
    lexicon = filled(["1w 2w", "other"] * (ROWS // 2))
    every = lexicon._blocks.column("offsets", np.arange(0, ROWS, 2))
    for question in ("1w", "1w 2w", "1w 2w 3w"):
        ids = lexicon._blocks.column("offsets", lexicon.search(question, 64)[0])
        assert ids.tolist() == np.sort(every)[:64].tolist()
