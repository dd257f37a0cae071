"""Equation 1: its laws, on any Unicode, and the fast version against the one that reads like the paper."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.core.words import MAX_LETTERS, MAX_WORDS, encode, similarities, similarity, words

near = st.text("aAáÁbç İßﬁé\u0301 .的", max_size=24)
"""Few letters with many forms: equal words, case, accents, combining marks and ligatures are common."""
texts = (
    near
    | st.text(max_size=24)
    | st.lists(st.sampled_from(["on", "ON", "ôn", "lights", "light"])).map(" ".join)
)


@settings(deadline=None)
@given(texts, texts)
def test_it_is_symmetric_and_between_0_and_1(a: str, b: str) -> None:
    assert 0 <= similarity(a, b) <= 1
    assert similarity(a, b) == pytest.approx(similarity(b, a))


@settings(deadline=None)
@given(texts)
def test_a_text_is_wholly_like_itself(text: str) -> None:
    assert similarity(text, text) == 1


@settings(deadline=None)
@given(texts, st.lists(texts, max_size=6))
def test_the_fast_version_equals_the_reference(query: str, candidates: list[str]) -> None:
    fast = similarities(encode(query), [encode(c) for c in candidates])
    assert fast.tolist() == pytest.approx([similarity(query, c) for c in candidates], abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("", "", 1),
        ("", "word", 0),
        ("turn on", "turn on the lights", 1),  # every word of the shorter text is there
        ("light", "lights", 5 / 6),
        ("CAFE", "cafe", 2 / 3),  # δ1 and δ3 on each letter
        ("café", "cafe", (3 + 2 / 3) / 4),  # δ1 and δ2 on é
        ("CAFÉ", "cafe", (3 * 2 / 3 + 1 / 3) / 4),  # δ1 alone on É
        ("a a b", "a c d", (2 / 3 + 1 / 3) / 2),  # same number of words: both directions
        ("café", "cafe\u0301", 1),  # the same word, composed and not
        ("开灯", "灯", 1),
    ],
)
def test_by_hand(a: str, b: str, expected: float) -> None:
    assert similarity(a, b) == pytest.approx(expected)


def test_printed_equation_1_grows_with_word_length_and_this_one_does_not() -> None:
    assert similarity("a" * 20, "a" * 20) == similarity("a", "a") == 1


def test_long_texts_are_cut_so_that_cost_is_bounded() -> None:
    found = words(("x" * 10_000 + " ") * 10 + "word " * 10_000)
    assert len(found) <= MAX_WORDS
    assert max(map(len, found)) == MAX_LETTERS


def test_punctuation_alone_is_compared_as_it_stands() -> None:
    assert similarity("???", "???") == 1
    assert similarity("😀", "😀 😀") == 1
    assert similarity("what?", "what") == 1
