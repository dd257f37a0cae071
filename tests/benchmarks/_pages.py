"""Long pages, and questions that are sentences held out of them: from texts that come inside installed
packages, so that nothing is fetched and nothing is kept in the repository.

    page "pydantic"                                        question
    ... Models are classes. They validate what they are    They validate what they are given.
    given. A failure names the field. ...                  its page: "pydantic"; its place: "Models are
    classes."

The pages are the topics of Python's own help and the long descriptions of packages. A question is the middle
of three sentences of a paragraph and is taken out of its page. What stands before it there says later whether
the right place was found.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pydoc_data.topics import topics
from typing import Final

LETTERS_LEAST: Final = 6_000
LETTERS_MOST: Final = 60_000
"""Of a page; a longer one ends there."""
PER_PAGE: Final = 6
"""Questions of a page at most."""
_SENTENCES: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORDS_LEAST: Final = 8


@dataclass(frozen=True, slots=True)
class Question:
    """A sentence that was taken out of a page, and what stands before it there."""

    text: str
    page: str
    place: str


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages by name, without the questions."""

    texts: Mapping[str, str]
    questions: list[Question]


def pages(seed: int = 0) -> Pages:
    """All pages that are installed."""
    chosen, texts, questions = random.Random(seed), {}, []
    for name, text in sorted(_installed()):
        if len(text) >= LETTERS_LEAST:
            rest, held_out = _held_out(name, text[:LETTERS_MOST], chosen)
            texts[name] = rest
            questions += held_out
    return Pages(texts, questions)


def _installed() -> Iterator[tuple[str, str]]:
    for name, text in topics.items():
        yield f"help on {name}", text
    described: dict[str, str] = {}
    for package in distributions():
        _, _, text = (package.read_text("METADATA") or "").partition("\n\n")
        described[str(package.name).lower()] = text
    yield from described.items()


def _held_out(name: str, text: str, chosen: random.Random) -> tuple[str, list[Question]]:
    paragraphs = re.split(r"\n\s*\n", text)
    places = [row for row, paragraph in enumerate(paragraphs) if _middles(paragraph)]
    questions = []
    for row in chosen.sample(places, min(PER_PAGE, len(places))):
        before, asked = chosen.choice(_middles(paragraphs[row]))
        paragraphs[row] = paragraphs[row].replace(asked, "", 1)
        questions.append(Question(" ".join(asked.split()), name, before))
    return "\n\n".join(paragraphs), questions


def _middles(paragraph: str) -> list[tuple[str, str]]:
    """Sentences with one on each side, each with the one before it. Tables, code and lists have none."""
    sentences = _SENTENCES.split(paragraph.strip())
    return [
        (before, asked)
        for before, asked, _ in zip(sentences, sentences[1:], sentences[2:], strict=False)
        if len(asked.split()) >= _WORDS_LEAST and len(before.split()) >= _WORDS_LEAST and "|" not in asked
    ]
