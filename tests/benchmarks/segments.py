"""Sealed rows: what stays of them in Redis, how long sealing takes, and how fast they are read back.

Rows with hashed vectors and the demo's texts go into one shard of a real Valkey, half of the runs under a
key of their own. Then all are sealed into a folder. Memory is `MEMORY USAGE` of all keys of the store, the
solver's excluded: no solver runs. `--rows 1000000` chooses another number.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect
from hurnet_stream.adapters.segments import segments_at
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, EmbedderIdentity, Entry, ShardState
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.local import ValkeyServer
from hurnet_stream.ports import Checkpoint
from hurnet_stream.settings.segments import SegmentSettings
from hurnet_stream.settings.settings import RedisSettings
from tests.benchmarks._report import Report, main

DIMENSION: Final = 512
BATCH: Final = 256
OPTIONS = argparse.Namespace(rows=200_000)
SERVERS: Final = {"valkey": None, "redis": "redis-server"}


def measure(rounds: int) -> Report:
    report, rows = Report(), []
    for name, binary in SERVERS.items():
        for keyed in (False, True):
            figures = _of_one(binary, keyed, rounds)
            kind = "keyed" if keyed else "plain"
            report.figures |= {f"{name}_{kind}_{figure}": value for figure, value in figures.items()}
            rows += [(name, kind, figure, f"{value:.4g}") for figure, value in figures.items()]
    report.table(f"{OPTIONS.rows:,} rows, d = {DIMENSION}", ["server", "rows", "figure", ">"], rows)
    return report


def _of_one(binary: str | None, keyed: bool, rounds: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(binary=binary, settings={"appendfsync": "no"}) as server,
        closing(_opened(server.url, folder)) as store,
    ):
        count = _fill(store, keyed)
        client = store.connection.client
        figures["before_bytes_a_row"] = _memory(client) / count
        figures["load_redis_rows_per_s"] = max(_loaded(server.url, folder, count) for _ in range(rounds))
        weights = RedisWeightsStore(store.connection)
        weights.claim("bench")
        checkpoint = Checkpoint(shards={0: ShardState(count - 1, count, "e")})
        weights.save_checkpoint(checkpoint)
        much = Sealing(65_536, 0, 1 << 50)
        with _timed(figures, "seal_rows_per_s", count):
            while store.seal(much, "bench", checkpoint.stamp):
                pass
        sealed = store.sealed()[0]
        # What is left of less than one segment is in Redis as before: it is not what is measured.
        left = (count - sealed) * figures["before_bytes_a_row"]
        figures["after_bytes_a_row"] = (_memory(client) - left) / sealed
        figures["file_bytes_a_row"] = sum(f.stat().st_size for f in Path(folder).rglob("*.arrow")) / sealed
        figures["load_files_rows_per_s"] = max(_loaded(server.url, folder, count) for _ in range(rounds))
        figures["entry_ms"] = _entry_ms(store, sealed)
        store.delete(0, Deletion(count, 0, targets=(3, sealed - 5)), count - 1)
        checkpoint = Checkpoint(shards={0: ShardState(count, count, "e")})
        weights.save_checkpoint(checkpoint)
        began = time.perf_counter()
        store.erase(100, "bench", checkpoint.stamp)
        figures["erase_s_a_segment"] = (time.perf_counter() - began) / 2
    return figures


def _opened(url: str, folder: str) -> RedisEntryStore:
    return RedisEntryStore(connect(RedisSettings(url=url), segments_at(SegmentSettings(url=folder))))


def _fill(store: RedisEntryStore, keyed: bool) -> int:
    store.open(EmbedderIdentity("bench", "f" * 64, DIMENSION))
    random = np.random.default_rng(0)
    vectors = random.integers(-2_000, 2_000, (BATCH, DIMENSION), np.int16)
    count: int = OPTIONS.rows // BATCH * BATCH
    for first in range(0, count, BATCH):
        entries = [
            Entry(n, n, "default", f"where is the order with the number {n}, please", f"answer {n % 500}")
            for n in range(first, first + BATCH)
        ]
        keys = [random.bytes(16) for _ in entries] if keyed else []
        store.append(Batch(0, first + BATCH - 1, entries, vectors, keys=keys), first - 1)
    return count


def _memory(client: Any) -> int:
    names = [name for name in client.scan_iter("hurnet:*") if b"{solver}" not in name]
    total = 0
    for name in names:
        total += client.memory_usage(name, samples=0) or 0
    return total


def _loaded(url: str, folder: str, count: int) -> float:
    """Rows a second that a reader is given, from the first to the last."""
    with closing(_opened(url, folder)) as store:
        store.states()
        began, position, rows = time.perf_counter(), NOTHING, 0
        while rows < count:
            batches = store.tail({0: position}, 32).batches
            rows += sum(len(batch.entries) for batch in batches)
            position = batches[-1].watermark
        return rows / (time.perf_counter() - began)


def _entry_ms(store: RedisEntryStore, rows: int) -> float:
    chosen = np.random.default_rng(1).integers(0, rows, 50).tolist()
    began = time.perf_counter()
    for offset in chosen:
        assert store.entry(0, offset)
    return 1000 * (time.perf_counter() - began) / len(chosen)


@contextmanager
def _timed(figures: dict[str, float], name: str, count: int) -> Iterator[None]:
    began = time.perf_counter()
    yield
    figures[name] = count / (time.perf_counter() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, help="in the shard (default: 200000)")
    main(measure, rounds=2, parser=parser, into=OPTIONS)
