"""A broker that comes back without the end of its log: what is stored and what Kafka holds disagree."""

from __future__ import annotations

import struct
from pathlib import Path

from hurnet_stream.local import KafkaServer
from tests.acceptance.system import PARTITIONS, System
from tests.acceptance.test_identity import expected, filled, held, numbered, own_kafka

__all__ = ["own_kafka"]


def cut(log: Path, batches: int) -> None:
    """Keep so many batches of a partition's log, as a disk does that lost what was not yet written."""
    (segment,) = log.glob("*.log")
    raw = segment.read_bytes()
    at = 0
    for _ in range(batches):
        at += 12 + struct.unpack_from(">qi", raw, at)[1]
    assert 0 < at < len(raw)
    segment.write_bytes(raw[:at])
    for name in ("*.index", "*.timeindex", "*.snapshot"):
        for file in log.glob(name):
            file.unlink()


def test_a_log_that_lost_acknowledged_records_is_refused_and_repaired(
    own_kafka: tuple[KafkaServer, System],
) -> None:
    """A broker comes back without the tail of its log, and other texts take the lost ones' offsets."""
    kafka, system = own_kafka
    old, new = [], numbered(100, 160)
    for first in range(0, 24, 3):  # a batch a partition each
        old += (events := numbered(first, first + 3))
        system.teach(events)
    ingest = system.start("ingest").wait_ready()
    filled(system, old)
    ingest.terminate()
    kafka.stop()
    logs = kafka.data / "log"
    for partition in range(PARTITIONS):
        cut(logs / f"{system.settings.kafka.texts}-{partition}", 5)
    for name in (".kafka_cleanshutdown", "recovery-point-offset-checkpoint"):
        (logs / name).unlink(missing_ok=True)
    kafka.start()
    system.teach(new)
    ingest = system.start("ingest")
    assert ingest.wait_end() == 1
    assert "the log was rewritten below the watermark" in ingest.said()
    assert held(system) == expected(old)
    done = system.run("repair", "--yes")
    assert "sent again: 9 texts" in done.stdout, done
    system.start("ingest").wait_ready()
    filled(system, old, new)
