"""How well questions are answered: texts are taught and questions asked in memory, by the workers' own code.

    texts ── teach ──▶ a context in memory, statistics ── solve ──▶ weights
    questions ── ask ──▶ rankings ── figures ──▶ accuracy, mean reciprocal rank, coverage

No server takes part, and nothing is stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hurnet_schemas import TextEvent
from hurnet_stream.core.paper.gcv import solve_with
from hurnet_stream.core.paper.lp import EUCLIDEAN
from hurnet_stream.core.rule.confidence import Calibration
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.rule.mix import Mix
from hurnet_stream.core.rule.rehearsal import Rehearsal
from hurnet_stream.core.rule.rule import PARTS, Ranking
from hurnet_stream.core.solve.weights import NO_FEATURES, gate
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.ports import Embedder, PublishedWeights
from hurnet_stream.responder.deciding import decide
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.settings.settings import ResponderSettings, SolveSettings
from hurnet_stream.solver.learning import pairs

SCORES = PARTS
"""What speaks for an answer, each by itself; the rule combines them."""
CONTEXT = "default"
TAUGHT_AT_ONCE = 256
ASKED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, its expected answer, and how the context ranks the answers that it found."""

    text: str
    expected: str
    ranking: Ranking

    def right(self, score: str = "combined") -> bool:
        """Whether the best answer, by the rule or by one of the `SCORES` alone, is the expected one."""
        best = self.ranking.by(score)
        return best is not None and best.answer == self.expected

    def score(self) -> float:
        """The combined score of the best answer; 0 if there is no answer."""
        return self.ranking.best.combined if self.ranking.best else 0.0

    def reciprocal_rank(self) -> float:
        """1 over the rank of the expected answer in the ranking (1, 1/2, 1/3, ...); 0 if it is not in it."""
        answers = [candidate.answer for candidate in self.ranking.candidates]
        return 1 / (answers.index(self.expected) + 1) if self.expected in answers else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures over some questions; all but `queries` are shares, 0 to 1.

    `accuracy` counts the best answers that are right, also those that would not be given. `parts` are
    accuracies by one score alone. `mrr` is the mean reciprocal rank. `coverage` is the share of questions
    that a responder would answer, and `accuracy_covered` the accuracy among these, if there are any.
    """

    queries: int
    accuracy: float
    parts: Mapping[str, float]
    mrr: float
    coverage: float
    accuracy_covered: float | None


def is_answered(question: Asked, settings: ResponderSettings, calibration: Calibration | None) -> bool:
    """Whether a responder with these settings would answer the question, given what a rehearsal has shown."""
    ranking = question.ranking
    return ranking.best is not None and decide(ranking, settings, calibration).why_not is None


def figures(
    asked: Sequence[Asked], settings: ResponderSettings, calibration: Calibration | None = None
) -> Figures:
    """The figures of some questions; those that a responder would answer are covered."""
    covered = [question for question in asked if is_answered(question, settings, calibration)]
    return Figures(
        queries=len(asked),
        accuracy=_share(question.right() for question in asked),
        parts={score: _share(question.right(score) for question in asked) for score in SCORES},
        mrr=float(np.mean([question.reciprocal_rank() for question in asked])) if asked else 0.0,
        coverage=len(covered) / len(asked) if asked else 0.0,
        accuracy_covered=_share(question.right() for question in covered) if covered else None,
    )


class Evaluation:
    """One context in memory: teach, solve, ask. Nothing ages, because questions and pairs have no time
    here."""

    def __init__(
        self,
        embedder: Embedder,
        settings: SolveSettings,
        p: float = EUCLIDEAN,
        features: str = NO_FEATURES,
    ) -> None:
        self._embedder = embedder
        self._settings = settings
        identity = embedder.identity
        self._memory = LoadedContexts(halves(identity.name, identity.dimension), features, p=p)
        self._statistics = Statistics(self._memory.features.size, settings.device)
        self._offset = 0
        self.put_aside: list[TextEvent] = []
        """Texts that embed to zero. They are not taught: ingest would put them aside, too."""

    @property
    def rows(self) -> int:
        """How many entries were taught."""
        return sum(self._memory.rows().values())

    @property
    def memory(self) -> LoadedContexts:
        """What a responder would hold of what was taught."""
        return self._memory

    def teach(self, events: Sequence[TextEvent]) -> None:
        """Add entries to the context, and pairs to the statistics."""
        vectors = self._embedder.embed([event.text for event in events])  # (len(events), dimension) int16
        known = [row for row in range(len(events)) if vectors[row].any()]
        self.put_aside += [event for row, event in enumerate(events) if not vectors[row].any()]
        entries = [self._entry(events[row]) for row in known]
        if not entries:
            return
        batch = Batch(0, self._offset - 1, entries, vectors[known])
        self._memory.append(batch)
        for rows, answers, copies in pairs([batch]).values():
            self._statistics.add(self._memory.features(rows), answers, copies)

    def solve(self) -> list[str]:
        """Solve for weights from all pairs so far. Returns why they are not used; empty if they are."""
        if not self._statistics.count:
            return ["no pairs: no text has an answer other than itself"]
        weights = solve_with(self._statistics, self._settings.ridge, self._settings.device)
        if reasons := gate(weights):
            return reasons
        features = self._memory.features.identity
        weights = replace(weights, certificate=replace(weights.certificate, features=features))
        published = PublishedWeights(CONTEXT, 1, weights, {0: self._offset - 1}, published_ms=0)
        self._memory.use(CONTEXT, published)
        return []

    def rehearse(self) -> Mix:
        """Learn from the pairs how much each part counts, as a responder does between questions."""
        context = self._memory.context(CONTEXT)
        rehearsal = Rehearsal(context.index, context.halves)
        while rehearsal.step(context.index, context.nearest):
            pass
        self._memory.use_mix(CONTEXT, rehearsal.mix)
        return self.mix

    @property
    def mix(self) -> Mix:
        """How much each part counts: the prior until pairs were rehearsed."""
        return self._memory.mix(CONTEXT)

    @property
    def calibration(self) -> Calibration | None:
        """What a rehearsal has shown of probabilities. None if too little was taught for one."""
        return self.mix.calibration

    def ask(self, questions: Sequence[TextEvent]) -> list[Asked]:
        """Rank the answers to each question. The `answer` of a question is the expected one."""
        texts = [question.text for question in questions]
        context = self._memory.context(CONTEXT)
        vectors = self._embedder.embed_questions(texts)  # (len(questions), dimension) int16
        rankings = context.ranked(texts, context.nearest(vectors))
        return [
            Asked(question.text, question.answer or question.text, ranking)
            for question, ranking in zip(questions, rankings, strict=True)
        ]

    def time(self, questions: Sequence[TextEvent]) -> list[float]:
        """How many seconds each question takes if it is asked alone, embedding included."""
        seconds = []
        for question in questions:
            started = time.perf_counter()
            self.ask([question])
            seconds.append(time.perf_counter() - started)
        return seconds

    def _entry(self, event: TextEvent) -> Entry:
        copies = (event.weight or 1) * (-1 if event.refutes else 1)
        entry = Entry(self._offset, 0, CONTEXT, event.text, event.answer, event.metadata, copies)
        self._offset += 1
        return entry


def in_blocks(events: Sequence[TextEvent], size: int) -> Iterable[Sequence[TextEvent]]:
    """Consecutive blocks of at most `size` events."""
    return (events[first : first + size] for first in range(0, len(events), size))


def _share(truths: Iterable[bool]) -> float:
    counted = list(truths)
    return sum(counted) / len(counted) if counted else 0.0
