"""What those measure who use the store: ingest, the solver, responders."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Gauge

from hurnet_stream.metrics.registry import Registry
from hurnet_stream.places import Places
from hurnet_stream.ports import EntryStore

STORE = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class StoreMetrics(Registry):
    """How long the store takes, how far this worker is in each shard, and how the store's server is."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places.only("texts")
        self.store_seconds = self._histogram(
            "store_seconds",
            "Seconds of a call of the store, by what it does (append, delete, erase, compact, tail, read, "
            "admit, note, save, load, publish, lease, request) and how it went (ok; refused, since another "
            "worker was quicker; failed). A tail that waits for rows counts the wait.",
            STORE,
            ("op", "outcome"),
        )
        self._watermark = self._gauge(
            "watermark_offset",
            "The last offset of each partition of texts, or of another topic (tickets/3), that this worker "
            "is done with: ingest has appended it, the solver has folded it into the statistics, a responder "
            "answers with it. The difference between two roles says which one is behind.",
            "partition",
        )
        self._memory = self._optional_gauge(
            "store_memory_bytes",
            "Bytes of memory that the server of the store uses, as of 10 s ago; of a cluster, the fullest.",
        )
        self._memory_max = self._optional_gauge(
            "store_memory_max_bytes",
            "Bytes of memory that the server of the store may use (its maxmemory); 0: no limit is set. Of a "
            "cluster, the server that is fullest.",
        )
        self._saved = self._optional_gauge(
            "store_saved",
            "1 while the last write and rewrite of the append-only file and the last snapshot of the store's "
            "server were well, 0 if one of them failed; of a cluster, those of all servers with shards.",
        )
        self._replicas = self._optional_gauge(
            "store_replicas",
            "Replicas that are connected to the server of the store; of a cluster, the fewest of a server.",
        )

    def name_by(self, places: Places) -> None:
        """From now on shards are called so: 2, or tickets/3."""
        self.places = places

    def set_by_shard(self, gauge: Gauge, values: Mapping[int, float]) -> None:
        """Show exactly these shards."""
        self.set_by_partition(
            gauge, {self.places.shard_name(shard): value for shard, value in values.items()}
        )

    def show_watermarks(self, watermarks: Mapping[int, int]) -> None:
        """Show exactly these shards, without those of which nothing is done."""
        self.set_by_partition(self._watermark, self.places.seen(watermarks))

    def show_server(self, store: EntryStore) -> None:
        """What the server last said of itself. What is not known is not shown."""
        server = store.server()
        self._memory.value = server.memory_bytes
        self._memory_max.value = server.memory_max_bytes
        self._saved.value = server.saved
        self._replicas.value = server.replicas

    def store_called(self, op: str, outcome: str, seconds: float) -> None:
        """A call of the store has ended."""
        self.store_seconds.labels(op, outcome).observe(seconds)
