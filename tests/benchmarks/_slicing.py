"""What slices add to a question: processor time of the coordinator and of a slice, all in one process.

Everything goes over the wire format, without a network. What the slices compute is timed apart from the rest,
which is the coordinator's: embedding, merging, ranking, and reading and writing what is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any, Final, TypeVar, cast

from typing_extensions import override

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.rule.gathering import Question, gathered
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.slices.messages import Reply, Request
from hurnet_stream.core.solve.window import NOTHING_AGES
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.ports import Embedder, Record
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.one_context import LoadedContext
from hurnet_stream.responder.pending import pending_of
from hurnet_stream.responder.replies import Replies
from hurnet_stream.settings.settings import ResponderSettings
from tests.benchmarks._holding import BLOCK, TOGETHER
from tests.benchmarks._system import pairs, questions
from tests.slices import Slices

T = TypeVar("T")
ROUNDS: Final = 8
CONTEXT: Final = "default"


class _Timed(Slices):
    """Adds up the processor time of all slices."""

    spent_s = 0.0

    @override
    def ask(self, requests: Mapping[int, Request]) -> Mapping[int, Reply]:
        began = time.process_time()
        try:
            return super().ask(requests)
        finally:
            self.spent_s += time.process_time() - began


class _Coordinator:
    """What `Replies` takes a memory for: it has a context without rows, and asks the slices."""

    def __init__(self, empty: LoadedContexts, slices: Slices) -> None:
        self._empty, self._slices = empty, slices
        self.places = empty.places

    def seen(self) -> Mapping[Any, int]:
        return self._empty.seen()

    def using(
        self, name: str, use: Callable[[LoadedContext], T], asked: Callable[[], Sequence[Question]] = tuple
    ) -> T:
        context = self._empty.context(name)
        index = gathered(self._slices.conversation(), asked(), context.halves, None, NOTHING_AGES)
        return use(replace(context, index=index))


def sliced(slices: int, dimension: int) -> dict[str, float]:
    """µs of processor time of a question, alone and one of many together: of one slice with a block of rows,
    and of the coordinator."""
    embedder = load(f"hash{dimension}")
    held = [_holding(embedder, number) for number in range(slices)]
    parts = _Timed([each.context(CONTEXT).index for each in held])  # type: ignore[misc]
    memory = cast(LoadedContexts, _Coordinator(held[0], parts))
    replies = Replies(memory, embedder, ResponderSettings())
    figures: dict[str, float] = {}
    for name, together in (("alone", 1), ("together", TOGETHER)):
        slice_us, coordinator_us = _question_us(replies, parts, together)
        figures |= {f"slice_{name}_us": slice_us / slices, f"coordinator_{name}_us": coordinator_us}
    return figures


def _holding(embedder: Embedder, shard: int) -> LoadedContexts:
    """One block of rows, others for each shard."""
    memory = LoadedContexts(halves(embedder.identity.name, embedder.identity.dimension))
    taught = pairs((shard + 1) * BLOCK)[shard * BLOCK :]
    entries = [Entry(i, 0, CONTEXT, pair.text, pair.answer) for i, pair in enumerate(taught)]
    memory.append(Batch(shard, BLOCK - 1, entries, embedder.embed([pair.text for pair in taught])))
    return memory


def _question_us(replies: Replies, parts: _Timed, together: int) -> tuple[float, float]:
    """Of all slices and of the coordinator, the least of several rounds."""
    values = cycle([Query(text=text).encode() for text in questions()])
    rounds: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        asked = list(islice(values, together))
        parts.spent_s, began = 0.0, time.process_time()
        _answer(replies, asked)
        whole = time.process_time() - began
        rounds.append((parts.spent_s / together * 1e6, (whole - parts.spent_s) / together * 1e6))
    return min(rounds, key=sum)


def _answer(replies: Replies, asked: Sequence[bytes]) -> None:
    now = time.monotonic()
    records = [Record("-", 0, i, 0, None, value) for i, value in enumerate(asked)]
    given = replies.answer([pending_of(record, 60.0, now, 0.0) for record in records])
    assert len(given) == len(asked)
