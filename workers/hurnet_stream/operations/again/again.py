"""A question asked again, under the conditions that its receipt names, or under those of today.

The context is loaded up to the receipt's watermarks (`past`), gets the receipt's weights and mix
(`versions`), and answers by the responder's own code (`responder/replies.py`): there is no second way to
score. What comes out is compared with what was recorded (`comparing`). What can't be had any more is said,
and the question is asked all the same with what is there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from hurnet_schemas import Receipt
from hurnet_schemas.detail import MOST
from hurnet_schemas.reply import Reply
from hurnet_stream.core.paper.lp import EUCLIDEAN
from hurnet_stream.core.places import offset_of
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.rule.mix import PRIOR
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import Unreadable
from hurnet_stream.operations.again.asked import Asked, Missing, record_name
from hurnet_stream.operations.again.comparing import CHANGES, differences
from hurnet_stream.operations.again.forgotten import forgotten
from hurnet_stream.operations.again.past import Point, load
from hurnet_stream.operations.again.replayed import Replayed, World
from hurnet_stream.operations.again.since import Newcomers, between
from hurnet_stream.operations.again.versions import Learner, RecordedMix, is_that, other_than
from hurnet_stream.places import NotRead
from hurnet_stream.ports import PublishedWeights, Record
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.pending import Pending
from hurnet_stream.responder.replies import Replies
from hurnet_stream.settings.settings import ResponderSettings


def ask_again(asked: Asked, world: World) -> Replayed:
    """The question as of its receipt. Raises `StoreReplaced` if deletions are compacted away meanwhile."""
    return _Again(asked, world).replayed()


def ask_today(asked: Asked, world: World) -> Replayed:
    """The question as of now, and what has changed since. Raises as `ask_again` does."""
    then, receipt, context = asked.then, _receipt(asked), asked.query.context
    try:
        seen = world.places.positions(receipt.watermarks, receipt.beyond)
    except NotRead as error:
        return _of_other_topics(asked, error)
    watermarks = {p: s.watermark for p, s in world.store.states().items() if s.watermark != NOTHING}
    paper, newcomers = world.settings.paper, Newcomers(seen)
    memory = _memory(world, paper.features, world.settings.solve.half_life_ms, paper.p)
    with suppress(Unreadable, ValueError):  # a responder would refuse them, too
        memory.use(context, world.weights.weights(context))
    with suppress(Unreadable):
        mix = world.weights.mix(context)
        memory.use_mix(context, mix.mix if mix else None)
    load(world.store, memory, Point(context, watermarks), newcomers, world.advance)
    detail = {"detail": receipt.detail or MOST}  # what is shown is compared, not what might be
    now = _answered(asked, memory, world, world.settings.responder.model_copy(update=detail))
    rows = memory.rows().get(context, 0)
    changed = between(receipt, now, newcomers.count, rows, world.texts)
    found = differences(then, now, changed.causes(), passing_over=CHANGES)
    return Replayed(then, now, found, [], changed)


class _Again:
    """One question under the conditions of its receipt."""

    def __init__(self, asked: Asked, world: World) -> None:
        self._asked = asked
        self._world = world
        self._receipt = _receipt(asked)
        self._seen: Mapping[int, int] = {}  # the receipt's watermarks, by shard
        self._learned: Mapping[int, int] = {}  # those of its weights
        self._missing: list[Missing] = []
        self._causes: dict[str, str] = {}

    def replayed(self) -> Replayed:
        receipt, world = self._receipt, self._world
        try:
            self._seen = world.places.positions(receipt.watermarks, receipt.beyond)
            if learned := receipt.weights:
                self._learned = world.places.positions(learned.watermarks, learned.beyond)
        except NotRead as error:
            return _of_other_topics(self._asked, error)
        fingerprint = world.embedder.identity.fingerprint
        if fingerprint != receipt.fingerprint:
            name = world.embedder.identity.name
            why = (
                f"the receipt is of the embedder {receipt.embedder} ({receipt.fingerprint}), and the store of"
                f" {name} ({fingerprint})"
            )
            return Replayed(self._asked.then, None, missing=[Missing("embedder", why)])
        memory = self._loaded()
        now = _answered(self._asked, memory, world, self._settings())
        self._compare_conditions(now)
        found = differences(self._asked.then, now, self._causes)
        return Replayed(self._asked.then, now, found, self._missing)

    def _loaded(self) -> LoadedContexts:
        receipt, world, context = self._receipt, self._world, self._asked.query.context
        named = receipt.weights
        features = named.features.partition("/")[0] if named and named.features else NO_FEATURES
        half_life_ms = round(1000 * (receipt.half_life or 0))
        memory = _memory(world, features, half_life_ms, receipt.p or EUCLIDEAN)
        published, learner = self._weights_in_force(), None
        if named and is_that(published, named, self._learned):
            memory.use(context, published)
        elif named:
            solve = world.settings.solve.model_copy(update={"half_life": receipt.half_life or 0.0})
            learner = Learner(world.store, context, named, self._learned, solve, memory.features)
        self._use_mix(memory)
        self._check_ends()
        deleting = {world.places.shard(name): count for name, count in (receipt.deleting or {}).items()}
        point = Point(context, self._seen, deleting)
        load(world.store, memory, point, learner, world.advance)
        self._count(memory)
        if learner:
            self._use_solved(memory, learner.solve())
        return memory

    def _weights_in_force(self) -> PublishedWeights | None:
        try:
            return self._world.weights.weights(self._asked.query.context)
        except Unreadable:
            return None  # they are solved again

    def _use_mix(self, memory: LoadedContexts) -> None:
        named, context = self._receipt.mix, self._asked.query.context
        if named is None or not named.version:
            memory.use_mix(context, PRIOR)
            return
        try:
            published = self._world.weights.mix_of_version(context, named.version)
        except Unreadable:
            published = None
        if published:
            memory.use_mix(context, published.mix)
            return
        memory.use_mix(context, RecordedMix.of_receipt(self._receipt, named))
        why = (
            f"mix {named.version} is gone: its factors, and how probable the answer was, count as the receipt"
            " has them"
        )
        self._miss("mix", Missing("mix", why))

    def _check_ends(self) -> None:
        """Whether the store reaches as far as it did."""
        states, places = self._world.store.states(), self._world.places
        ends = {shard: states[shard].watermark if shard in states else NOTHING for shard in self._seen}
        behind = [shard for shard, watermark in sorted(self._seen.items()) if ends[shard] < watermark]
        if behind:
            shown = ", ".join(
                f"partition {places.shard_name(p)} ends at {_offset(p, ends[p])}, and was seen up to"
                f" {_offset(p, self._seen[p])}"
                for p in behind
            )
            why = f"the store lost its tail, or is not filled again yet: {shown}"
            self._miss("entries", Missing("entries", why))

    def _count(self, memory: LoadedContexts) -> None:
        """Which entries are missing: those that were forgotten since."""
        receipt, context = self._receipt, self._asked.query.context
        then = receipt.rows_of_context if receipt.rows_of_context is not None else receipt.rows
        gone = then - memory.rows().get(context, 0)
        if gone > 0:
            index, places = memory.index(context), self._world.places
            for missing in forgotten(self._world.weights, places, index, context, self._seen, gone):
                self._miss("entries", missing)

    def _use_solved(self, memory: LoadedContexts, solved: PublishedWeights | str) -> None:
        named = self._receipt.weights
        if named is None:
            return
        if isinstance(solved, str):
            why: str | None = solved
        else:
            memory.use(self._asked.query.context, solved)
            why = other_than(named, solved.weights.certificate)
        if why:
            self._miss("weights", Missing("weights", f"weights {named.version} were replaced since: {why}"))

    def _miss(self, kind: str, missing: Missing) -> None:
        self._missing.append(missing)
        self._causes.setdefault(kind, missing.why)

    def _settings(self) -> ResponderSettings:
        receipt, chosen = self._receipt, self._world.settings.responder
        rate = chosen.error_rate if receipt.error_rate_set is None else receipt.error_rate_set
        detail = {"detail": receipt.detail or MOST}
        return chosen.model_copy(update={"threshold": receipt.threshold, "error_rate": rate, **detail})

    def _compare_conditions(self, now: Reply) -> None:
        then, current = self._receipt, now.receipt
        if current is None:
            return
        if then.arithmetic is None:
            self._causes["arithmetic"] = (
                "the receipt is of an older hurnet: it names neither its arithmetic nor its error rate, and"
                " its last digits depended on the order in which entries came"
            )
        elif then.arithmetic != current.arithmetic:
            self._causes["arithmetic"] = (
                f"another program or machine scored it ({then.arithmetic}, here {current.arithmetic}): last"
                " digits may differ"
            )
        if then.vector not in (None, current.vector):
            self._causes["vector"] = (
                "the embedder gives the question another vector here, or its record is another one today"
            )
        if then.store not in (None, current.store):
            self._causes["store"] = f"the store was begun anew since, as {current.store}"


def _receipt(asked: Asked) -> Receipt:
    if asked.then.receipt is None:
        raise ValueError("a reply without a receipt can't be asked again")
    return asked.then.receipt


def _memory(world: World, features: str, half_life_ms: int, p: float) -> LoadedContexts:
    identity = world.embedder.identity
    memory = LoadedContexts(halves(identity.name, identity.dimension), features, half_life_ms, p=p)
    memory.name_by(world.places)
    return memory


def _of_other_topics(asked: Asked, error: NotRead) -> Replayed:
    why = f"the receipt is of a store with other topics: {error}"
    return Replayed(asked.then, None, missing=[Missing("topics", why)])


def _offset(shard: int, watermark: int) -> int | str:
    return offset_of(shard, watermark) if watermark >= 0 else "nothing"


def _answered(asked: Asked, memory: LoadedContexts, world: World, settings: ResponderSettings) -> Reply:
    """The reply of a responder with this memory, as if it had taken as long and been in the same trace."""
    then, receipt = asked.then, _receipt(asked)
    topic, partition, offset = record_name(receipt.query) or ("", 0, 0)
    record = Record(topic, partition, offset, 0, None, asked.query.encode())
    started = time.monotonic()
    pending = Pending(record, asked.query, None, started, started)
    replies = Replies(memory, world.embedder, settings, redaction=world.store.redaction)
    answer = replies.answer([pending])[0].answer
    if answer.receipt:
        once = {"seconds": receipt.seconds, "trace_id": receipt.trace_id, "query": receipt.query}
        answer = answer.model_copy(update={"receipt": answer.receipt.model_copy(update=once)})
    return Reply.of(answer.model_copy(update={"id": then.id}), then.question, then.record)
