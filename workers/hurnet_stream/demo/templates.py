"""Sentences drawn from templates such as "(turn|switch) on [the] {name}", in the language of hassil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from hassil import parse_sentence
from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    TextChunk,
)


class Grammar:
    """The rules and the slot values of one language.

    `lists` are Home Assistant's own: values, or a range of numbers. `fillers` are what a home adds to them:
    its rooms, its devices, what is on its shopping list.
    """

    def __init__(
        self, rules: Mapping[str, str], lists: Mapping[str, Any], fillers: Mapping[str, Sequence[str]]
    ) -> None:
        self._rules = {name: parse_sentence(rule).expression for name, rule in rules.items()}
        self._lists = lists
        self._fillers = fillers
        self._values: dict[str, list[Expression]] = {}

    def draw(self, template: str, count: int, random: Random) -> list[str]:
        """At most `count` different sentences of `template`."""
        expression = parse_sentence(template).expression
        drawn = (" ".join(self._sentence(expression, random).split()) for _ in range(4 * count))
        return list(dict.fromkeys(sentence for sentence in drawn if sentence))[:count]

    def _sentence(self, expression: Expression, random: Random) -> str:
        match expression:
            case TextChunk():
                return expression.original_text
            case ListReference():
                return self._slot(expression.list_name, random)
            case RuleReference():
                return self._sentence(self._rules[expression.rule_name], random)
            case Alternative():
                return self._sentence(random.choice(expression.items), random)
            case Permutation():
                items = random.sample(expression.items, len(expression.items))
                return " ".join(self._sentence(item, random) for item in items)
            case Group():
                return "".join(self._sentence(item, random) for item in expression.items)
        raise ValueError(f"unknown kind of expression in a template: {type(expression).__name__}")

    def _slot(self, name: str, random: Random) -> str:
        if name in self._fillers:
            return random.choice(self._fillers[name])
        known = self._lists[name]
        if "range" in known:
            numbers = known["range"]
            return str(random.randrange(numbers["from"], numbers["to"] + 1, numbers.get("step", 1)))
        if name not in self._values:
            texts = [value if isinstance(value, str) else value["in"] for value in known["values"]]
            self._values[name] = [parse_sentence(text).expression for text in texts]
        return self._sentence(random.choice(self._values[name]), random)
