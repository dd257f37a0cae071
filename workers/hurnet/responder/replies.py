"""From queries to answers: embed, rank (by core/rule/rule.py) and judge, within the bounds of a turn.

A question that can't be embedded or scored costs itself a rejection and the others of its batch nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import structlog

from hurnet.core.rule.rule import ranked
from hurnet.core.stored.batch import Vectors
from hurnet.embedding import Rejection, embed
from hurnet.errors import HurnetError
from hurnet.ports import Embedder
from hurnet.responder.judging import Judge
from hurnet.responder.loaded_contexts import LoadedContext, LoadedContexts
from hurnet.responder.pending import Pending
from hurnet.settings.settings import ResponderSettings
from hurnet_schemas import Answer

log = structlog.get_logger()

TURN_BYTES = 8 << 20
"""Of the answers made in one turn, and so in one transaction; the last one may go beyond it."""

PART_LETTERS = 32_768
PART_QUERIES = 64
PART_S = 1.0
"""Queries are embedded and searched for together, which can't be stopped half-way: so many letters of them at
most, one that is longer alone, and so many queries, or as few as are answered within that time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A query, its answer, and that as it is sent. A query that can't be scored is rejected only here."""

    pending: Pending
    answer: Answer
    value: bytes

    @classmethod
    def of(cls, pending: Pending, answer: Answer) -> Reply:
        return cls(pending, answer, answer.encode())


class Replies:
    """Answers micro-batches of queries out of a `LoadedContexts`. No I/O."""

    def __init__(self, memory: LoadedContexts, embedder: Embedder, settings: ResponderSettings) -> None:
        self._memory = memory
        self._embedder = embedder
        self._most = PART_QUERIES
        self._judge = Judge(embedder.identity, settings)

    def answer(self, batch: Sequence[Pending], until: float = math.inf) -> list[Reply]:
        """One each, in order, of the first queries: of at least one, and then of as many as there is time for
        until `until` (monotonic seconds) and room for in `TURN_BYTES`."""
        replies: list[Reply] = []
        size = 0
        while len(replies) < len(batch):
            part = _part(batch[len(replies) : len(replies) + self._most])
            began = time.monotonic()
            some = self._answer_part(part, until)
            self._learn((time.monotonic() - began) / len(some))
            replies += some
            size += sum(len(reply.value) for reply in some)
            if len(some) < len(part) or size > TURN_BYTES or time.monotonic() > until:
                break
        return replies

    def _learn(self, seconds: float) -> None:
        """To answer a query took so long: what is slower than thought counts at once, what is faster by and
        by."""
        fitting = int(PART_S / max(seconds, PART_S / PART_QUERIES))
        self._most = max(1, min(fitting, 2 * self._most))

    def _answer_part(self, batch: Sequence[Pending], until: float) -> list[Reply]:
        """Those before the first that there was no time for."""
        replies: dict[int, Reply] = {}
        by_context: dict[str, list[int]] = {}
        for i, pending in enumerate(batch):
            if answer := self._not_scored(pending):
                replies[i] = Reply.of(pending, answer)
            elif pending.query:
                by_context.setdefault(pending.query.context, []).append(i)
        for name, places in by_context.items():
            if 0 in replies and time.monotonic() > until:
                break
            context = self._memory.context(name)  # looked up once for all its queries
            replies |= zip(
                places, self._each_scored(context, [batch[i] for i in places], until), strict=False
            )
        return [replies[i] for i in takewhile(replies.__contains__, range(len(batch)))]

    def _each_scored(self, context: LoadedContext, batch: Sequence[Pending], until: float) -> list[Reply]:
        """Together; one at a time where that fails, so that one poisoned question stops nothing."""
        vectors, failures = embed(self._embedder, [p.query.text for p in batch if p.query])
        sound = [i for i in range(len(batch)) if i not in failures]
        scored = self._guarded(context, [batch[i] for i in sound], vectors[sound], until)
        replies = dict(zip(sound, scored, strict=False)) | {
            i: _rejected(batch[i], why) for i, why in failures.items()
        }
        return [replies[i] for i in takewhile(replies.__contains__, range(len(batch)))]

    def _guarded(
        self, context: LoadedContext, batch: Sequence[Pending], vectors: Vectors, until: float
    ) -> list[Reply]:
        try:
            return self._score(context, batch, vectors, until)
        except HurnetError:
            raise
        except Exception as error:
            log.exception("scoring failed", queries=len(batch), private=True)
            if len(batch) == 1:
                return [_rejected(batch[0], ("scoring-failed", f"{type(error).__name__}: {error}"))]
        replies: list[Reply] = []
        for i, pending in enumerate(batch):
            if replies and time.monotonic() > until:
                break
            replies += self._guarded(context, [pending], vectors[i : i + 1], until)
        return replies

    def _not_scored(self, pending: Pending) -> Answer | None:
        """The answer to a query that was rejected, or that waited in vain."""
        if pending.rejection:
            return rejection(pending)
        if pending.in_vain:
            return Answer(id=pending.id, outcome="timed-out", reason=pending.in_vain)
        lacking = pending.watermarks_not_reached(self._memory.watermarks())
        if not lacking:
            return None
        seen = self._memory.watermarks()
        waited = ", ".join(
            f"partition {p} has reached {seen.get(p, 'nothing')}, not {o}" for p, o in sorted(lacking.items())
        )
        reason = f"the context has not reached min_watermarks in time: {waited}"
        return Answer(id=pending.id, outcome="timed-out", reason=reason)

    def _score(
        self, context: LoadedContext, batch: Sequence[Pending], vectors: Vectors, until: float
    ) -> list[Reply]:
        """Rank the queries of one context together: the first of them, and more while there is time."""
        if not batch:
            return []
        queries = [pending.query for pending in batch if pending.query]
        own = [(q.exclude.partition, q.exclude.offset) if q.exclude else None for q in queries]
        # The search is made for all of them together, the words are compared query by query.
        found = context.nearest(vectors, own)
        rankings = ranked([query.text for query in queries], found, context.index)
        known = np.any(vectors, axis=1)
        replies: list[Reply] = []
        size = 0
        for pending, query, ranking, embeds in zip(batch, queries, rankings, known, strict=True):
            answer = self._judge.answer(pending, query, ranking, bool(embeds), context)
            replies.append(Reply.of(pending, answer))
            size += len(replies[-1].value)
            if time.monotonic() > until or size > TURN_BYTES:
                break
        return replies


def rejection(pending: Pending) -> Answer:
    """The answer to a rejected query."""
    return Answer(id=pending.id, outcome="rejected", reason=": ".join(pending.rejection or ()))


def _rejected(pending: Pending, why: Rejection) -> Reply:
    rejected = pending.rejected(*why)
    return Reply.of(rejected, rejection(rejected))


def _part(batch: Sequence[Pending]) -> Sequence[Pending]:
    """The first query, and those after it that together stay within `PART_LETTERS`."""
    letters = 0
    for i, pending in enumerate(batch):
        letters += len(pending.query.text) if pending.query else 0
        if i and letters > PART_LETTERS:
            return batch[:i]
    return batch
