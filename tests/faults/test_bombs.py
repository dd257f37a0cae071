"""Messages that are small on the wire and enormous when they are unpacked, under running workers."""

from __future__ import annotations

from kafka import KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet_schemas import Query, TextEvent
from tests.acceptance.system import PARTITIONS, Running, System, metric, wait_for

BOMBS = 4
"""Each is 128 MiB when it is unpacked."""


def test_bombs_take_no_memory_and_cost_nobody_anything(system: System) -> None:
    kafka = system.settings.kafka
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap) as admin:
        as_they_come = {"compression.type": "producer"}
        admin.alter_configs([ConfigResource("topic", kafka.queries, configs=as_they_come)])
    workers = [system.start(name).wait_ready() for name in ("ingest", "responder")]
    system.teach([TextEvent(text="a good one", answer="yes")] * 30)
    wait_for(lambda: len(system.texts_in_store()) == 30, what="the first texts")
    before = [resident(worker) for worker in workers]
    size = 128 << 20
    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap,
        compression_type="gzip",
        max_request_size=2 * size,
    ) as producer:
        for n in range(BOMBS):
            for topic in (kafka.texts, kafka.queries):
                producer.send(topic, bytes(size), partition=n % PARTITIONS).get(120)
    system.teach([TextEvent(text="another good one", answer="yes")] * 30)
    system.ask([Query(text="a good one", id=f"q{n}") for n in range(6)])
    wait_for(lambda: len(system.texts_in_store()) == 60, what="the texts behind the bombs")
    wait_for(lambda: {f"q{n}" for n in range(6)} <= {a.id for a in system.answers()}, what="answers")
    letters = system.dead_letters()
    assert {letter.reason for letter in letters} == {"too-large"}
    assert len(letters) == 2 * BOMBS
    for worker, was in zip(workers, before, strict=True):
        worker.wait_ready()
        assert resident(worker) - was < 96 << 20
        assert worker.terminate() == 0


def resident(worker: Running) -> float:
    page = wait_for(lambda: worker.get("/metrics")[1], what="its metrics")
    return metric(page, "process_resident_memory_bytes")
