"""The demo's data is real, the same every time, and doesn't leak answers into its questions."""

from collections import Counter
from random import Random

import pytest

from hurnet_stream.core.words import words
from hurnet_stream.demo import data
from hurnet_stream.demo.data import DemoData, in_a_hurry
from hurnet_stream.demo.templates import Grammar


@pytest.fixture(scope="module")
def loaded() -> DemoData:
    return data.load()


def test_it_is_the_same_every_time(loaded: DemoData) -> None:
    assert data.load() == loaded


def test_no_question_comes_from_a_template_or_text_of_the_stream(loaded: DemoData) -> None:
    home = [pair for pair in loaded.questions if pair.origin.startswith("home")]
    assert home
    templates = {(pair.origin, pair.template) for pair in loaded.stream}  # a language has its own rules
    assert not {(pair.origin, pair.template) for pair in home} & templates
    texts = {pair.text.casefold() for pair in loaded.stream}
    assert not [pair for pair in loaded.questions if pair.text.casefold() in texts]


def test_every_question_has_its_answer_in_the_stream(loaded: DemoData) -> None:
    assert {pair.answer for pair in loaded.questions} <= {pair.answer for pair in loaded.stream}


def test_both_kinds_are_there_in_both_languages(loaded: DemoData) -> None:
    assert set(Counter(pair.origin for pair in loaded.stream)) == {
        "home en",
        "home pt-BR",
        "chat en",
        "chat pt",
        "support",
    }
    asked = Counter(pair.origin for pair in loaded.questions)
    assert asked.pop("support") == 28
    assert min(asked.values()) >= 50
    assert len({pair.answer for pair in loaded.stream if pair.origin == "home en"}) > 30
    assert any(pair.text.startswith("ligar ") for pair in loaded.stream)


def test_texts_have_no_template_marks_left(loaded: DemoData) -> None:
    home = [p for p in (*loaded.stream, *loaded.questions) if p.origin.startswith("home")]
    assert not [pair.text for pair in home if set("{}<>[]|()") & set(pair.text)]


def test_the_support_set_is_asked_in_other_words_than_it_is_taught(loaded: DemoData) -> None:
    taught = [set(words(p.text)) for p in loaded.stream if p.origin == "support"]
    shared = []
    for pair in loaded.questions:
        if pair.origin == "support":
            asked = set(words(pair.text))
            shared.append(max(len(asked & known) / len(asked) for known in taught))
    assert sum(shared) / len(shared) < 0.5
    assert Counter(p.answer for p in loaded.stream if p.origin == "support").most_common()[-1][1] == 8


def test_nothing_that_is_taught_is_about_animals(loaded: DemoData) -> None:
    taught = " ".join(pair.text.casefold() for pair in loaded.stream if pair.origin == "support")
    assert not {"dog", "pet", "animal", "cat"} & set(words(taught))


def test_within_one_kind_a_text_has_one_answer(loaded: DemoData) -> None:
    seen = Counter((pair.origin, pair.text.casefold()) for pair in loaded.stream)
    assert max(seen.values()) == 1


def test_a_template_gives_all_its_sentences_and_no_other() -> None:
    grammar = Grammar(
        rules={"turn": "(turn|switch)"},
        lists={
            "level": {"range": {"from": 10, "to": 30, "step": 10}},
            "state": {"values": ["on", {"in": "off"}]},
        },
        fillers={"name": ["lamp", "fan"]},
    )
    drawn = grammar.draw("<turn> {state} [the] {name} to {level:brightness}[%]", 1_000, Random(1))
    assert len(drawn) == len(set(drawn)) == 2 * 2 * 2 * 2 * 3 * 2
    assert "switch off the fan to 20%" in drawn
    assert sorted(grammar.draw("(in {name};now)", 9, Random(1)))[0] == "in fan now"


@pytest.mark.parametrize("text", ["Olá, você está bem?", "a", "42", "Não!", "aaa"])
def test_a_hurried_line_keeps_its_letters(text: str) -> None:
    hurried = in_a_hurry(text, Random(3))
    assert hurried == hurried.lower()
    assert len(hurried) == len(text)
    assert sorted(hurried) == sorted(in_a_hurry(text, Random(4)))


def test_unrelated_questions_share_no_text_with_what_is_taught(loaded: DemoData) -> None:
    questions = data.unrelated()
    assert len(set(questions)) == len(questions) >= 40
    assert not set(questions) & {pair.text for pair in loaded.stream}
