"""From queries to answers: embed, rank (the rule of core/answering.py), judge, and write the receipt."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from schemas import Answer, Candidate, Coordinates, Query, Receipt, Scores, WeightsReceipt
from schemas.answer import MAX_ANSWER_BYTES
from schemas.dead_letter import Reason
from workers.context_memory import ContextMemory
from workers.core import answering
from workers.core.answering import Ranking, Scoring, rank
from workers.core.context import Vectors
from workers.core.features import NONE
from workers.core.geometry import EUCLIDEAN
from workers.errors import HurnetError
from workers.pending import Pending
from workers.ports import Embedder, PublishedWeights
from workers.settings import ResponderSettings
from workers.texts import embed_each
from workers.visible import below

log = structlog.get_logger()

_COUNT_BYTES = 64
"""For the fields that are there only once candidates are."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A query and its answer. A query that can't be scored is rejected only here."""

    pending: Pending
    answer: Answer


class Replies:
    """Answers micro-batches of queries out of a `ContextMemory`. No I/O."""

    def __init__(self, memory: ContextMemory, embedder: Embedder, settings: ResponderSettings) -> None:
        self._memory = memory
        self._embedder = embedder
        self._settings = settings

    def answer(self, batch: Sequence[Pending]) -> list[Reply]:
        """One each, in order."""
        replies: dict[int, Reply] = {}
        contexts: dict[str, list[int]] = {}
        for i, pending in enumerate(batch):
            if answer := self._not_scored(pending):
                replies[i] = Reply(pending, answer)
            elif pending.query:
                contexts.setdefault(pending.query.context, []).append(i)
        for context, mine in contexts.items():
            replies |= zip(mine, self._each_scored(context, [batch[i] for i in mine]), strict=True)
        return [replies[i] for i in range(len(batch))]

    def _each_scored(self, context: str, batch: Sequence[Pending]) -> list[Reply]:
        """Together; one at a time where that fails, so that one poisoned question stops nothing."""
        vectors, failures = embed_each(self._embedder, [p.query.text for p in batch if p.query])
        sound = [i for i in range(len(batch)) if i not in failures]
        scored = dict(
            zip(sound, self._guarded(context, [batch[i] for i in sound], vectors[sound]), strict=True)
        )
        return [scored[i] if i in scored else _rejected(batch[i], failures[i]) for i in range(len(batch))]

    def _guarded(self, context: str, batch: Sequence[Pending], vectors: Vectors) -> list[Reply]:
        try:
            return self._score(context, batch, vectors)
        except HurnetError:
            raise
        except Exception as error:
            log.exception("scoring failed", queries=len(batch))
            if len(batch) == 1:
                return [_rejected(batch[0], ("scoring-failed", f"{type(error).__name__}: {error}"))]
        return [
            reply
            for i, pending in enumerate(batch)
            for reply in self._guarded(context, [pending], vectors[i : i + 1])
        ]

    def _not_scored(self, pending: Pending) -> Answer | None:
        """The answer to a query that was rejected, or that waited in vain."""
        if pending.rejection:
            return rejection(pending)
        if pending.in_vain:
            return Answer(id=pending.id, outcome="timed-out", reason=pending.in_vain)
        lacking = pending.lacking(self._memory.watermarks())
        if not lacking:
            return None
        seen = self._memory.watermarks()
        waited = ", ".join(
            f"partition {p} has reached {seen.get(p, 'nothing')}, not {o}" for p, o in sorted(lacking.items())
        )
        reason = f"the context has not reached min_watermarks in time: {waited}"
        return Answer(id=pending.id, outcome="timed-out", reason=reason)

    def _score(self, context: str, batch: Sequence[Pending], vectors: Vectors) -> list[Reply]:
        """Rank the queries of one context together."""
        if not batch:
            return []
        queries = [pending.query for pending in batch if pending.query]
        weights = self._memory.weights(context)
        rankings = rank(
            [query.text for query in queries],
            vectors,
            self._memory.index(context),
            weights.weights.projection if weights else None,
            [(q.exclude.partition, q.exclude.offset) if q.exclude else None for q in queries],
            Scoring(
                self._memory.sums(context),
                weights.weights.intercept if weights else None,
                self._settings.p,
                self._settings.length_penalty,
            ),
        )
        known = np.any(vectors, axis=1)
        return [
            Reply(pending, self._judge(pending, query, ranking, bool(embeds), weights))
            for pending, query, ranking, embeds in zip(batch, queries, rankings, known, strict=True)
        ]

    def _judge(
        self, pending: Pending, query: Query, ranking: Ranking, embeds: bool, weights: PublishedWeights | None
    ) -> Answer:
        """Answer, or abstain with the reason."""
        reason = self._why_not(query, ranking, embeds)
        best = ranking.best
        answer = Answer(
            id=pending.id,
            outcome="abstained" if reason else "answered",
            answer=best.answer if best and not reason else None,
            reason=reason,
            receipt=self._receipt(pending, query, ranking, weights),
        )
        return self._with_candidates(answer, query, ranking)

    def _with_candidates(self, answer: Answer, query: Query, ranking: Ranking) -> Answer:
        """As many of the asked for as fit into a message, which is judged before more of them are built."""
        room = MAX_ANSWER_BYTES - _COUNT_BYTES - len(answer.encode())
        if room < 0:  # thousands of partitions, each with its watermark
            answer = answer.model_copy(update={"receipt": None})
            room = MAX_ANSWER_BYTES - _COUNT_BYTES - len(answer.encode())
        asked = ranking.candidates[: query.top_k]
        fitting: list[Candidate] = []
        for found in asked:
            candidate = self._candidate(query.context, found)
            room -= len(candidate.encode()) + 1
            if room < 0:
                break
            fitting.append(candidate)
        dropped = len(asked) - len(fitting) or None
        return answer.model_copy(update={"candidates": fitting, "candidates_dropped": dropped})

    def _why_not(self, query: Query, ranking: Ranking, embeds: bool) -> str | None:
        if not embeds:
            return "the text has nothing the embedder knows"
        if ranking.best is None:
            return f"empty context {query.context!r}"
        if ranking.best.combined < self._settings.threshold:
            best = below(ranking.best.combined, self._settings.threshold)
            return f"best was {best}, below the threshold {self._settings.threshold:g}"
        return None

    def _candidate(self, context: str, found: answering.Candidate) -> Candidate:
        index = self._memory.index(context)
        entry = index.entry(found.row)
        partition, offset = index.coordinates(found.row)
        parts = found.parts
        return Candidate(
            answer=found.answer,
            scores=Scores(
                combined=found.combined,
                memory=parts.memory,
                weights=parts.weights,
                local=parts.local,
                words=parts.words,
            ),
            entry=Coordinates(partition=partition, offset=offset),
            text=entry.text,
            metadata=dict(entry.metadata),
        )

    def _receipt(
        self, pending: Pending, query: Query, ranking: Ranking, weights: PublishedWeights | None
    ) -> Receipt:
        identity = self._embedder.identity
        runner_up = ranking.runner_up
        return Receipt(
            query=pending.record.coordinates,
            context=query.context,
            rows=len(self._memory.index(query.context)),
            embedder=identity.name,
            fingerprint=identity.fingerprint,
            watermarks=dict(self._memory.watermarks()),
            weights=_weights_receipt(weights) if weights else None,
            threshold=self._settings.threshold,
            p=None if self._settings.p == EUCLIDEAN else self._settings.p,
            half_life=self._memory.half_life_ms / 1000 or None,
            margin=ranking.margin,
            runner_up=runner_up.answer if runner_up else None,
            seconds=time.monotonic() - pending.received,
        )


def _weights_receipt(published: PublishedWeights) -> WeightsReceipt:
    certificate = published.weights.certificate
    return WeightsReceipt(
        version=published.version,
        watermarks={p: w for p, w in published.watermarks.items() if w >= 0},
        count=round(certificate.count),
        ridge=certificate.ridge,
        condition_number=_finite(certificate.condition),
        residual=_finite(certificate.residual),
        features=None if certificate.features == NONE else certificate.features,
        pane=certificate.pane if certificate.half_life else None,
    )


def rejection(pending: Pending) -> Answer:
    """The answer to a rejected query."""
    return Answer(id=pending.id, outcome="rejected", reason=": ".join(pending.rejection or ()))


def _rejected(pending: Pending, why: tuple[Reason, str]) -> Reply:
    rejected = pending.rejected(*why)
    return Reply(rejected, rejection(rejected))


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None
