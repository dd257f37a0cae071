"""Scene: how many answers are right, how many unrelated questions get none, and how long an answer takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from rich.console import RenderableType

from hurnet_schemas import Answer
from hurnet_stream.demo.data import Pair, unrelated
from hurnet_stream.demo.stage import HOME, SUPPORT, Stage
from hurnet_stream.terminal.screen import table

ALL_CANDIDATES = 100
TIMED, RATE = 60, 20.0
"""While the time of an answer is measured: how many questions, and how many a second."""
SETS = {
    "home en": "smart home, English",
    "home pt-BR": "smart home, Portuguese",
    "chat en": "small talk, English",
    "chat pt": "small talk, Portuguese",
    "support": "bike rental's support",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what was answered."""

    pair: Pair
    answer: Answer

    @property
    def right(self) -> bool:
        return self.answer.answer == self.pair.answer

    @property
    def best_is_right(self) -> bool:
        """Whether the best candidate is right, given or not."""
        return bool(self.answer.candidates) and self.answer.candidates[0].answer == self.pair.answer

    @property
    def nearest_is_right(self) -> bool:
        """Whether the answer of the most similar text is right: what plain similarity search gives."""
        nearest = max(self.answer.candidates, key=lambda candidate: candidate.scores.memory, default=None)
        return nearest is not None and nearest.answer == self.pair.answer


def play(stage: Stage) -> None:
    teller = stage.teller
    teller.scene("How good are the answers?")
    asked = [each for origin in SETS for each in _ask(stage, origin)]
    teller.say(
        f"{len(asked)} questions that nobody has taught: commands for the home in phrasings it never saw,"
        " small talk typed in a hurry, and what people who never read an FAQ ask the support."
    )
    teller.show(results(asked))
    teller.say(
        "none: it was not sure enough, and gave three to choose from. best: right, had it always given its"
        " best one. plain search: right, had always the most similar text decided."
    )
    teller.line()
    _ask_unrelated(stage)
    median_ms, slowest_ms = _timed(stage, [each.pair for each in asked][:: max(1, len(asked) // TIMED)])
    teller.say(
        "From sending a question to having read its answer, through Kafka and in a transaction: half within"
        f" {median_ms:.0f} ms, 99 % within {slowest_ms:.0f} ms, at {RATE:g} questions a second."
    )


def _ask(stage: Stage, origin: str) -> list[Asked]:
    pairs = [pair for pair in stage.data.questions if pair.origin == origin]
    answers = stage.ask_all([pair.text for pair in pairs], pairs[0].context, ALL_CANDIDATES)
    return [Asked(*both) for both in zip(pairs, answers, strict=True)]


def results(asked: Sequence[Asked]) -> RenderableType:
    """A table of counts by set."""
    rows = [(name, [each for each in asked if each.pair.origin == origin]) for origin, name in SETS.items()]
    return table(
        ("   questions", ">asked", ">right", ">wrong", ">none", ">best", ">plain search"),
        (("   " + name, *counts(items)) for name, items in [*rows, ("all", list(asked))]),
    )


def counts(asked: Sequence[Asked]) -> tuple[int, ...]:
    """How many were asked, right, wrong and not answered; then how many the best candidate, and the most
    similar text alone, would have answered right."""
    right = sum(each.right for each in asked)
    silent = sum(each.answer.answer is None for each in asked)
    best = sum(each.best_is_right for each in asked)
    plain = sum(each.nearest_is_right for each in asked)
    return len(asked), right, len(asked) - right - silent, silent, best, plain


def _ask_unrelated(stage: Stage) -> None:
    questions = unrelated()
    answers = [answer for context in (SUPPORT, HOME) for answer in stage.ask_all(questions, context)]
    silent = sum(answer.answer is None for answer in answers)
    stage.teller.say(
        f"{len(questions)} unrelated questions, such as “{questions[0]}”, were put to the support and to the"
        f" home. Of these {len(answers)}, {silent} were rightly not answered; {len(answers) - silent} got an"
        " answer."
    )


def _timed(stage: Stage, pairs: Sequence[Pair]) -> tuple[float, float]:
    """Milliseconds: the median, and what 99 of 100 stay below."""
    took: list[float] = []
    for pair in pairs:
        began = time.monotonic()
        stage.ask(pair.text, pair.context)
        took.append(time.monotonic() - began)
        time.sleep(max(0.0, 1 / RATE - took[-1]))
    cuts = quantiles((1000 * seconds for seconds in took), n=100, method="inclusive")
    return cuts[49], cuts[98]
