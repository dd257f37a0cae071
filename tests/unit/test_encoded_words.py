"""The fast equation 1, compiled and in numpy, against the one that reads like the paper."""

from collections.abc import Iterator
from contextlib import nullcontext
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hurnet_stream.core.native import disabled, library
from hurnet_stream.core.rule import encoded_words
from hurnet_stream.core.rule.encoded_words import kept, kept_long, similarities
from hurnet_stream.core.rule.scn import similarity

LETTERS = "aAáÁbç İßﬁé\u0301 .的\x00\U0010ffff"
"""Few letters with many forms, and the first and the last code point."""
texts = (
    st.text(LETTERS, max_size=24)
    | st.text(max_size=24)
    | st.lists(st.sampled_from(["on", "ON", "ôn", "lights", "light", "l" * 40, "L" * 41])).map(" ".join)
)


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "compiled" and library() is None:
        pytest.skip("the kernels were not built")
    with disabled() if request.param == "numpy" else nullcontext():
        yield


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, st.lists(texts, max_size=6))
def test_it_equals_the_reference(query: str, candidates: list[str]) -> None:
    fast = similarities(query, candidates)
    slow = [similarity(query, c) for c in candidates]
    assert fast.tolist() == pytest.approx(slow, abs=1e-14)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts, st.lists(texts, min_size=1, max_size=6))
def test_a_text_is_wholly_like_itself_and_nothing_more(query: str, candidates: list[str]) -> None:
    found = similarities(query, [query, *candidates])
    assert found[0] == 1
    assert ((found >= 0) & (found <= 1)).all()


def test_long_texts_equal_the_reference() -> None:
    random = Random(1)
    query, candidate = (
        " ".join("".join(random.choices(LETTERS, k=random.randint(1, 90))) for _ in range(30)) for _ in "ab"
    )
    (found,) = similarities(query, [candidate])
    assert found == pytest.approx(similarity(query, candidate), abs=1e-13)


def test_no_word_and_no_letter_is_left_out() -> None:
    many = [f"{i:04}" for i in range(2_000)]
    query, other = " ".join(many), " ".join([*many[:-1], "last"])
    assert 0.9994 < similarities(query, [other])[0] < 1
    word = "x" * 20_000
    assert similarities(word, ["x" * 19_999 + "y"])[0] == pytest.approx(1 - 5e-5, abs=1e-12)


def test_numpy_takes_many_words_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_words, "_CELLS_MAX", 8)
    query, candidates = "turn the big old light on", ["", "light", "turn on the lights", "a b c d e f"]
    fast = similarities(query, candidates)
    assert fast.tolist() == pytest.approx([similarity(query, c) for c in candidates])


def test_candidates_that_would_take_too_long_are_left_out() -> None:
    query, candidates = "one two", ("one", "two three", "four", "five")
    alike = [similarity(query, candidate) for candidate in candidates]
    for most, compared in ((5, 0), (6, 1), (17, 1), (18, 2), (23, 2), (24, 3), (30, 4)):
        found = similarities(query, candidates, most)
        assert found.tolist() == pytest.approx(alike[:compared])


def test_the_longest_texts_of_prose_and_short_questions_are_within_the_limit() -> None:
    random = Random(2)
    vocabulary = ["".join(random.choices("abcdefghij", k=random.randint(2, 10))) for _ in range(3_000)]
    prose = [" ".join(random.choices(vocabulary, k=2_300)) for _ in range(64)]  # 16,000 letters
    assert len(similarities(" ".join(vocabulary[:100]), prose)) == 64


def test_a_candidate_is_encoded_once() -> None:
    kept.cache_clear()
    kept_long.cache_clear()
    for _ in range(3):
        similarities("light", ["turn on the light", "light " * 100])
    assert (kept.cache_info().misses, kept_long.cache_info().misses) == (1, 1)
