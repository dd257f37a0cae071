"""Shadow answers: the last real questions answered by two generations, side by side.

    context faq    question          hash512                 table512
                   how do I pay      billing    0.81 right   billing   0.90 right   same
                   where is my mug   shipping   0.33 wrong   refunds   0.41 ...     differ: look at it
    taught pairs, each left out and asked:    93.1% right   95.0% right

Both answer by the responder's own code, with the weights and the mix that they have in force, and nothing is
sent anywhere. How right they are is not guessed from real questions, whose right answers nobody knows. It is
counted on what was taught: each pair is left out, exactly, and asked. Both are asked the same pairs.

One generation and one context are in memory at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from hurnet_schemas import Answer, InvalidMessage, Query
from hurnet_schemas.query import WAITING
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.rule.rehearsal import outcomes, rehearse, sample
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import Unreadable
from hurnet_stream.operations.again.past import Point, load
from hurnet_stream.operations.again.replayed import World
from hurnet_stream.ports import Record
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.one_context import LoadedContext
from hurnet_stream.responder.pending import Pending
from hurnet_stream.responder.replies import Replies

PAIRS: Final = 1_000
"""Taught pairs of a context that are left out and asked."""

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it stands in Kafka."""

    record: Record
    query: Query


@dataclass(frozen=True, slots=True)
class Shadow:
    """What one generation answers to one question, and the seconds that it took."""

    answer: Answer
    seconds: float

    @property
    def given(self) -> str | None:
        """The answer that it gives; None: it gives none."""
        return self.answer.answer if self.answer.outcome == "answered" else None


@dataclass(slots=True)
class Side:
    """One generation: its answers by question, and how right it is on what was taught, by context."""

    embedder: str
    shadows: dict[str, Shadow] = field(default_factory=dict)
    right: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """The share of all pairs that were left out and answered rightly; None: there were none."""
        asked = sum(self.asked.values())
        return sum(self.right.values()) / asked if asked else None

    def seconds(self, share: float) -> float:
        """The time that so large a share of the answers took no longer than."""
        return float(np.quantile([shadow.seconds for shadow in self.shadows.values()] or [0.0], share))


def last_questions(records: Iterable[Record], most: int) -> list[Question]:
    """The last `most` of them, oldest first. What is no question, or a client's sign of life, is passed
    over."""
    found: list[Question] = []
    for record in records:
        with suppress(InvalidMessage):
            query = Query.decode(record.value)
            if query.id != WAITING:
                found.append(Question(record, query))
    return sorted(found, key=lambda question: question.record.timestamp_ms)[-most:]


def side(world: World, questions: Sequence[Question], pairs: int = PAIRS) -> Side:
    """The answers of one generation. Raises `StoreReplaced` if deletions are compacted away meanwhile."""
    made = Side(world.embedder.identity.name)
    for context in dict.fromkeys(question.query.context for question in questions):
        memory = _loaded(world, context)
        replies = Replies(memory, world.embedder, world.settings.responder, redaction=world.store.redaction)
        for question in questions:
            if question.query.context == context:
                made.shadows[question.record.coordinates] = _answered(question, replies)
        made.right[context], made.asked[context] = _left_out(memory.context(context), pairs)
    return made


def _loaded(world: World, context: str) -> LoadedContexts:
    """The context as it stands now, with the weights and the mix in force."""
    identity, paper = world.embedder.identity, world.settings.paper
    half_life_ms = world.settings.solve.half_life_ms
    parts = halves(identity.name, identity.dimension)
    memory = LoadedContexts(parts, paper.features, half_life_ms, p=paper.p)
    memory.name_by(world.places)
    with suppress(Unreadable, ValueError):  # a responder would refuse them, too
        memory.use(context, world.weights.weights(context))
    with suppress(Unreadable):
        mix = world.weights.mix(context)
        memory.use_mix(context, mix.mix if mix else None)
    states = world.store.states()
    watermarks = {shard: state.watermark for shard, state in states.items() if state.watermark != NOTHING}
    load(world.store, memory, Point(context, watermarks), None, world.advance)
    return memory


def _answered(question: Question, replies: Replies) -> Shadow:
    now, began = time.monotonic(), time.perf_counter()
    query = question.query.model_copy(update={"min_watermarks": {}})  # all that is stored was loaded
    (reply,) = replies.answer([Pending(question.record, query, None, now, now)])
    return Shadow(reply.answer, time.perf_counter() - began)


def _left_out(context: LoadedContext, most: int) -> tuple[int, int]:
    """Of the taught pairs that others teach too, how many are answered rightly without them, and how many
    there are."""
    pairs = sample(context.index, most)
    asked = (rehearse(pair, context.index, context.halves, context.nearest, in_vain=False) for pair in pairs)
    answerable = [each for each in asked if each and each.taught]
    if not answerable:
        return 0, 0
    return int(outcomes(answerable, context.mix).right.sum()), len(answerable)
