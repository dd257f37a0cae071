"""A question asked again, under the conditions that its receipt names.

The context is loaded up to the receipt's watermarks (`past`), gets the receipt's weights and mix
(`versions`), and answers by the responder's own code (`asking`). What comes out is compared with what was
recorded (`comparing`). What can't be had any more is said, and the question is asked all the same with what
is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hurnet_schemas.base import shortened
from hurnet_schemas.reply import Reply
from hurnet_stream.core.paper.lp import EUCLIDEAN
from hurnet_stream.core.pii import redacting
from hurnet_stream.core.places import offset_of
from hurnet_stream.core.rule.mix import PRIOR
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import Unreadable
from hurnet_stream.operations.again.asked import Asked, Missing
from hurnet_stream.operations.again.asking import (
    answered,
    memory_of,
    not_scored,
    of_other_topics,
    receipt_of,
    vector_of,
)
from hurnet_stream.operations.again.comparing import differences
from hurnet_stream.operations.again.forgotten import Gone
from hurnet_stream.operations.again.past import Point, load
from hurnet_stream.operations.again.replayed import Replayed, World
from hurnet_stream.operations.again.versions import Learner, RecordedMix, is_that, other_than
from hurnet_stream.places import NotRead
from hurnet_stream.ports import PublishedWeights
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.settings.settings import ResponderSettings

SHARDS_NAMED = 5


def ask_again(asked: Asked, world: World) -> Replayed:
    """The question as of its receipt. Raises `StoreReplaced` if entries or deletions go away meanwhile."""
    return _Again(asked, world).replayed()


class _Again:
    """One question under the conditions of its receipt."""

    def __init__(self, asked: Asked, world: World) -> None:
        self._asked = asked
        self._world = world
        self._receipt = receipt_of(asked)
        self._seen: Mapping[int, int] = {}  # the receipt's watermarks, by shard
        self._deleting: Mapping[int, int] = {}
        self._learned: Mapping[int, int] = {}  # those of its weights
        self._missing: list[Missing] = []
        self._causes: dict[str, str] = {}

    def replayed(self) -> Replayed:
        try:
            self._find_places()
        except NotRead as error:
            return of_other_topics(self._asked, error)
        if other := self._other_embedder():
            return Replayed(self._asked.then, None, missing=[other])
        memory = self._loaded()
        now = answered(self._asked, memory, self._world, self._settings(), self._redaction())
        now = self._lacking(now)
        self._compare_conditions(now)
        found = differences(self._asked.then, now, self._causes)
        return Replayed(self._asked.then, now, found, self._missing)

    def _find_places(self) -> None:
        """What the names of shards stand for here. Raises `NotRead`."""
        receipt, places = self._receipt, self._world.places
        self._seen = places.positions(receipt.watermarks, receipt.beyond)
        self._deleting = {places.shard(name): count for name, count in (receipt.deleting or {}).items()}
        if learned := receipt.weights:
            self._learned = places.positions(learned.watermarks, learned.beyond)

    def _other_embedder(self) -> Missing | None:
        receipt, identity = self._receipt, self._world.embedder.identity
        if identity.fingerprint == receipt.fingerprint:
            return None
        named = f"{shortened(receipt.embedder, 80)} ({shortened(receipt.fingerprint, 80)})"
        here = f"{identity.name} ({identity.fingerprint})"
        why = f"the receipt is of the embedder {named}, and the store of {here}"
        return Missing("embedder", why)

    def _loaded(self) -> LoadedContexts:
        receipt, world, context = self._receipt, self._world, self._asked.query.context
        named = receipt.weights
        features = named.features.partition("/")[0] if named and named.features else NO_FEATURES
        half_life_ms = round(1000 * (receipt.half_life or 0))
        memory = memory_of(world, features, half_life_ms, receipt.p or EUCLIDEAN)
        learner = None
        if named and not self._use_in_force(memory):
            solve = world.settings.solve.model_copy(update={"half_life": receipt.half_life or 0.0})
            learner = Learner(world.store, context, named, self._learned, solve, memory.features)
        self._use_mix(memory)
        self._check_ends()
        load(world.store, memory, Point(context, self._seen, self._deleting), learner, world.advance)
        self._count(memory)
        if learner:
            self._use_solved(memory, learner.solve())
        return memory

    def _use_in_force(self, memory: LoadedContexts) -> bool:
        """Use the weights in force, if they are those that the receipt names. Whether they are."""
        named, context = self._receipt.weights, self._asked.query.context
        try:
            published = self._world.weights.weights(context)
            if named is None or published is None or not is_that(published, named, self._learned):
                return False
            memory.use(context, published)
        except (Unreadable, ValueError):  # they are solved again
            return False
        return True

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
        memory.use_mix(context, RecordedMix.of_receipt(self._asked.then.outcome, self._receipt, named))
        why = (
            f"mix {named.version} is gone: its factors, and how probable the answer was, count as the receipt"
            " has them"
        )
        self._miss("mix", Missing("mix", why))

    def _check_ends(self) -> None:
        """Whether the store reaches as far as it did."""
        states = self._world.store.states()
        ends = {shard: states[shard].watermark if shard in states else NOTHING for shard in self._seen}
        behind = [shard for shard, watermark in sorted(self._seen.items()) if ends[shard] < watermark]
        if behind:
            shown = ", ".join(self._short(behind[:SHARDS_NAMED], ends))
            more = f", and {len(behind) - SHARDS_NAMED:,} more" if len(behind) > SHARDS_NAMED else ""
            why = f"the store lost its tail, or is not filled again yet: {shown}{more}"
            self._miss("entries", Missing("entries", why))

    def _short(self, behind: list[int], ends: Mapping[int, int]) -> Iterator[str]:
        for shard in behind:
            name, seen = self._world.places.shard_name(shard), _offset(shard, self._seen[shard])
            yield f"partition {name} ends at {_offset(shard, ends[shard])}, and was seen up to {seen}"

    def _count(self, memory: LoadedContexts) -> None:
        """Which entries are missing: those that were forgotten or replaced since."""
        receipt, world, context = self._receipt, self._world, self._asked.query.context
        then = receipt.rows_of_context if receipt.rows_of_context is not None else receipt.rows
        held = memory.rows().get(context, 0)
        if then > held:
            of = world.store, world.weights, world.places, memory.index(context), context
            gone = Gone(*of, self._seen, self._deleting)
            for missing in gone.named(then - held):
                self._miss("entries", missing)
        elif then < held and receipt.rows_of_context is not None:
            why = f"up to these watermarks the context holds {held:,} entries, and held {then:,} then"
            self._causes.setdefault("entries", why)

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
        return chosen.model_copy(update={"threshold": receipt.threshold, "error_rate": rate})

    def _redaction(self) -> Callable[[], str]:
        """The rules by which the question was redacted: those of the store, unless it was asked before the
        store had any."""
        rules, text = self._world.store.redaction, self._asked.query.text
        is_redacted = bool(rules()) and redacting(rules())(text) != text
        return str if is_redacted and vector_of(self._world, text) == self._receipt.vector else rules

    def _lacking(self, now: Reply) -> Reply:
        """As if the same slices had been away: their shards have no watermark, so nothing of them was
        loaded."""
        missing = self._receipt.missing
        if not (missing and now.receipt) or not self._receipt.watermarks.keys().isdisjoint(missing):
            return now
        return now.model_copy(update={"receipt": now.receipt.model_copy(update={"missing": missing})})

    def _compare_conditions(self, now: Reply) -> None:
        then, current = self._receipt, now.receipt
        self._causes |= not_scored(now)
        if current is None:
            return
        if then.arithmetic is None:
            self._causes["arithmetic"] = (
                "the receipt is of an older hurnet: it names neither its arithmetic nor its error rate, and"
                " its last digits depended on the order in which entries came"
            )
        elif then.arithmetic != current.arithmetic:
            self._causes["arithmetic"] = (
                f"another program or machine scored it ({shortened(then.arithmetic, 80)}, here"
                f" {current.arithmetic}): last digits may differ"
            )
        if then.vector not in (None, current.vector):
            self._causes["vector"] = (
                "the embedder gives the question another vector here, or it was another question"
            )
        if then.store not in (None, current.store):
            self._causes["store"] = f"the store was begun anew since, as {current.store}"


def _offset(shard: int, watermark: int) -> int | str:
    return offset_of(shard, watermark) if watermark >= 0 else "nothing"
