"""From queries to answers: embed, rank (the rule of core/answering.py), judge, and write the receipt."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from schemas import Answer, Candidate, Coordinates, Query, Receipt, Scores, WeightsReceipt
from workers.context_memory import ContextMemory
from workers.core import answering
from workers.core.answering import Ranking, Scoring, rank
from workers.core.features import NONE
from workers.core.geometry import EUCLIDEAN
from workers.pending import Pending
from workers.ports import Embedder, PublishedWeights
from workers.settings import ResponderSettings


class Replies:
    """Answers micro-batches of queries out of a `ContextMemory`. No I/O."""

    def __init__(self, memory: ContextMemory, embedder: Embedder, settings: ResponderSettings) -> None:
        self._memory = memory
        self._embedder = embedder
        self._settings = settings

    def answer(self, batch: Sequence[Pending]) -> list[Answer]:
        """One answer each, in order."""
        answers = [self._not_scored(pending) for pending in batch]
        contexts: dict[str, list[int]] = {}
        for i, pending in enumerate(batch):
            if answers[i] is None and pending.query:
                contexts.setdefault(pending.query.context, []).append(i)
        for context, mine in contexts.items():
            scored = self._score(context, [batch[i] for i in mine])
            for i, answer in zip(mine, scored, strict=True):
                answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def _not_scored(self, pending: Pending) -> Answer | None:
        """The answer to a query that was rejected, or that waited in vain."""
        if pending.rejection:
            return Answer(id=pending.id, outcome="rejected", reason=": ".join(pending.rejection))
        lacking = pending.lacking(self._memory.watermarks())
        if not lacking:
            return None
        seen = self._memory.watermarks()
        waited = ", ".join(
            f"partition {p} has reached {seen.get(p)}, not {o}" for p, o in sorted(lacking.items())
        )
        reason = f"the context has not reached min_watermarks in time: {waited}"
        return Answer(id=pending.id, outcome="timed-out", reason=reason)

    def _score(self, context: str, batch: Sequence[Pending]) -> list[Answer]:
        """Rank the queries of one context together."""
        queries = [pending.query for pending in batch if pending.query]
        weights = self._memory.weights(context)
        vectors = self._embedder.embed([query.text for query in queries])
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
            self._judge(pending, query, ranking, bool(embeds), weights)
            for pending, query, ranking, embeds in zip(batch, queries, rankings, known, strict=True)
        ]

    def _judge(
        self, pending: Pending, query: Query, ranking: Ranking, embeds: bool, weights: PublishedWeights | None
    ) -> Answer:
        """Answer, or abstain with the reason."""
        reason = self._why_not(query, ranking, embeds)
        best = ranking.best
        return Answer(
            id=pending.id,
            outcome="abstained" if reason else "answered",
            answer=best.answer if best and not reason else None,
            reason=reason,
            candidates=[self._candidate(query.context, found) for found in ranking.candidates[: query.top_k]],
            receipt=self._receipt(pending, query, ranking, weights),
        )

    def _why_not(self, query: Query, ranking: Ranking, embeds: bool) -> str | None:
        if not embeds:
            return "the text has nothing the embedder knows"
        if ranking.best is None:
            return f"empty context {query.context!r}"
        if ranking.best.combined < self._settings.threshold:
            return f"best was {ranking.best.combined:.2f}, below the threshold {self._settings.threshold:g}"
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
        condition_number=certificate.condition,
        residual=certificate.residual,
        features=None if certificate.features == NONE else certificate.features,
        pane=certificate.pane if certificate.half_life else None,
    )
