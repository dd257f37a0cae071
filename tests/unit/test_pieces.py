"""The kernel that cuts words finds the largest sum of scores, as trying all ways would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.native import pieces as kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the kernels were not built")

UNKNOWN, UNKNOWN_SCORE = 0, -20.0
words = st.text("abcé开", max_size=9)
vocabularies = st.dictionaries(
    st.text("abcé开", min_size=1, max_size=4), st.integers(-40, 0).map(lambda score: score / 4), max_size=12
)


def ways(word: str, vocabulary: dict[str, float]) -> list[tuple[float, list[int], list[int]]]:
    """All ways to cut the word: sum of scores, where pieces begin, and the pieces."""
    found: list[list[tuple[float, list[int], list[int]]]] = [[(0.0, [], [])]]
    numbers = {piece: number for number, piece in enumerate(vocabulary, start=1)}
    for end in range(1, len(word) + 1):
        found.append([])
        for begin in range(end):
            piece = word[begin:end]
            score, number = vocabulary.get(piece), numbers.get(piece)
            if number is None and len(piece) == 1:
                score, number = UNKNOWN_SCORE, UNKNOWN
            if score is not None and number is not None:
                found[end] += [(s + score, [*b, begin], [*n, number]) for s, b, n in found[begin]]
    return found[-1]


def vocabulary_of(vocabulary: dict[str, float]) -> kernels.Pieces:
    return kernels.Pieces(["\uffff", *vocabulary], [0.0, *vocabulary.values()], UNKNOWN, UNKNOWN_SCORE)


@given(words, vocabularies)
def test_no_other_way_has_a_larger_sum(word: str, vocabulary: dict[str, float]) -> None:
    cut = list(vocabulary_of(vocabulary).cut(word))
    every = ways(word, vocabulary)
    assert cut in [numbers for _, _, numbers in every]
    largest = max(score for score, _, _ in every)
    # Of equal sums, the one whose last piece begins first, and so on towards the beginning.
    first = min((begins[::-1], numbers) for score, begins, numbers in every if score == largest)
    assert cut == first[1]


def test_pieces_share_their_beginnings() -> None:
    vocabulary = {"a" * length: -1.0 for length in range(1, 200)}
    made = vocabulary_of(vocabulary)
    assert made.cut("a" * 199) == (199,)
    assert made.cut("a" * 200) == (1, 199)
    assert made.cut("b" + "a" * 5 + "b") == (UNKNOWN, 5, UNKNOWN)


def test_many_pieces_without_a_common_beginning_have_room() -> None:
    vocabulary = {chr(0x4E00 + i) + "x": -1.0 for i in range(5000)}
    made = vocabulary_of(vocabulary)
    assert [made.cut(piece) for piece in vocabulary] == [(i,) for i in range(1, 5001)]


def test_an_empty_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="without letters"):
        vocabulary_of({"": -1.0})
