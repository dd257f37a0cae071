"""How far everything has come: what `hurnet status` shows of Kafka, the store and the workers.

`system_reader` asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from hurnet_schemas.places import ShardName, watermarks_json
from hurnet_stream.adapters.redis import Connection, RedisEntryStore, RedisLeaseStore, RedisWeightsStore
from hurnet_stream.core.places import Topics
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import HurnetError
from hurnet_stream.overview.running import Running
from hurnet_stream.overview.worker_pages import WorkerPage
from hurnet_stream.places import Places
from hurnet_stream.ports import WeightsStore


@dataclass(slots=True)
class Shard:
    """One partition of `texts`, by its number, or of another topic, as in tickets/3. What is not known is
    None.

    `rows` are held now, `rows_ever` counts those that were deleted, too, and `sealed_rows` those of
    `rows_ever` that lie in files. `next_offset` is the next one that ingest will append, `end_offset` the
    next one that Kafka will give. `unread_records` are those between both, if they were counted;
    `held_records` can't be read before an open transaction ends. `folded_offset` is the next one that the
    solver will take in, and `searchable_offset` the next one that the slowest responder will, as their
    metrics say."""

    partition: ShardName
    rows: int | None = None
    next_offset: int | None = None
    end_offset: int | None = None
    rows_ever: int | None = None
    unread_records: int | None = None
    held_records: int = 0
    folded_offset: int | None = None
    searchable_offset: int | None = None
    sealed_rows: int | None = None

    @property
    def lag_records(self) -> int | None:
        """Records that ingest has still to take in. Offsets that hold none, such as the markers of
        transactions, do not count unless there are very many."""
        if self.unread_records is not None:
            return self.unread_records
        if self.end_offset is None or self.next_offset is None:
            return None
        return max(0, self.end_offset - self.next_offset)


@dataclass(slots=True)
class Status:
    """What could be learned. `problems` say what could not, and why; `warnings` what a person should change;
    `notes` what is as it should be, and good to know.

    `workers` are those in Kafka's consumer groups, by role, or None if Kafka can't be asked. `topics` are
    those that the store is filled from beside that of texts. `where` tells where logs and metrics are. `ends`
    are the ends of all partitions of a topic together, by what the topic is for. `pages` are what workers say
    of themselves, if their addresses were given. `slices` are the processes that hold one, and `awaited` says
    for which slices questions wait."""

    store_read: bool = False
    embedder: dict[str, Any] | None = None
    contexts: list[str] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    weights: list[dict[str, Any]] = field(default_factory=list)
    solver: str | None = None
    workers: dict[str, Running] | None = None
    where: dict[str, str] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    pages: list[WorkerPage] = field(default_factory=list)
    slices: list[dict[str, Any]] = field(default_factory=list)
    awaited: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        shards = [asdict(shard) | {"lag_records": shard.lag_records} for shard in self.shards]
        fields = {name: getattr(self, name) for name in self.__slots__}
        if self.workers is not None:
            fields["workers"] = {role: asdict(running) for role, running in self.workers.items()}
        pages = [page.as_dict() for page in self.pages]
        return fields | {"shards": shards, "pages": pages}


def attempt(status: Status, read: Callable[[], object]) -> bool:
    """Whether it could be read. If not, the reason is one of the problems."""
    try:
        read()
    except HurnetError as error:
        status.problems.append(str(error))
        return False
    return True


class Published:
    """Weights in force. Those of a context are read again only once there is another version of them: they
    are large."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], dict[str, Any]] = {}
        self.places = Places(Topics({}))

    def read(self, status: Status, store: WeightsStore) -> None:
        versions = store.versions()
        self._known = {key: told for key, told in self._known.items() if versions.get(key[0]) == key[1]}
        for context, version in sorted(versions.items()):
            if (context, version) not in self._known:
                attempt(status, partial(self._ask, store, context, version))
            if told := self._known.get((context, version)):
                age_s = round(max(0.0, time.time() - told["published_ms"] / 1000), 1)
                status.weights.append({**told, "age_s": age_s})

    def _ask(self, store: WeightsStore, context: str, version: int) -> None:
        if published := store.weights(context):
            self._known[context, version] = {
                "context": context,
                "version": published.version,
                "published_ms": published.published_ms,
                "watermarks": watermarks_json(self.places.seen(published.watermarks)),
                "certificate": published.weights.certificate.as_dict(),
            }


def read_store(status: Status, connection: Connection, published: Published | None = None) -> None:
    """What the store knows: the embedder, the shards, the contexts, the solver and the weights."""
    status.warnings += connection.warnings()
    store = RedisEntryStore(connection)
    identity = store.identity()
    status.embedder = asdict(identity) if identity else None
    states = store.states()
    holdings, pending, sealed = store.holdings(), store.pending_erasures(), store.sealed()
    published = published or Published()
    places = published.places = Places(store.topics())
    status.topics = sorted(places.topics.numbers)
    reached = places.seen({shard: state.watermark for shard, state in states.items()})
    for partition, state in states.items():
        # Rows that are deleted and not erased yet are still counted by the store.
        held = sum(holding.rows for holding in holdings.get(partition, {}).values())
        rows, name = max(0, held - pending.get(partition, 0)), places.shard_name(partition)
        shard = Shard(name, rows, reached.get(name, NOTHING) + 1, rows_ever=state.rows)
        shard.sealed_rows = sealed.get(partition, 0)
        status.shards.append(shard)
    status.contexts = sorted(store.contexts())
    status.solver = RedisLeaseStore(connection).holder("solver")
    published.read(status, RedisWeightsStore(connection))
