"""The task that all arms of `training` learn: what a sentence wants of a smart home, one of 42 intents.

Sentences are drawn from the English templates of the package `home-assistant-intents`. A fifth of each
intent's templates is held out, and what is asked is drawn from these, so no question shares a template with a
taught text.

    intent        template                           drawn
    HassTurnOn    "(turn|switch) on [the] {name}"    "switch on the desk lamp", "turn on heater", ...
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from home_assistant_intents import get_intents

from hurnet_stream.demo.data import _ENGLISH, HELD_OUT
from hurnet_stream.demo.templates import Grammar

SEED: Final = "training"
TAUGHT_PER_TEMPLATE: Final = 8
ASKED_PER_TEMPLATE: Final = 4

Templates = list[tuple[str, str]]
"""Each template with its intent."""


@dataclass(frozen=True, slots=True)
class Task:
    """Taught texts with their answers, and held-out texts with those that are expected. No text is there
    twice."""

    texts: Sequence[str]
    answers: Sequence[str]
    asked: Sequence[str]
    expected: Sequence[str]

    @property
    def names(self) -> list[str]:
        """All answers that are taught, sorted. An answer's place is the number of its class."""
        return sorted(set(self.answers))

    def classes(self, answers: Iterable[str]) -> list[int]:
        """The class of each answer. Raises KeyError for one that is not taught."""
        number = {name: i for i, name in enumerate(self.names)}
        return [number[answer] for answer in answers]


def intents() -> Task:
    """The task, the same every time."""
    known: dict[str, Any] = get_intents("en") or {}
    grammar = Grammar(known["expansion_rules"], known["lists"], _ENGLISH)
    random = Random(SEED)
    taught_templates, asked_templates = split(_templates(known["intents"]), random)
    taught = _drawn(grammar, taught_templates, TAUGHT_PER_TEMPLATE, random)
    drawn = _drawn(grammar, asked_templates, ASKED_PER_TEMPLATE, random)
    asked = {text: intent for text, intent in drawn.items() if text not in taught}
    return Task(list(taught), list(taught.values()), list(asked), list(asked.values()))


def split(templates: Mapping[str, Sequence[str]], random: Random) -> tuple[Templates, Templates]:
    """Of the templates of each intent, those that are taught and those that are asked.

    Intents may share a template. It is asked only if none of them teaches it.
    """
    taught: Templates = []
    held_out: Templates = []
    for intent, of in templates.items():
        out = set(random.sample(of, int(len(of) * HELD_OUT)))
        taught += [(template, intent) for template in of if template not in out]
        held_out += [(template, intent) for template in of if template in out]
    known = {template for template, _ in taught}
    return taught, [(template, intent) for template, intent in held_out if template not in known]


def _templates(intents_known: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each intent's templates, without repetitions."""
    return {
        intent: list(dict.fromkeys(template for block in blocks["data"] for template in block["sentences"]))
        for intent, blocks in intents_known.items()
    }


def _drawn(grammar: Grammar, templates: Templates, count: int, random: Random) -> dict[str, str]:
    """Sentences in lower case with their intents, at most `count` of a template. A sentence of several
    intents belongs to the first."""
    drawn: dict[str, str] = {}
    for template, intent in templates:
        for text in grammar.draw(template, count, random):
            drawn.setdefault(text.lower(), intent)
    return drawn
