"""How well questions are answered: taught and asked in memory, by the code that the workers run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hurnet.core.paper.lp import EUCLIDEAN
from hurnet.core.rule.rule import Ranking, ranked
from hurnet.core.solve.solve import solve
from hurnet.core.solve.weights import NO_FEATURES, gate
from hurnet.core.statistics.statistics import Statistics
from hurnet.core.stored.batch import Batch, Entry
from hurnet.ports import Embedder, PublishedWeights
from hurnet.responder.loaded_contexts import LoadedContexts
from hurnet.settings.settings import SolveSettings
from hurnet.solver.learning import pairs
from hurnet_schemas import TextEvent

PARTS = ("memory", "weights", "local", "words")
CONTEXT = "default"
TAUGHT_AT_ONCE = 256
ASKED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, what it should have been answered with, and how the context ranks its answers."""

    text: str
    expected: str
    ranking: Ranking

    def right(self, part: str = "combined") -> bool:
        """Whether the best candidate, by the rule or by one part alone, is the expected answer."""
        best = self.ranking.by(part)
        return best is not None and best.answer == self.expected

    def score(self) -> float:
        """The best candidate's combined score; 0 where there is none."""
        return self.ranking.best.combined if self.ranking.best else 0.0

    def reciprocal_rank(self) -> float:
        """1 over the place of the expected answer among the candidates; 0 where it is none."""
        answers = [candidate.answer for candidate in self.ranking.candidates]
        return 1 / (answers.index(self.expected) + 1) if self.expected in answers else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares (0 to 1) over some questions. `accuracy` counts the top answer, abstained or not; `coverage` is
    the share at or above the threshold, and `accuracy_covered` the accuracy among those, if there are any.
    """

    queries: int
    accuracy: float
    parts: Mapping[str, float]
    mrr: float
    coverage: float
    accuracy_covered: float | None


def figures(asked: Sequence[Asked], threshold: float) -> Figures:
    """The figures of some questions."""
    covered = [question for question in asked if question.score() >= threshold]
    return Figures(
        queries=len(asked),
        accuracy=_share(question.right() for question in asked),
        parts={part: _share(question.right(part) for question in asked) for part in PARTS},
        mrr=float(np.mean([question.reciprocal_rank() for question in asked])) if asked else 0.0,
        coverage=_share(question.score() >= threshold for question in asked),
        accuracy_covered=_share(question.right() for question in covered) if covered else None,
    )


class Evaluation:
    """One context in memory. Teach, solve, ask. Nothing ages here: questions and pairs have no time."""

    def __init__(
        self,
        embedder: Embedder,
        settings: SolveSettings,
        p: float = EUCLIDEAN,
        features: str = NO_FEATURES,
    ) -> None:
        self._embedder = embedder
        self._settings = settings
        dimension = embedder.identity.dimension
        self._memory = LoadedContexts(dimension, features, p=p)
        self._statistics = Statistics(self._memory.features.size, settings.device)
        self._offset = 0
        self.put_aside: list[TextEvent] = []
        """What was not taught because it embeds to zero, as ingest would put it aside."""

    @property
    def rows(self) -> int:
        """Entries taught."""
        return sum(self._memory.rows().values())

    def teach(self, events: Sequence[TextEvent]) -> None:
        """Add entries to the context and pairs to the statistics."""
        vectors = self._embedder.embed([event.text for event in events])
        known = [row for row in range(len(events)) if vectors[row].any()]
        self.put_aside += [event for row, event in enumerate(events) if not vectors[row].any()]
        entries = [self._entry(events[row]) for row in known]
        if not entries:
            return
        batch = Batch(0, self._offset - 1, entries, vectors[known])
        self._memory.append(batch)
        for mine, answers, weights in pairs([batch]).values():
            self._statistics.add(self._memory.features(mine), answers, weights)

    def solve(self) -> list[str]:
        """Weights from all pairs so far; returns why they are not used, which is empty where they are."""
        if not self._statistics.count:
            return ["no pairs: no text has an answer other than itself"]
        s = self._settings
        weights = solve(self._statistics, s.ridge, s.device)
        if reasons := gate(weights):
            return reasons
        features = self._memory.features.identity
        weights = replace(weights, certificate=replace(weights.certificate, features=features))
        published = PublishedWeights(CONTEXT, 1, weights, {0: self._offset - 1}, published_ms=0)
        self._memory.use(CONTEXT, published)
        return []

    def ask(self, questions: Sequence[TextEvent]) -> list[Asked]:
        """Rank the answers to each question (its `answer` is the expected one)."""
        texts = [question.text for question in questions]
        context = self._memory.context(CONTEXT)
        rankings = ranked(texts, context.nearest(self._embedder.embed(texts)), context.index)
        return [
            Asked(question.text, question.answer or question.text, ranking)
            for question, ranking in zip(questions, rankings, strict=True)
        ]

    def time(self, questions: Sequence[TextEvent]) -> list[float]:
        """Seconds for each question asked alone, embedding included."""
        seconds = []
        for question in questions:
            started = time.perf_counter()
            self.ask([question])
            seconds.append(time.perf_counter() - started)
        return seconds

    def _entry(self, event: TextEvent) -> Entry:
        weight = event.weight or 1
        entry = Entry(self._offset, 0, CONTEXT, event.text, event.answer, event.metadata, weight)
        self._offset += 1
        return entry


def in_blocks(events: Sequence[TextEvent], size: int) -> Iterable[Sequence[TextEvent]]:
    """Consecutive blocks of at most `size`."""
    return (events[first : first + size] for first in range(0, len(events), size))


def _share(truths: Iterable[bool]) -> float:
    counted = list(truths)
    return sum(counted) / len(counted) if counted else 0.0
