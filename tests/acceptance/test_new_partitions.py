"""New partitions under running workers."""

from __future__ import annotations

import time

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from hurnet_schemas import Query, TextEvent
from tests.acceptance.system import PARTITIONS, System, system_is_busy, wait_for


def test_new_partitions_are_worked_on_within_ten_seconds(system: System) -> None:
    kafka = system.settings.kafka
    workers = [system.start(name).wait_ready() for name in ("ingest", "responder")]
    with (
        KafkaAdminClient(bootstrap_servers=kafka.bootstrap) as admin,
        KafkaProducer(bootstrap_servers=kafka.bootstrap, metadata_max_age_ms=100) as producer,
    ):
        grown = PARTITIONS + 2
        admin.create_partitions({kafka.texts: grown, kafka.queries: grown})
        began = time.monotonic()
        for topic, sent in ((kafka.texts, TextEvent(text="new")), (kafka.queries, Query(text="new", id="q"))):
            wait_for(lambda topic=topic: len(producer.partitions_for(topic)) == grown)  # type: ignore[misc]
            producer.send(topic, sent.encode(), partition=grown - 1).get(60)
        wait_for(lambda: "new" in system.texts_in_store(), what="the text of a new partition")
        wait_for(lambda: "q" in {answer.id for answer in system.answers()}, what="its query's answer")
        assert time.monotonic() - began < 12 or system_is_busy()  # ten, and what looking takes
    for worker in workers:
        worker.wait_ready()
        assert worker.terminate() == 0
