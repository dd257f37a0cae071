"""What a coordinator has in place of entries in memory: what its slices say.

Of each context it has weights and mix, as every responder. Its index is gathered (core/slices): what the rule
asks it for, all slices are asked for. Questions of one context share a conversation. It is begun again if a
slice has taken entries in meanwhile, or is gone:

    ask ─▶ slice 0, 1, 2 ─▶ reply, reply, moved      begin again
    ask ─▶ slice 0, 1, 2 ─▶ reply, reply, nothing    another process that holds slice 2 is asked; if there is
                                                     none, HURNET_SLICES_AWAY says what becomes of questions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

from typing_extensions import override

from hurnet_stream.core.rule.gathering import Question, gathered
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.slices.conversation import Away, Conversation, Moved
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import SliceFailing
from hurnet_stream.ports import Holding
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.one_context import LoadedContext
from hurnet_stream.responder.slices.asking import Slices
from hurnet_stream.responder.slices.sharing import shards_of

TRIES = 8
"""Conversations about the same questions before the turn fails, and is tried again later."""

T = TypeVar("T")


class GatheredContexts(LoadedContexts):
    """All contexts, as the slices hold them."""

    def __init__(self, halves: Halves, half_life_ms: int, slices: Slices, goes_on_without: bool) -> None:
        """`goes_on_without`: questions are answered also while some slices are away."""
        super().__init__(halves, half_life_ms=half_life_ms)
        self.slices = slices
        self.shards: frozenset[int] = frozenset()
        """Those that the store has."""
        self._goes_on_without = goes_on_without
        self._rows: Mapping[str, int] = {}

    @property
    @override
    def away(self) -> str:
        chosen = self.slices.chosen
        if chosen.is_complete or (self._goes_on_without and chosen.asked):
            return ""
        numbers = ", ".join(map(str, chosen.away))
        return f"of {chosen.count} slices these are away: {numbers}"

    @override
    def watermarks(self) -> Mapping[int, int]:
        held = self.slices.holdings.values()
        return {shard: mark for each in held for shard, mark in each.watermarks.items() if mark != NOTHING}

    @override
    def shard_rows(self, partition: int) -> int:
        return max((each.rows.get(partition, 0) for each in self.slices.holdings.values()), default=0)

    @override
    def rows(self) -> Mapping[str, int]:
        return self._rows

    def count(self, holdings: Mapping[int, Mapping[str, Holding]]) -> None:
        """What the shards of the store hold of each context."""
        rows: dict[str, int] = {}
        for of_shard in holdings.values():
            for context, held in of_shard.items():
                rows[context] = rows.get(context, 0) + held.rows
        for context in rows.keys() | self._rows.keys():
            changed = abs(rows.get(context, 0) - self._rows.get(context, 0))
            self._changes[context] = self.changes(context) + changed
        self._rows = {context: count for context, count in rows.items() if count}

    @override
    def deleting(self) -> Mapping[int, int]:
        return {shard: n for each in self.slices.holdings.values() for shard, n in each.deleting.items()}

    @override
    def using(
        self, name: str, use: Callable[[LoadedContext], T], asked: Callable[[], Sequence[Question]] = tuple
    ) -> T:
        questions = asked()
        for _ in range(TRIES):
            conversation = self.slices.conversation(name)
            try:
                with closing(conversation):
                    result = use(self._gathered(name, conversation, questions))
            except Moved:
                self.slices.ended("moved")
            except Away:
                self.slices.ended("away")
            else:
                self.slices.ended("ok")
                return result
            if why := self.away:
                raise SliceFailing(why)
        raise SliceFailing(f"{TRIES} conversations with the slices broke off")

    def _gathered(
        self, name: str, conversation: Conversation, questions: Sequence[Question]
    ) -> LoadedContext:
        """The context as the slices of this conversation hold it. Raises `Away` if one does not take part,
        and `SliceFailing` if one has gone back behind what it has said before."""
        known, weights = self.watermarks(), self.weights(name)
        projection = weights.weights.projection if weights else None
        index = gathered(conversation, questions, self._halves, projection, self._window(name))
        standings = index.standings
        if conversation.missing:
            raise Away(f"slices {conversation.missing} do not reply")
        self.slices.stand_at(standings)
        now = self.watermarks()
        if any(now.get(shard, NOTHING) < offset for shard, offset in known.items()):
            raise SliceFailing("a slice has gone back behind what it held before")
        chosen = self.slices.chosen
        missing = shards_of(chosen.away, chosen.count, self.shards)
        return replace(self.context(name), index=index, missing=tuple(map(self.places.shard_name, missing)))
