"""Equation 1: its laws, on any Unicode."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.core.rule.scn import similarity
from hurnet_stream.core.words import words

near = st.text("aAáÁbç İßﬁé\u0301 .的", max_size=24)
"""Few letters with many forms: equal words, case, accents, combining marks and ligatures are common."""
texts = (
    near
    | st.text(max_size=24)
    | st.lists(st.sampled_from(["on", "ON", "ôn", "lights", "light"])).map(" ".join)
)


@settings(deadline=None)
@given(texts, texts, st.booleans())
def test_it_is_symmetric_and_between_0_and_1(a: str, b: str, penalise_length: bool) -> None:
    assert 0 <= similarity(a, b, penalise_length) <= 1
    assert similarity(a, b, penalise_length) == pytest.approx(similarity(b, a, penalise_length))


@settings(deadline=None)
@given(texts, st.booleans())
def test_a_text_is_wholly_like_itself(text: str, penalise_length: bool) -> None:
    assert similarity(text, text, penalise_length) == 1


@settings(deadline=None)
@given(texts, texts)
def test_the_penalty_takes_off_at_most_a_half(a: str, b: str) -> None:
    assert similarity(a, b) - 0.5 <= similarity(a, b, penalise_length=True) <= similarity(a, b)


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


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("turn on", "turn on the lights", 1 - (1 - 2 / 4) / 2),
        ("a", "b c d", 0),  # never below
        ("", "word", 0),
        ("light", "lights", 5 / 6),  # as many words: nothing is taken off
    ],
)
def test_the_length_penalty_by_hand(a: str, b: str, expected: float) -> None:
    assert similarity(a, b, penalise_length=True) == pytest.approx(expected)


def test_printed_equation_1_grows_with_word_length_and_this_one_does_not() -> None:
    assert similarity("a" * 20, "a" * 20) == similarity("a", "a") == 1


def test_no_word_and_no_letter_is_left_out() -> None:
    many = [f"w{i}" for i in range(5_000)]
    assert words(" ".join(many)) == many
    assert words("x" * 100_000) == ["x" * 100_000]
    assert similarity("x" * 100_000, "x" * 99_999 + "y") == pytest.approx(1 - 1e-5, abs=1e-9)


def test_punctuation_alone_is_compared_as_it_stands() -> None:
    assert similarity("???", "???") == 1
    assert similarity("😀", "😀 😀") == 1
    assert similarity("what?", "what") == 1
