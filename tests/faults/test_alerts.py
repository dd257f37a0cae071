"""Each alert is made to fire by a real fault in a real system, and goes out after the mend.

Times are a thirtieth of the real ones (see watched.py): ten seconds here are five minutes. What the tests
print is the table in docs/slo.md.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.protocol.admin.client_quotas import AlterClientQuotasRequest

from hurnet_schemas import TextEvent
from hurnet_stream.local import ValkeyServer
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import PARTITIONS, wait_for
from tests.faults.watched import LATE, Watched, asking
from tests.stand_ins import admin

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def watching(
    kafka_bootstrap: str, valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    name = f"alerts-{time.time_ns()}"
    with Watched(kafka_bootstrap, valkey, name, tmp_path_factory.mktemp("alerts")) as watched:
        yield watched


@pytest.fixture
def watched(watching: Watched) -> Watched:
    """What the last fault has left is over."""
    watching.wait_quiet()
    return watching


@pytest.fixture
def kafka(kafka_bootstrap: str) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=kafka_bootstrap.split(","))
    yield client
    client.close()


def alter(kafka: KafkaAdminClient, topic: str, name: str, value: str) -> None:
    kafka.alter_configs([ConfigResource("topic", topic, configs={name: value})])


def limit_producers(kafka: KafkaAdminClient, bytes_a_second: float | None) -> None:
    """Set a quota for each client, or take it away. kafka-python has the request, and no method for it."""
    quota = AlterClientQuotasRequest.EntryData.OpData(
        key="producer_byte_rate", value=bytes_a_second or 0.0, remove=bytes_a_second is None
    )
    everybody = AlterClientQuotasRequest.EntryData.EntityData(entity_type="client-id", entity_name=None)
    entry = AlterClientQuotasRequest.EntryData(entity=[everybody], ops=[quota])
    manager = kafka._manager
    response = manager.run(manager.send, AlterClientQuotasRequest(entries=[entry], validate_only=False))
    assert [each.error_code for each in response.entries] == [0], response


def wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def test_a_system_that_is_well_raises_nothing(watched: Watched) -> None:
    """But on a machine that is too busy texts and answers are late, and the alerts that say so are right."""
    wait(15)
    wait_for(lambda: watched.firing() <= LATE, what="what a machine that stood still has raised is over")
    assert watched.unhealthy_rules() == []


def test_the_responder_is_killed(watched: Watched) -> None:
    alerts = "HurnetRoleNotReady/down", "HurnetAnswersFastBurn", "HurnetAnswersSlowBurn"
    with asking(watched.http):
        with watched.shows("responder killed", *alerts, "HurnetGatewayFailing"):
            watched.workers["responder"].kill()
        watched.restart("responder")
        watched.gone()


def test_the_store_hangs(watched: Watched, valkey: ValkeyServer) -> None:
    alerts = "HurnetRoleNotReady/unready", "HurnetFreshnessFastBurn", "HurnetFreshnessSlowBurn"
    try:
        with watched.shows("Valkey stopped (SIGSTOP)", *alerts):
            os.kill(valkey.pid, signal.SIGSTOP)
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    watched.gone()


def test_the_responder_gets_little_of_the_processor(watched: Watched) -> None:
    with watched.shows("responder paused for 1 s again and again", "HurnetLatencyBurn"):
        for _ in range(12):
            with watched.paused("responder"):
                wait(1.0)
            wait(0.6)
    watched.gone()


def test_a_producer_sends_garbage(watched: Watched) -> None:
    topic = watched.system.settings.kafka.texts
    with watched.shows("a producer of garbage", "HurnetDeadLetters"), watched.system.sink() as sink:
        sink.send([Outgoing(topic, b"\xff garbage", partition=n % PARTITIONS) for n in range(60)])
    watched.gone()


def test_the_solver_hangs_while_texts_are_deleted(watched: Watched) -> None:
    alerts = "HurnetWorkerStuck/mute", "HurnetRoleNotReady/down", "HurnetDeletionOverdue/no-solver"
    topic = watched.system.settings.kafka.texts
    with watched.paused("solver"), watched.shows("solver stopped (SIGSTOP), a deletion", *alerts):
        text = TextEvent(text="to be forgotten", answer="soon").encode()
        with watched.system.sink() as sink:
            sink.send([Outgoing(topic, text, key=b"k", partition=0)])
            sink.send([Outgoing(topic, None, key=b"k", partition=0)])
    watched.gone()


def test_a_turn_of_ingest_hangs(watched: Watched) -> None:
    watched.restart("ingest", poisoned="hang")
    with watched.shows("ingest hangs in a text", "HurnetWorkerStuck/hung"):
        watched.system.teach([TextEvent(text="poison")])
    watched.restart("ingest")
    watched.gone()


def test_ingest_is_slower_than_old_texts_come(watched: Watched, kafka: KafkaAdminClient) -> None:
    """Nine minutes old, in a topic that keeps them for ten (its broker looks for old ones once a day)."""
    topic = watched.system.settings.kafka.texts
    text, at = TextEvent(text="an old text").encode(), int((time.time() - 540) * 1000)
    fault = "9,000 old texts, HURNET_INGEST_BATCH=1, retention.ms=600000"
    try:
        with watched.shows(fault, "HurnetFallingBehind/kafka", "HurnetRetentionShort"):
            watched.workers["ingest"].kill()
            alter(kafka, topic, "retention.ms", "600000")
            with watched.system.sink() as sink:
                for _ in range(18):
                    old = [
                        Outgoing(topic, text, partition=n % PARTITIONS, timestamp_ms=at) for n in range(500)
                    ]
                    sink.send(old)
            watched.start("ingest", HURNET_INGEST_BATCH="1")
    finally:
        alter(kafka, topic, "retention.ms", "-1")
    watched.restart("ingest")
    watched.gone()


def test_the_canary_hangs(watched: Watched) -> None:
    with watched.paused("canary"), watched.shows("canary stopped (SIGSTOP)", "HurnetCanarySilent/absent"):
        pass
    watched.gone()


def test_the_only_slice_was_never_started(watched: Watched) -> None:
    with watched.shows("HURNET_SLICES_COUNT=1, and no slice runs", "HurnetSliceAway"):
        watched.workers["responder"].kill()
        watched.start("responder", HURNET_SLICES_COUNT="1")
    watched.restart("responder")
    watched.gone()


def test_a_quota_makes_transactions_longer_than_their_deadline(
    watched: Watched, kafka: KafkaAdminClient
) -> None:
    try:
        with watched.shows("a quota of 100 bytes/s for producers", "HurnetAnswersRolledBack"):
            limit_producers(kafka, 100)
    finally:
        limit_producers(kafka, None)
    watched.gone()


def test_the_solver_never_solves(watched: Watched) -> None:
    watched.restart("solver", HURNET_SOLVE_INTERVAL="3600", HURNET_SOLVE_ROWS="1000000")
    with watched.shows("HURNET_SOLVE_INTERVAL=3600", "HurnetWeightsStale/old"):
        pass
    watched.restart("solver")
    watched.gone()


def test_the_store_is_nearly_full_and_can_not_save(watched: Watched, valkey: ValkeyServer) -> None:
    in_the_way = valkey.data / "dump.rdb"  # a folder, where the snapshot should become a file
    with admin(valkey) as client:
        used = int(client.info("memory")["used_memory"])
        alerts = "HurnetStoreAtRisk/memory", "HurnetStoreAtRisk/not-saved"
        with watched.shows("maxmemory near, a snapshot fails", *alerts):
            client.config_set("maxmemory", int(used / 0.88))
            in_the_way.mkdir()
            client.bgsave()
        in_the_way.rmdir()
        client.config_set("maxmemory", 0)
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok", what="saved")
    watched.gone()


def test_a_text_is_lost_from_the_store(watched: Watched, valkey: ValkeyServer) -> None:
    stream = f"{watched.system.variables['HURNET_REDIS_PREFIX']}:{{shard-0}}:stream"
    with admin(valkey) as client, watched.paused("ingest"):
        backup = client.dump(stream)
        with watched.shows("an item removed from a shard", "HurnetTextsLost/different"):
            (last,) = client.xrevrange(stream, count=1)
            client.xdel(stream, last[0])
        client.restore(stream, 0, backup, replace=True)
    watched.gone()


def test_an_answer_is_copied(watched: Watched) -> None:
    topic = watched.system.settings.kafka.canary_answers
    with watched.shows("a copy of an answer", "HurnetAnsweredTwice"), watched.system.sink() as sink:
        last = max(watched.system.read(topic), key=lambda record: record.timestamp)
        sink.send([Outgoing(topic, last.value, headers=tuple(last.headers), partition=last.partition)])
    watched.gone()
