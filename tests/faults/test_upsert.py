"""Texts that take the place of others, on real servers: a compacted topic, and an ingest that is killed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet_schemas import TextEvent
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import PARTITIONS, System, wait_for

COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0.001",
    "max.compaction.lag.ms": "500",
}


def text(key: int, version: int) -> TextEvent:
    return TextEvent(text=f"question number {key} in version {version}", answer=f"answer {key} of {version}")


def send(system: System, texts: Sequence[tuple[str, TextEvent | None]]) -> None:
    """Each under its key, and all of a key into one partition."""
    topic = system.settings.kafka.texts
    with system.sink() as sink:
        for first in range(0, len(texts), 500):
            block = texts[first : first + 500]
            sink.send(
                [
                    Outgoing(
                        topic,
                        event.encode() if event else None,
                        key.encode(),
                        partition=sum(key.encode()) % PARTITIONS,
                    )
                    for key, event in block
                ]
            )


def held(system: System) -> list[tuple[int, Entry]]:
    return sorted(
        ((batch.partition, entry) for batch in system.batches() for entry in batch.entries),
        key=lambda found: (found[0], found[1].offset),
    )


def learned(system: System) -> str | None:
    """The digest of what the solver has saved, None before its first checkpoint."""
    statistics = system.checkpoint().statistics.get("default")
    return statistics.digest() if statistics else None


def compact(system: System) -> None:
    """From now on Kafka keeps the newest text of each key."""
    texts = ConfigResource("topic", system.settings.kafka.texts, configs=COMPACTED)
    with KafkaAdminClient(bootstrap_servers=system.variables["HURNET_KAFKA_BOOTSTRAP"].split(",")) as admin:
        admin.alter_configs([texts])


def test_a_compacted_topic_and_a_live_context_agree(system: System, tmp_path: Path) -> None:
    """Ingest is killed around appends, and in the middle of a key with 2,300 texts that one text replaces."""
    live = system
    many = [("many", text(1_000, version)) for version in range(2_300)]
    send(live, many)
    first = live.start("ingest", HURNET_INGEST_KEYS="append")
    wait_for(lambda: len(live.texts_in_store()) == len(many), what="all texts in, none of them replaced")
    assert first.terminate() == 0
    compact(live)  # not before: Kafka would now and then be quicker than ingest
    solver = live.start("solver")
    for version in range(4):
        send(live, [(f"key {key}", text(key, version)) for key in range(120)])
    send(
        live,
        [("key 7", None), ("many", text(1_000, 9_999)), *((f"key {key}", text(key, 4)) for key in range(60))],
    )
    for point, nth in (("after-append", 2), ("before-append", 3), ("after-append", 9)):
        live.start_doomed("ingest", point, nth, HURNET_INGEST_BATCH="20").wait_end()
    ingest = live.start("ingest")
    newest = sorted([*(text(n, 4 if n < 60 else 3).text for n in range(120)), text(1_000, 9_999).text])
    wait_for(lambda: sorted(live.texts_in_store()) == newest, what="what was replaced is erased")
    wait_for(lambda: learned(live) == live.clean_statistics().digest(), what="the newest are learned")
    proof = live.run("verify")
    assert proof.returncode in (0, 3), proof.stdout + proof.stderr

    def is_compacted() -> bool:
        send(
            live, [(f"roll {partition}", text(2_000, 0)) for partition in range(9)]
        )  # closes the last segment
        return len(live.read(live.settings.kafka.texts)) < 1_000

    wait_for(is_compacted, what="Kafka compacts the topic")
    assert ingest.terminate() == solver.terminate() == 0
    live.start("ingest")
    live.start("solver")
    with System(
        live.variables["HURNET_KAFKA_BOOTSTRAP"],
        live.variables["HURNET_REDIS_URL"],
        live.settings.redis.prefix,
        tmp_path,
        HURNET_REDIS_PREFIX=f"{live.settings.redis.prefix}-anew",
    ) as anew:
        anew.start("ingest")
        anew.start("solver")
        wait_for(lambda: held(anew) and held(anew) == held(live), what="both hold the same")
        wait_for(lambda: learned(anew) == anew.clean_statistics().digest(), what="all is learned")
        wait_for(lambda: learned(live) == learned(anew), what="both have learned the same")
        for each in (live, anew):
            each.start("responder").wait_ready()
            asked = each.run("ask", "question number 30", "--json", "--timeout", "60")
            assert "answer 30 of 4" in asked.stdout
        proof = live.run("verify")
        assert proof.returncode in (0, 3), proof.stdout + proof.stderr


def test_keys_that_go_to_other_partitions_leave_nothing_behind(system: System) -> None:
    """Partitions are added, and keys go to others: ingest warns, and `hurnet repair --keys` mends it."""
    topic, bootstrap = system.settings.kafka.texts, system.variables["HURNET_KAFKA_BOOTSTRAP"].split(",")

    def send_by_key(version: int) -> None:
        """As any producer does: the key decides where a text goes."""
        with system.sink() as sink:
            sink.send([Outgoing(topic, text(n, version).encode(), f"key {n}".encode()) for n in range(40)])
            sink.send([Outgoing(topic, text(99, version).encode(), b"hurnet-own")])

    send_by_key(0)
    system.start("ingest")
    system.start("solver")
    wait_for(lambda: len(system.texts_in_store()) == 41, what="all in")
    assert json.loads(system.run("repair", "--keys", "--json").stdout) == {"moved": 0, "done": True}
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_partitions({topic: PARTITIONS + 4})
    wait_for(lambda: len(admin.describe_topics([topic])[0]["partitions"]) == PARTITIONS + 4, what="added")
    admin.close()
    system.running[0].kill()
    ingest = system.start("ingest")
    send_by_key(1)
    wait_for(
        lambda: sum("version 1" in found for found in system.texts_in_store()) == 41, what="all new ones"
    )
    wait_for(lambda: "hurnet repair --keys" in ingest.said(), what="ingest says that keys go elsewhere")
    found = json.loads(system.run("repair", "--keys", "--json").stdout)
    assert 0 < found["moved"] < 40
    assert not found["done"]
    done = system.run("repair", "--keys", "--yes")
    assert done.returncode == 0, done.stderr
    # Hurnet's own keys stand beside each other.
    wait_for(
        lambda: (
            sorted(system.texts_in_store())
            == sorted([*(text(n, 1).text for n in range(40)), text(99, 0).text, text(99, 1).text])
        ),
        what="one text a key is left",
    )
    assert json.loads(system.run("repair", "--keys", "--json").stdout) == {"moved": 0, "done": True}
    wait_for(lambda: system.run("verify").returncode == 0, what="verify proves it")
