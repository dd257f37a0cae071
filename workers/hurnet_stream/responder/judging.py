"""From a ranking to the answer on the wire: whether there is one, its candidates, and the receipt.

    rejected    the query can't be answered, and has a dead letter
    timed-out   the entries it asks to see did not come in time, or can't come, or too many queries wait
    abstained   nothing is sure enough to be an answer; its candidates are there to choose from
    answered    the best candidate

Only queries that are answered or abstained from were scored, so only these replies have a receipt.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from hurnet_schemas import (
    Answer,
    Candidate,
    MixReceipt,
    Neighbour,
    Query,
    Receipt,
    Scores,
    WeightsReceipt,
)
from hurnet_schemas.answer import MAX_ANSWER_BYTES
from hurnet_schemas.detail import MOST, Detail, least
from hurnet_schemas.filter import canonical
from hurnet_schemas.places import ShardName, in_order
from hurnet_stream.core.rule.arithmetic import arithmetic
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.rule.neighbourhood import Neighbourhood
from hurnet_stream.core.rule.rule import RankedAnswer, Ranking
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.places import Places
from hurnet_stream.ports import PublishedWeights
from hurnet_stream.responder.deciding import Decision, decide
from hurnet_stream.responder.filtering import why_none
from hurnet_stream.responder.one_context import LoadedContext
from hurnet_stream.responder.pending import Pending
from hurnet_stream.settings.settings import ResponderSettings

P = TypeVar("P", Candidate, Neighbour)

CHOICES = 3
"""Candidates that come with a reply that has no answer, so that a person can choose."""
_COUNT_BYTES = 64
"""Room for the fields that an answer has only once it has candidates."""


def rejected(pending: Pending) -> Answer:
    """The answer to a query that has a `rejection`."""
    return Answer(id=pending.id, outcome="rejected", reason=": ".join(pending.rejection or ()))


def timed_out(pending: Pending, seen: Mapping[ShardName, int]) -> Answer:
    """The answer to a query that waited in vain, or for too long. `seen` are the watermarks of memory."""
    reason = pending.in_vain
    if reason is None:
        lacking = pending.watermarks_not_reached(seen)
        waited = ", ".join(
            f"partition {name} has reached {seen.get(name, 'nothing')}, not {lacking[name]}"
            for name in in_order(lacking)
        )
        reason = f"shards of the store have not reached min_watermarks in time: {waited}"
    return Answer(id=pending.id, outcome="timed-out", reason=reason)


def vector_digest(vector: Vectors) -> str:
    """What receipts have of a question's vector (d,)."""
    return hashlib.sha256(vector.tobytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A query that was ranked. `vector` (d,) is the question's, of zeros if the embedder knows nothing in
    it."""

    pending: Pending
    query: Query
    vector: Vectors
    near: Neighbourhood
    ranking: Ranking


class Judge:
    """Writes the answers to queries that were ranked."""

    def __init__(self, identity: EmbedderIdentity, settings: ResponderSettings) -> None:
        self._identity = identity
        self._settings = settings
        self._arithmetic = arithmetic(halves(identity.name, identity.dimension))

    def answer(self, asked: Ranked, context: LoadedContext) -> Answer:
        """Answer out of `context`, or abstain and say why."""
        detail = least((asked.query.detail, self._settings.detail))
        decision = decide(asked.ranking, self._settings, context.mix.calibration)
        reason = _nothing_to_answer(asked, context, detail) or decision.why_not
        best = asked.ranking.best
        answer = Answer(
            id=asked.pending.id,
            outcome="abstained" if reason else "answered",
            answer=best.answer if best and not reason else None,
            reason=reason,
            receipt=self._receipt(asked, context, decision),
        )
        answer = _shown(answer, best, context, detail)
        return self._with_entries(answer, asked, context, detail)

    def _with_entries(self, answer: Answer, asked: Ranked, context: LoadedContext, detail: Detail) -> Answer:
        """The answer with as many of the candidates, and then of the neighbours, as were asked for and fit
        into a message; `CHOICES` candidates are asked for if there is no answer."""
        room = MAX_ANSWER_BYTES - _COUNT_BYTES - len(answer.encode())
        if room < 0:  # thousands of partitions, each with its watermark
            answer = answer.model_copy(update={"receipt": None})
            room = MAX_ANSWER_BYTES - _COUNT_BYTES - len(answer.encode())
        if detail == "answer":
            return answer
        most = asked.query.top_k if answer.outcome == "answered" else max(asked.query.top_k, CHOICES)
        top = asked.ranking.top(most)
        shown = (_candidate(ranked, context) for ranked in top)
        nearest = islice(_neighbours(asked, context), asked.query.neighbours)
        bare = detail != MOST
        candidates, room = _fitting((each.bare() if bare else each for each in shown), room)
        neighbours, _ = _fitting((each.bare() if bare else each for each in nearest), room)
        dropped = len(top) - len(candidates) or None
        return answer.model_copy(
            update={"candidates": candidates, "candidates_dropped": dropped, "neighbours": neighbours}
        )

    def _receipt(self, asked: Ranked, context: LoadedContext, decision: Decision) -> Receipt:
        pending, query, ranking, within = asked.pending, asked.query, asked.ranking, asked.near.within
        runner_up = ranking.runner_up
        return Receipt(
            query=pending.record.coordinates,
            context=query.context,
            store=context.epoch or None,
            arithmetic=self._arithmetic,
            vector=vector_digest(asked.vector),
            exclude=query.exclude,
            deleting={context.places.shard_name(p): n for p, n in context.deleting.items()} or None,
            beyond=context.places.beyond(context.watermarks) or None,
            missing=list(context.missing) or None,
            rows=within.count if within else len(context.index),
            rows_of_context=len(context.index),
            filter=canonical(query.filter) if query.filter else None,
            embedder=self._identity.name,
            fingerprint=self._identity.fingerprint,
            watermarks=context.places.seen(context.watermarks),
            weights=_weights_receipt(context.weights, context.places) if context.weights else None,
            mix=_mix_receipt(ranking, context),
            threshold=self._settings.threshold,
            probability=decision.probability,
            rehearsed=decision.rehearsed,
            decided_by=decision.decided_by if ranking.best else None,
            error_rate=decision.error_rate,
            error_rate_set=self._settings.error_rate,
            lowest_probability=decision.lowest,
            nearest=ranking.nearest,
            p=context.p,
            half_life=context.half_life_ms / 1000 or None,
            margin=ranking.margin,
            runner_up=runner_up.answer if runner_up else None,
            trace_id=pending.trace.trace_id if pending.trace else None,
            seconds=time.monotonic() - pending.received,
        )


def _shown(answer: Answer, best: RankedAnswer | None, context: LoadedContext, detail: Detail) -> Answer:
    """The answer, whose receipt says so if it shows less than all; with the answer alone it names the entry,
    and no other answer."""
    if detail == MOST or answer.receipt is None:
        return answer
    shown: dict[str, Any] = {"detail": detail}
    if detail == "answer":
        is_given = best is not None and answer.answer is not None
        entry = context.places.coordinates(context.index.entry_id(best.row)) if best and is_given else None
        shown |= {"entry": entry, "runner_up": None}
    return answer.model_copy(update={"receipt": answer.receipt.model_copy(update=shown)})


def _nothing_to_answer(asked: Ranked, context: LoadedContext, detail: Detail) -> str | None:
    if not asked.vector.any():
        return "the text has nothing the embedder knows"
    if asked.ranking.best is not None:
        return None
    if asked.near.within and len(context.index):
        return why_none(asked.query, asked.near.within, context.index, hints=detail != "answer")
    return f"empty context {asked.query.context!r}"


def _fitting(parts: Iterator[P], room: int) -> tuple[list[P], int]:
    """The first parts that fit into so many bytes, and the room that is left. Each is weighed before the next
    is built: a hundred of the largest would take 25 MB."""
    fitting: list[P] = []
    for part in parts:
        size = len(part.encode()) + 1
        if size > room:
            break
        room -= size
        fitting.append(part)
    return fitting, room


def _neighbours(asked: Ranked, context: LoadedContext) -> Iterator[Neighbour]:
    """The nearest entries that the query asks for, without those that refute their answers."""
    index, (rows, cosines) = context.index, (asked.near.nearest.rows, asked.near.nearest.cosines)
    supports = index.described(rows).supports
    for row, cosine in zip(rows[supports].tolist(), cosines[supports].tolist(), strict=True):
        entry = index.entry(row)
        yield Neighbour(
            entry=context.places.coordinates(index.entry_id(row)),
            text=entry.text,
            answer=entry.text if entry.answer is None else entry.answer,
            similarity=cosine,
            metadata=dict(entry.metadata),
        )


def _candidate(ranked: RankedAnswer, context: LoadedContext) -> Candidate:
    entry = context.index.entry(ranked.row)
    return Candidate(
        answer=ranked.answer,
        scores=Scores(combined=ranked.combined, **_fields(ranked.scores)),
        entry=context.places.coordinates(context.index.entry_id(ranked.row)),
        text=entry.text,
        metadata=dict(entry.metadata),
    )


def _mix_receipt(ranking: Ranking, context: LoadedContext) -> MixReceipt | None:
    factors = ranking.factors
    return None if factors is None else MixReceipt(version=context.mix.version, **_fields(factors))


def _weights_receipt(published: PublishedWeights, places: Places) -> WeightsReceipt:
    certificate = published.weights.certificate
    return WeightsReceipt(
        version=published.version,
        watermarks=places.seen(published.watermarks),
        beyond=places.beyond(published.watermarks) or None,
        count=round(certificate.count),
        ridge=certificate.ridge,
        condition_number=_finite(certificate.condition),
        residual=_finite(certificate.residual),
        features=None if certificate.features == NO_FEATURES else certificate.features,
        pane=certificate.pane if certificate.half_life else None,
        digest=certificate.digest or None,
        threads=certificate.threads or None,
    )


def _fields(plain: Any) -> dict[str, Any]:
    """The fields of a dataclass of plain values by name. `asdict` would copy each of them."""
    return {name: getattr(plain, name) for name in plain.__dataclass_fields__}


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None
