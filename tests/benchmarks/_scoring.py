"""The responder's scoring alone: its memory filled from the store, and no broker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.redis import RedisWeightsStore, connect
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.ports import Record
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.pending_queries import PendingQueries
from hurnet_stream.responder.replies import Replies
from hurnet_stream.settings.settings import ResponderSettings
from tests.benchmarks._parts import rate
from tests.benchmarks._system import Bench

CHUNK = 64


class Scoring:
    """What a responder on the context `name` holds, and the code that it answers with."""

    def __init__(self, servers: Bench, name: str, embedder: str) -> None:
        loaded = load(embedder)
        identity = loaded.identity
        memory = LoadedContexts(halves(identity.name, identity.dimension))
        with servers.store(name) as store:
            while found := store.tail(memory.watermarks(), CHUNK).batches:
                for batch in found:
                    memory.append(batch)
        for context in memory.rows():
            if weights := RedisWeightsStore(connect(servers.redis(name))).weights(context):
                memory.use(context, weights)
        self._replies = Replies(memory, loaded, ResponderSettings())

    def alone(self, queries: Sequence[bytes], batch: int, seconds: float) -> float:
        """Queries a second from their bytes to the bytes of their answers, in micro-batches."""
        return rate(self._answers(queries, batch), seconds)

    def _answers(self, queries: Sequence[bytes], batch: int) -> Iterator[int]:
        values = cycle(queries)
        while True:
            pending = PendingQueries(wait_s=0.0)
            records = [Record("-", 0, i, 0, None, value) for i, value in enumerate(islice(values, batch))]
            pending.add(records, time.monotonic())
            replies = self._replies.answer(pending.take({}, time.monotonic(), batch))
            yield len([reply.value for reply in replies])
