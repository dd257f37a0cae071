"""The bare broker's peer: a plain kafka-python consumer and producer that send every record back, the least
that any responder must do. Run as `python -m tests.benchmarks._echo BOOTSTRAP FROM TO plain|transactions`."""

from __future__ import annotations

import sys
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata

from hurnet_stream.adapters.kafka.client.connection import connect
from hurnet_stream.settings.settings import KafkaSettings, ResponderSettings

BATCH = ResponderSettings().batch


def main(bootstrap: str, source: str, target: str, mode: str) -> None:
    """Until killed. With transactions, records and consumed offsets are committed together, poll by poll."""
    settings = KafkaSettings(bootstrap=bootstrap)
    transactional = {"transactional_id": f"{source}-echo"} if mode == "transactions" else {}
    consumer: Any = connect(
        KafkaConsumer,
        settings,
        group_id=f"{source}-echo",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=BATCH,
    )
    producer: Any = connect(KafkaProducer, settings, acks="all", linger_ms=0, **transactional)
    consumer.subscribe([source])
    if transactional:
        producer.init_transactions()
    while True:
        batches = consumer.poll(timeout_ms=1_000)
        if not batches:
            continue
        if transactional:
            producer.begin_transaction()
        for record in (record for batch in batches.values() for record in batch):
            producer.send(target, record.value, record.key, record.headers)
        if transactional:
            offsets = {at: OffsetAndMetadata(batch[-1].offset + 1, "", -1) for at, batch in batches.items()}
            producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
            producer.commit_transaction()


if __name__ == "__main__":
    main(*sys.argv[1:])
