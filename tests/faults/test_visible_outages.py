"""A server that is away shows: each worker's /readyz says which and since when, the log says when it went and
when it came back, and after `give_up` the worker ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hurnet_stream.local import KafkaServer, ValkeyServer
from tests.acceptance.system import Running, System, lines, metric, wait_for
from tests.conftest import QUICK_GROUPS


@pytest.fixture
def kafka() -> Iterator[KafkaServer]:
    with KafkaServer(settings=QUICK_GROUPS) as server:
        yield server


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


def unready(worker: Running, words: str) -> bool:
    status, body = worker.get("/readyz")
    return status == 503 and words in body


def events(worker: Running, *wanted: str) -> list[str]:
    """Without those that say again, after a minute, what was said last."""
    told = [line["event"] for line in lines(worker.said()) if line["event"].startswith(wanted)]
    return [event for event, _ in itertools.groupby(told)]


def test_kafka_and_redis_away(kafka: KafkaServer, valkey: ValkeyServer, unique: str, tmp_path: Path) -> None:
    quick = {"HURNET_LIFECYCLE_RETRY_MOST": "0.5"}
    with System(kafka.bootstrap, valkey.url, unique, tmp_path, **quick) as system:
        system.create_topics()
        ingest, responder, solver = (system.start(name) for name in ("ingest", "responder", "solver"))
        for worker in (ingest, responder, solver):
            worker.wait_ready()
        began = time.monotonic()
        kafka.stop()
        for worker in (ingest, responder):
            wait_for(partial(unready, worker, "Kafka failing for"), what="Kafka told")
            exposition = worker.get("/metrics")[1]
            assert metric(exposition, "hurnet_ready") == 0
            assert 'hurnet_transient_errors_total{dependency="kafka"' in exposition
        assert solver.get("/readyz")[0] == 200
        kafka.start()
        for worker in (ingest, responder):
            worker.wait_ready()
        valkey.kill()
        for worker in (ingest, responder, solver):
            wait_for(partial(unready, worker, "Redis failing for"), what="Redis told")
        valkey.start()
        for worker in (ingest, responder, solver):
            worker.wait_ready()
        for worker in (ingest, responder):
            assert events(worker, "Kafka is", "Redis is") == [
                "Kafka is failing; trying again until it is back",
                "Kafka is back",
                "Redis is failing; trying again until it is back",
                "Redis is back",
            ]
            said = worker.said()
            whole = said[: said.rfind("\n") + 1]  # the last line may be half written
            libraries = [line for line in lines(whole) if "logger" in line]
            minutes = (time.monotonic() - began) // 60
            assert len(libraries) <= 25 * (1 + minutes), libraries
            assert len(whole.splitlines()) == len(lines(whole))


def test_kafka_away_for_too_long_ends_them(
    kafka: KafkaServer, valkey_url: str, unique: str, tmp_path: Path
) -> None:
    with System(kafka.bootstrap, valkey_url, unique, tmp_path, HURNET_LIFECYCLE_GIVE_UP="5") as system:
        system.create_topics()
        workers = [system.start(name).wait_ready() for name in ("ingest", "responder")]
        kafka.kill()
        for worker in workers:
            assert worker.wait_end() == 1
            assert "gave up after" in worker.said()
