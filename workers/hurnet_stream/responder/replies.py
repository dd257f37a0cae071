"""From queries to answers: embed, search, rank (core/rule/rule.py) and judge (judging.py), within the bounds
of a turn.

    batch of a turn  ->  portions that are embedded and searched together  ->  by context  ->  query by query

Embedding and searching go faster for many queries at once, but can't be stopped in the middle. So a batch is
answered in portions that take a second at most, and between queries the clock is looked at. A query that
can't be embedded or scored is rejected, and the others of its portion are answered: they are tried again one
by one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import structlog

from hurnet_schemas import Answer, Query
from hurnet_schemas.places import ShardName
from hurnet_stream.core.index.readable import Allowed
from hurnet_stream.core.pii import redacting
from hurnet_stream.core.rule.gathering import Question
from hurnet_stream.core.shelf import DamagedShelf
from hurnet_stream.core.slices.conversation import Away, Moved
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import EntryId
from hurnet_stream.embedding import Rejection, embed_questions
from hurnet_stream.errors import HurnetError
from hurnet_stream.metrics.stages import Phases, unmeasured
from hurnet_stream.places import NotRead, Places
from hurnet_stream.ports import Embedder, TraceContext
from hurnet_stream.responder.filtering import condition_of, passing_of
from hurnet_stream.responder.judging import Judge, Ranked, rejected, timed_out
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.one_context import LoadedContext
from hurnet_stream.responder.pending import Pending
from hurnet_stream.settings.settings import ResponderSettings

log = structlog.get_logger()

TURN_BYTES = 8 << 20
"""Of all answers of one turn, and so of one transaction. The last one may go beyond it."""

PORTION_S = 1.0
"""How long a portion may take, as far as earlier ones tell."""
PORTION_QUERIES = 64
PORTION_LETTERS = 32_768
"""Of the queries of a portion. One that is longer is a portion by itself."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A query, its answer, and the answer's bytes. A query may be rejected here that was not in the batch.
    `trace` is the span that the answer comes from, or the asker's if that is not recorded here."""

    pending: Pending
    answer: Answer
    value: bytes
    trace: TraceContext | None
    best: float | None = None
    """The combined score of the best candidate, whether it is shown or not."""

    @classmethod
    def of(cls, pending: Pending, answer: Answer, best: float | None = None) -> Reply:
        return cls(pending, answer, answer.encode(), pending.trace, best)


class Replies:
    """Answers batches of queries out of a `LoadedContexts`. No I/O."""

    def __init__(
        self,
        memory: LoadedContexts,
        embedder: Embedder,
        settings: ResponderSettings,
        stage: Phases = unmeasured,
        redaction: Callable[[], str] = str,
    ) -> None:
        """`redaction` gives the rules by which the store redacts its texts, and so questions."""
        self._memory = memory
        self._redaction = redaction
        self._seen: Callable[[], Mapping[ShardName, int]] = memory.seen
        self._stage = stage
        self._embedder = embedder
        self._queries_max = PORTION_QUERIES
        self._judge = Judge(embedder.identity, settings)

    def seeing(self, seen: Callable[[], Mapping[ShardName, int]]) -> None:
        """What is in memory, by the names of shards, is asked of this: more names may stand for it than its
        own."""
        self._seen = seen

    def timed_by(self, stage: Phases) -> None:
        """From now on its phases are those of `stage`."""
        self._stage = stage

    def answer(self, batch: Sequence[Pending], until: float = math.inf) -> list[Reply]:
        """A reply to each of the first queries, in order: to at least one, and then to as many as there is
        time for until `until` (monotonic seconds), and room for in `TURN_BYTES`."""
        replies: list[Reply] = []
        size = 0
        while len(replies) < len(batch):
            portion = self._redacted(_portion(batch[len(replies) : len(replies) + self._queries_max]))
            began = time.monotonic()
            answered = self._answer_portion(portion, until)
            self._adapt((time.monotonic() - began) / len(answered))
            replies += answered
            size += sum(len(reply.value) for reply in answered)
            if len(answered) < len(portion) or size > TURN_BYTES or time.monotonic() > until:
                break
        return replies

    def _redacted(self, portion: Sequence[Pending]) -> Sequence[Pending]:
        """Nobody finds, or writes down, what the store does not have."""
        if not (rules := self._redaction()):
            return portion
        redact = redacting(rules)
        return [pending.with_question(redact) for pending in portion]

    def _adapt(self, seconds_a_query: float) -> None:
        """Size the next portion to take `PORTION_S`: smaller at once, larger by doubling."""
        fitting = int(PORTION_S / max(seconds_a_query, PORTION_S / PORTION_QUERIES))
        self._queries_max = max(1, min(fitting, 2 * self._queries_max))

    def _answer_portion(self, portion: Sequence[Pending], until: float) -> list[Reply]:
        replies: dict[int, Reply] = {}  # by index in the portion
        by_context: dict[str, list[int]] = {}
        seen = self._seen()
        for index, pending in enumerate(portion):
            if answer := _without_scores(pending, seen):
                replies[index] = Reply.of(pending, answer)
            elif pending.query:
                by_context.setdefault(pending.query.context, []).append(index)
        for name, indices in by_context.items():
            # Once the first query is answered, the time limit counts.
            if 0 in replies and time.monotonic() > until:
                break
            of_it = [portion[index] for index in indices]
            embedded = self._embedded(of_it)
            # It is looked up once for all its queries.
            scored = self._memory.using(
                name,
                partial(self._score_embedded, of_it, embedded, until),
                partial(_questions, of_it, embedded[0], self._memory.places),
            )
            replies |= zip(indices, scored, strict=False)
        return _up_to_first_gap(replies, len(portion))

    def _embedded(self, batch: Sequence[Pending]) -> tuple[Vectors, dict[int, Rejection]]:
        """The vector of each query, and which of them can't be embedded."""
        with self._stage("embed"):
            return embed_questions(self._embedder, [p.query.text for p in batch if p.query])

    def _score_embedded(
        self,
        batch: Sequence[Pending],
        embedded: tuple[Vectors, dict[int, Rejection]],
        until: float,
        context: LoadedContext,
    ) -> list[Reply]:
        vectors, failures = embedded
        within, too_costly = self._passing(batch, context, until)
        batch = batch[: len(within)]
        failures = {index: why for index, why in failures.items() if index < len(batch)}
        refused = too_costly | failures | _unnamed(batch, context.places)
        replies = {index: _rejection(batch[index], why) for index, why in refused.items()}
        indices = [index for index in range(len(batch)) if index not in refused]
        asked = [batch[index] for index in indices], vectors[indices], [within[index] for index in indices]
        replies |= zip(indices, self._score_apart(context, *asked, until), strict=False)
        return _up_to_first_gap(replies, len(batch))

    def _passing(
        self, batch: Sequence[Pending], context: LoadedContext, until: float
    ) -> tuple[list[Allowed | None], dict[int, Rejection]]:
        """The rows that pass the filter of each of the first queries that there is time for, and which of
        these are rejected for theirs."""
        queries = [pending.query for pending in batch]
        if not any(query and query.filter for query in queries):
            return [None] * len(batch), {}
        with self._stage("search"):
            return passing_of(queries, context.index, min(until, time.monotonic() + PORTION_S))

    def _score_apart(
        self,
        context: LoadedContext,
        batch: Sequence[Pending],
        vectors: Vectors,
        within: Sequence[Allowed | None],
        until: float,
    ) -> list[Reply]:
        """Score them together. If that fails, one by one, and reject the one that fails alone."""
        try:
            return self._score(context, batch, vectors, within, until)
        except (HurnetError, DamagedShelf, Moved, Away):
            raise
        except Exception as error:
            log.exception("scoring failed", queries=len(batch), private=True)
            if len(batch) == 1:
                return [_rejection(batch[0], ("scoring-failed", f"{type(error).__name__}: {error}"))]
        replies: list[Reply] = []
        for i, pending in enumerate(batch):
            if replies and time.monotonic() > until:
                break
            replies += self._score_apart(context, [pending], vectors[i : i + 1], within[i : i + 1], until)
        return replies

    def _score(
        self,
        context: LoadedContext,
        batch: Sequence[Pending],
        vectors: Vectors,
        within: Sequence[Allowed | None],
        until: float,
    ) -> list[Reply]:
        """Rank and judge: the first query, and more while there is time and room. `vectors` are (n, d), and
        `within` (n,) has the only rows that may answer each."""
        if not batch:
            return []
        queries = [pending.query for pending in batch if pending.query]
        own_entries = [context.places.entry_of(query.exclude) for query in queries]
        # The search is one for all of them. Words are compared query by query, while the loop below goes on.
        with self._stage("search"):
            nearest = context.nearest(vectors, own_entries, within if any(within) else None)
        with self._stage("rank"):
            rankings = context.ranked([query.text for query in queries], nearest)
            judged = map(Ranked, batch, queries, vectors, nearest, rankings)
            return _in_time((self._judged(asked, context) for asked in judged), until)

    def _judged(self, asked: Ranked, context: LoadedContext) -> Reply:
        best = asked.ranking.best
        return Reply.of(asked.pending, self._judge.answer(asked, context), best.combined if best else None)


def _in_time(replies: Iterator[Reply], until: float) -> list[Reply]:
    """The first reply, and more while there is time and room."""
    made: list[Reply] = []
    size = 0
    for reply in replies:
        made.append(reply)
        size += len(reply.value)
        if time.monotonic() > until or size > TURN_BYTES:
            break
    return made


def _questions(batch: Sequence[Pending], vectors: Vectors, places: Places) -> list[Question]:
    """What each query will ask. `vectors` are (n, d)."""
    return [
        Question(
            query.text,
            vector,
            _own_entry(query, places),
            condition_of(query.filter) if query.filter else None,
        )
        for pending, vector in zip(batch, vectors, strict=True)
        if (query := pending.query)
    ]


def _own_entry(query: Query, places: Places) -> EntryId | None:
    try:
        return places.entry_of(query.exclude)
    except NotRead:  # it will be rejected for that
        return None


def _unnamed(batch: Sequence[Pending], places: Places) -> dict[int, Rejection]:
    """The queries that exclude an entry which no store of these topics can have, and why."""
    refused: dict[int, Rejection] = {}
    for index, pending in enumerate(batch):
        try:
            places.entry_of(pending.query.exclude if pending.query else None)
        except NotRead as error:
            refused[index] = ("invalid-message", f"exclude: {error}")
    return refused


def _without_scores(pending: Pending, seen: Mapping[ShardName, int]) -> Answer | None:
    """The answer to a query that was rejected or has waited too long; None if it is to be scored."""
    if pending.rejection:
        return rejected(pending)
    if pending.in_vain or pending.watermarks_not_reached(seen):
        return timed_out(pending, seen)
    return None


def _rejection(pending: Pending, why: Rejection) -> Reply:
    put_aside = pending.rejected(*why)
    return Reply.of(put_aside, rejected(put_aside))


def _portion(batch: Sequence[Pending]) -> Sequence[Pending]:
    """The first query, and those after it as long as all together stay within `PORTION_LETTERS`."""
    letters = 0
    for i, pending in enumerate(batch):
        letters += len(pending.query.text) if pending.query else 0
        if i and letters > PORTION_LETTERS:
            return batch[:i]
    return batch


def _up_to_first_gap(replies: dict[int, Reply], size: int) -> list[Reply]:
    """The replies to the first queries of `size`, up to the first query that there was no time for."""
    return [replies[index] for index in takewhile(replies.__contains__, range(size))]
