"""What workers show of the flows that they are part of, and of what they hold: no more than is so."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest
from prometheus_client import Metric

from hurnet_schemas import Query, TextEvent
from hurnet_stream.adapters.kafka.reading.others import Others
from hurnet_stream.adapters.kafka.reading.retention import Limits, Retention
from hurnet_stream.adapters.redis.primary import _state
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.stored.entries import Entries, Entry
from hurnet_stream.errors import TransientError
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.registry import CONTEXTS_SHOWN, OTHERS, Registry
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.solver import SolverMetrics
from hurnet_stream.ports import EndOffsets, OffsetRange, StoreServer
from hurnet_stream.settings.settings import KafkaSettings
from tests.worlds import ingest as ingesting
from tests.worlds import responder as responding
from tests.worlds import solver as solving

Labels = tuple[tuple[str, str], ...]


def shown(metrics: Registry, name: str) -> dict[Labels, float]:
    """The series of a gauge or a counter, by their labels."""
    families: list[Metric] = list(metrics.registry.collect())
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"hurnet_{name}"
    }


def by(label: str, series: Mapping[Labels, float]) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in series.items()}


def test_the_same_offset_is_shown_by_whoever_appends_folds_and_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solving, "EMBEDDER", responding.EMBEDDER)  # one store, one embedder
    world = ingesting.World(embedder=responding.EMBEDDER)
    worker = world.worker()
    world.send(*[TextEvent(text=f"question {i}", answer=f"answer {i % 2}") for i in range(3)])
    ingesting.turn(worker)
    assert by("partition", shown(world.metrics, "watermark_offset")) == {"0": 2}
    assert shown(world.metrics, "kafka_lag_records") == {
        (("partition", p), ("topic", "texts")): 0 for p in "01"
    }
    assert shown(world.metrics, "partitions_assigned") == {(): 2}
    assert shown(world.metrics, "rebalances_total") == {(): 1}
    solver = solving.World(world.redis).solver()
    solver.step()
    assert by("partition", shown(solver._metrics, "watermark_offset")) == {"0": 2}
    responder = responding.World(world.kafka, world.redis).responder()
    responding.turn(responder)
    assert by("partition", shown(responder._metrics, "watermark_offset")) == {"0": 2}


def test_partitions_that_another_worker_took_leave_no_series() -> None:
    world = ingesting.World()
    first = world.worker()
    world.send(TextEvent(text="a"), partition=0)
    world.send(TextEvent(text="b"), partition=1)
    ingesting.turn(first)
    assert by("partition", shown(world.metrics, "watermark_offset")) == {"0": 0, "1": 0}
    shared, world.metrics = world.metrics, IngestMetrics()
    second = world.worker()
    for _ in range(9):
        ingesting.turn(first, 1)
        ingesting.turn(second, 1)
    for metrics in (shared, world.metrics):
        assert len(shown(metrics, "watermark_offset")) <= 1
        assert len(shown(metrics, "kafka_lag_records")) == 1
        assert shown(metrics, "partitions_assigned") == {(): 1}


def test_what_is_left_to_do_grows_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ingesting.World()
    worker = world.worker()
    world.send(*ingesting.numbered(0, 3))
    ingesting.turn(worker)
    assert by("partition", shown(world.metrics, "kafka_lag_records")) == {"0": 0, "1": 0}

    def away(*_: object, **__: object) -> None:
        raise TransientError("away")

    with monkeypatch.context() as patched:
        patched.setattr(worker._store, "append", away)
        world.send(*ingesting.numbered(3, 10))
        ingesting.turn(worker, 3)
        assert by("partition", shown(world.metrics, "kafka_lag_records")) == {"0": 7, "1": 0}
        patched.setattr(worker._store, "incarnation", away)
        world.send(*ingesting.numbered(10, 12))
        ingesting.turn(worker, 3)
        assert by("partition", shown(world.metrics, "kafka_lag_records")) == {"0": 9, "1": 0}
    ingesting.turn(worker, 20)
    assert by("partition", shown(world.metrics, "kafka_lag_records")) == {"0": 0, "1": 0}
    assert by("partition", shown(world.metrics, "watermark_offset")) == {"0": 11}


def test_a_worker_that_is_closed_to_begin_anew_leaves_nothing_that_it_knew() -> None:
    world = responding.World()
    world.teach(*responding.PAIRS)
    world.solve()
    responder = world.responder()
    responding.turn(responder)
    metrics = responder._metrics
    metrics.mix_in_force("default", 1, 5.0, {"once": 0.5})
    names = ("watermark_offset", "context_rows", "weights_version", "certificate", "mix_version")
    assert all(shown(metrics, name) for name in (*names, "kafka_lag_records"))
    metrics.forget()
    assert not any(shown(metrics, name) for name in (*names, "kafka_lag_records"))
    responding.turn(responder, 1)
    assert by("partition", shown(metrics, "watermark_offset")) == {"0": len(responding.PAIRS) - 1}


def test_only_the_solver_that_leads_shows_what_it_leads() -> None:
    world = solving.World()
    world.append(*solving.pairs(0, 4))
    first, second = world.solver(lease=20), world.solver(lease=20)
    for solver in (first, second):
        solver.step()
    leading, standing_by = first._metrics, second._metrics
    assert (shown(leading, "leader"), shown(standing_by, "leader")) == ({(): 1}, {(): 0})
    saved_s = shown(leading, "checkpoint_timestamp_seconds")[()]
    assert abs(saved_s - time.time()) < 60
    for name in ("checkpoint_timestamp_seconds", "watermark_offset", "weights_version", "context_rows"):
        assert shown(leading, name), name
        assert not shown(standing_by, name), name
    first.drain()
    deadline = time.monotonic() + 20
    while not second._leading.leads() or not shown(standing_by, "watermark_offset"):
        assert time.monotonic() < deadline
        second.step()
    first.step()
    for name in ("checkpoint_timestamp_seconds", "watermark_offset", "lag_rows", "weights_version"):
        assert not shown(leading, name), f"{name} is the other's now"
    assert shown(leading, "leader") == {(): 0}


def test_a_deletion_is_pending_from_when_it_is_stored_until_it_is_erased() -> None:
    world = solving.World()
    world.append(*solving.pairs(0, 6))
    solver = world.solver()
    solver.step()
    assert by("partition", shown(solver._metrics, "deletions_pending")) == {"0": 0}
    assert not shown(solver._metrics, "oldest_deletion_timestamp_seconds")
    responding.World.delete(world, [2])  # type: ignore[arg-type] # it needs the store alone
    solver._showing.deletions()
    assert by("partition", shown(solver._metrics, "deletions_pending")) == {"0": 1}
    seen_s = shown(solver._metrics, "oldest_deletion_timestamp_seconds")[()]
    assert abs(seen_s - time.time()) < 60, "its timestamp is 0, which tells nothing"
    solver._metrics.show_deletions({0: 1}, 5)
    assert shown(solver._metrics, "oldest_deletion_timestamp_seconds") == {(): seen_s}
    an_hour_ago_ms = int(time.time() - 3_600) * 1000
    solver._metrics.show_deletions({0: 1}, an_hour_ago_ms)
    assert shown(solver._metrics, "oldest_deletion_timestamp_seconds") == {(): an_hour_ago_ms / 1000}
    for _ in range(3):
        solver.step()
    assert by("partition", shown(solver._metrics, "deletions_pending")) == {"0": 0}
    assert not shown(solver._metrics, "oldest_deletion_timestamp_seconds")


def test_an_answer_leaves_its_age_its_score_and_its_probability() -> None:
    world = responding.World()
    world.teach(*responding.PAIRS)
    world.ask(Query(text=responding.PAIRS[0][0]), Query(text="?!"), b"no query")
    responder = world.responder()
    responding.turn(responder)
    ages = by("outcome", shown(responder._metrics, "query_age_seconds_count"))
    assert ages == {"answered": 1, "abstained": 1, "rejected": 1, "timed-out": 0}
    assert shown(responder._metrics, "answer_score_count")[()] >= 1
    best = next(a for a in world.answers() if a.outcome == "answered").candidates[0].scores.combined
    assert shown(responder._metrics, "answer_score_sum")[()] >= best
    with_probability = [a for a in world.answers() if a.receipt and a.receipt.probability is not None]
    assert shown(responder._metrics, "answer_probability_count")[()] == len(with_probability)
    assert shown(responder._metrics, "oldest_query_waiting_seconds") == {(): 0}


def test_a_parked_query_is_seen_to_wait() -> None:
    world = responding.World()
    world.teach(*responding.PAIRS)
    world.ask(Query(text="later", min_watermarks={0: 99}, timeout_ms=60_000))
    responder = world.responder(wait=60)
    responding.turn(responder, 3)
    time.sleep(0.02)
    assert 0.02 <= shown(responder._metrics, "oldest_query_waiting_seconds")[()] < 60


def test_why_a_delivery_was_rolled_back_is_counted() -> None:
    world = responding.World()
    world.teach(*responding.PAIRS)
    responder = world.responder()
    responding.turn(responder, 2)
    world.ask(Query(text="turn on the kitchen light"))
    world.kafka.fail(2)
    responding.turn(responder, 1)
    assert by("partition", shown(responder._metrics, "kafka_lag_records"))["0"] == 1, "it has no reply yet"
    time.sleep(0.01)
    assert shown(responder._metrics, "oldest_query_waiting_seconds")[()] >= 0.01
    responding.turn(responder)
    assert by("partition", shown(responder._metrics, "kafka_lag_records"))["0"] == 0
    assert shown(responder._metrics, "oldest_query_waiting_seconds") == {(): 0}
    counted = by("reason", shown(responder._metrics, "transactions_aborted_total"))
    assert {reason: times for reason, times in counted.items() if times} == {"broker": 2}
    assert len(world.answers()) == 1


def test_so_many_contexts_are_shown_by_name_and_the_others_together() -> None:
    metrics = ResponderMetrics()
    rows = {f"context {i:04}": i for i in range(CONTEXTS_SHOWN + 50)}
    metrics.set_context_rows(rows)
    series = by("context", shown(metrics, "context_rows"))
    assert len(series) == CONTEXTS_SHOWN + 1
    assert series[OTHERS] == sum(range(CONTEXTS_SHOWN, CONTEXTS_SHOWN + 50))
    assert sum(series.values()) == sum(rows.values())
    for context in rows:
        metrics.weights_in_force(context, 1, 5.0, {"condition": 2.0})
        metrics.mix_in_force(context, 1, 5.0, {"once": 0.5})
    for name in ("weights_version", "weights_published_timestamp_seconds", "certificate", "mix_version"):
        assert len(shown(metrics, name)) == CONTEXTS_SHOWN, name
    del rows["context 0007"]
    metrics.set_context_rows(rows)
    series = by("context", shown(metrics, "context_rows"))
    assert "context 0007" not in series
    assert len(series) == CONTEXTS_SHOWN + 1, "its place is another's now"


def test_contexts_that_come_and_go_do_not_flood_the_counters() -> None:
    metrics = ResponderMetrics()
    for number in range(CONTEXTS_SHOWN + 5):
        context = f"c{number}"
        metrics.set_context_rows({context: 1})  # the one before was dropped
        metrics.scored.labels(metrics.counted_as(context), "answered").inc()
    counted = by("context", shown(metrics, "scored_queries_total"))
    assert len(counted) == CONTEXTS_SHOWN + 1
    assert (counted["c0"], counted[OTHERS]) == (1, 5)


def test_an_index_tells_what_it_takes_of_memory() -> None:
    index = ContextIndex(64)
    assert index.nbytes < 100_000
    drawn = np.random.default_rng(0).integers(1, 90, (3_000, 64), dtype=np.int16)
    rows = [Entry(i, 0, "c", f"text number {i} with its own words{i}", f"a{i}") for i in range(3_000)]
    index.append(0, Entries.of(rows), drawn)
    # Vectors in 16 bits and their planes in 8 alone, which are made for whole blocks.
    assert 3_000 * 64 * 3 < index.nbytes < 16_384 * 64 * 4 + 3_000 * 1_000
    metrics = ResponderMetrics()
    metrics.set_index_bytes({"c": index.nbytes})
    assert by("context", shown(metrics, "index_bytes")) == {"c": index.nbytes}


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        ({"cleanup.policy": "delete", "retention.ms": "1000"}, Limits(1_000, None)),
        ({"cleanup.policy": "compact,delete", "retention.ms": "-1", "retention.bytes": "9"}, Limits(None, 9)),
        ({"cleanup.policy": "compact", "retention.ms": "1000"}, Limits(None, None)),
        ({}, Limits(None, None)),
    ],
)
def test_what_a_topic_keeps_is_read_from_its_settings(config: dict[str, str], limits: Limits) -> None:
    assert Limits.of(config) == limits


def test_what_is_left_of_a_retention_is_a_share() -> None:
    assert Limits(1_000, None).left_by_time(250) == 0.75
    assert Limits(1_000, None).left_by_time(5_000) == 0
    assert Limits(1_000, None).left_by_time(-5) == 1
    held = OffsetRange(100, 200)
    assert Limits(None, 1_000).left_by_bytes(150, held, 800) == 0.6
    assert Limits(None, 1_000).left_by_bytes(100, held, 2_000) == 0
    assert Limits(None, 1_000).left_by_bytes(150, held, None) == 0.5, "it has dropped some, so it is full"
    assert Limits(None, 1_000).left_by_bytes(0, OffsetRange(0, 9), None) == 1, "nobody knows"
    assert Limits(5, None).left_by_bytes(150, held, 800) == 1


def test_the_retention_of_new_partitions_is_asked_for_soon_and_then_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    now = 1_000.0

    class Notes:
        def ask(self, about: str, question: object) -> None:
            asked.append(about)

    monkeypatch.setattr("hurnet_stream.adapters.kafka.reading.retention.time.monotonic", lambda: now)
    retention = Retention(KafkaSettings(), "texts", Notes())  # type: ignore[arg-type]
    counts = []
    for owned, placed in ((set(), {}), ({0}, {}), ({0}, {0: 5}), ({0}, {0: 6}), ({0, 1}, {0: 6, 1: 0})):
        for _ in range(10):
            now += 1.5
            retention.headroom(owned, lambda placed=placed: placed)  # type: ignore[misc]
        counts.append(len(asked))
    assert counts == [0, 0, 1, 1, 2], "nothing is assigned, not placed yet, placed, asked lately, one more"


def test_a_group_reads_all_only_if_that_was_heard_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    class NeverAsks:
        def ask(self, about: str, question: object) -> None: ...

    others = Others(KafkaSettings(), "texts", "group", NeverAsks())  # type: ignore[arg-type]
    ends = EndOffsets(0.0, {0: 5, 1: 5}, {0: 5, 1: 5})
    assert not others.read_all(ends)
    others._read, others._answered = frozenset({0, 1}), time.monotonic()
    assert others.read_all(ends)
    assert not others.read_all(None)
    assert not others.read_all(EndOffsets(0.0, {0: 5, 1: 5, 2: 0}, {}))
    others._answered -= 60
    assert not others.read_all(ends)


def test_a_server_of_the_store_is_well_if_its_last_writes_were() -> None:
    info = {"used_memory": "5", "maxmemory": "0", "connected_slaves": "2"}
    well = {"aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok"}
    assert _state(info | well) == StoreServer(5, 0, True, 2)
    assert _state(info | well | {"aof_last_bgrewrite_status": "err"}).saved is False
    assert _state(info) == StoreServer(5, 0, None, 2)
    assert _state({}) == StoreServer()


def test_what_is_not_known_of_a_server_has_no_series() -> None:
    metrics, world = SolverMetrics(), solving.World()
    metrics.show_server(world.store)
    for name in ("store_memory_bytes", "store_memory_max_bytes", "store_saved", "store_replicas"):
        assert not shown(metrics, name)
