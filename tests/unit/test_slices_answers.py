"""The answers of a responder over slices are, byte by byte, those of one that holds everything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

from hurnet_schemas import Coordinates, Query
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.rule.gathering import Question, gathered
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.ports import PublishedWeights, Record
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.one_context import LoadedContext
from hurnet_stream.responder.pending import pending_of
from hurnet_stream.responder.replies import Replies
from hurnet_stream.settings.settings import ResponderSettings
from tests.slices import Slices

EMBEDDER = HashedText(64)
HALVES = halves(EMBEDDER.identity.name, EMBEDDER.identity.dimension)
SHARDS, ROWS = 5, 60
T = TypeVar("T")
THINGS = ("lamp", "heater", "radio", "door", "blind")


def batches() -> Iterator[Batch]:
    for shard in range(SHARDS):
        random = np.random.default_rng(shard)
        entries = []
        for offset in range(ROWS):
            thing, verb = THINGS[int(random.integers(5))], str(random.choice(["on", "off", "open"]))
            text = f"{random.choice(['please', 'now', 'would you'])} turn the {thing} {verb} {offset % 7}"
            copies = -1 if offset % 13 == 5 else 1 + offset % 3
            entries.append(Entry(offset, offset, "c", text, f"{thing}.{verb}", {"thing": thing}, copies))
        yield Batch(shard, ROWS - 1, entries, EMBEDDER.embed([entry.text for entry in entries]))


def memory_of(shards: set[int]) -> LoadedContexts:
    memory = LoadedContexts(HALVES)
    for batch in batches():
        if batch.partition in shards:
            memory.append(batch)
            memory.remove(batch.partition, [3, 17])
    return memory


class Coordinator(LoadedContexts):
    """It has everything, but for the rows of its index."""

    def __init__(self, everything: LoadedContexts, slices: Slices) -> None:
        super().__init__(HALVES)
        self._everything, self._slices = everything, slices

    def watermarks(self) -> Mapping[int, int]:
        return self._everything.watermarks()

    def using(
        self, name: str, use: Callable[[LoadedContext], T], asked: Callable[[], Sequence[Question]] = tuple
    ) -> T:
        context = self._everything.context(name)
        projection = context.weights.weights.projection if context.weights else None
        index = gathered(self._slices.conversation(), asked(), HALVES, projection)
        return use(replace(context, index=index))


def answers(memory: LoadedContexts, queries: list[Query]) -> list[Any]:
    settings = ResponderSettings.model_validate({"threshold": 0.3})
    replies = Replies(memory, EMBEDDER, settings)
    records = [Record("queries", 0, i, 0, None, query.encode()) for i, query in enumerate(queries)]
    now = time.monotonic()
    given = replies.answer([pending_of(record, 60.0, now, 0.0) for record in records])
    return [json.loads(reply.value) for reply in given]


@pytest.mark.parametrize("slices", [1, 3])
def test_the_bytes_of_answers_are_the_same(slices: int) -> None:
    everything = memory_of(set(range(SHARDS)))
    statistics = Statistics(EMBEDDER.identity.dimension)
    for batch in batches():
        taught = [i for i, entry in enumerate(batch.entries) if not entry.refutes]
        statistics.add(batch.vectors[taught], [batch.entries[i].answer or "" for i in taught])
    weights = PublishedWeights("c", 1, solve(statistics, 0.1, "cpu"), {0: ROWS - 1}, 0)
    everything.use("c", weights)
    own = [set(range(number, SHARDS, slices)) for number in range(slices)]
    parts = Slices([memory_of(shards).context("c").index for shards in own])  # type: ignore[misc]
    queries = [
        Query(text="turn on the lamp", context="c"),
        Query(text="open the door and the blind", context="c", top_k=30, neighbours=9),
        Query(text="heater off", context="c", filter={"key": "thing", "is": "heater"}, top_k=20),
        Query(text="radio", context="c", filter={"key": "colour", "is": "red"}),
        Query(text="would you turn the lamp on 3", context="c", exclude=Coordinates(partition=0, offset=10)),
        Query(text="what is the meaning of life", context="c", detail="answer"),
        Query(text="?!", context="c"),
    ]
    expected, given = answers(everything, queries), answers(Coordinator(everything, parts), queries)
    for each in (*expected, *given):
        assert each["outcome"] in ("answered", "abstained", "rejected")
        if each.get("receipt"):
            del each["receipt"]["seconds"]
    assert json.dumps(given) == json.dumps(expected)
    assert sum(each["outcome"] == "answered" for each in given) >= 4
