"""Nothing that a record or a message of a client holds stops a role, or what lies behind it.

All attacks of `hostile.py` go through the real system, each with a good message right behind it: every good
one is processed, every bad one has its dead letter or its rejection, and afterwards all roles are ready, no
larger than before, and start again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet_schemas import Answer, TextEvent
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from tests.acceptance.hostile import QUERIES, RECORDS, Attack, Attacker, message
from tests.acceptance.system import PARTITIONS, Running, System, metric, wait_for

GROWTH_BYTES = 64 << 20
"""Resident memory may grow by this from one round to the next: a round's texts, and the allocator's slack."""
PATIENCE_S = 250.0
TAUGHT = [
    *(TextEvent(text=f"good text {i}", answer=f"answer {i % 5}") for i in range(50)),
    *(TextEvent(text=f"{i} " + "long" * 4_000, context="long") for i in range(100)),
]
CORRELATION = "correlation-id"


@dataclass(frozen=True)
class Sent:
    """An attack and the coordinates that it got; `offset` is None if the broker refused it."""

    attack: Attack
    topic: str
    partition: int
    offset: int | None

    @property
    def at(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@pytest.fixture
def attacker(kafka_bootstrap: str) -> Iterator[Attacker]:
    with closing(Attacker(kafka_bootstrap)) as made:
        yield made


@pytest.mark.timeout(900)
def test_no_record_and_no_query_stops_a_role(system: System, attacker: Attacker) -> None:
    as_lax_brokers_do(system)
    system.variables["HURNET_INGEST_KEYS"] = "append"  # most of them share a key, and each is looked for
    system.teach(TAUGHT)
    workers = [system.start(name) for name in ("ingest", "solver", "responder")]
    sizes = []
    for turn in range(2):
        wait_all_ready(workers)
        sent = [*records(system, attacker, turn), *queries(system, attacker, turn)]
        fates = wait_for_fates(system, sent)
        wrong = [f"{one.attack.name}: {fates[one.at]}" for one in sent if not as_expected(one, fates[one.at])]
        assert not wrong, "\n".join([*wrong, *(worker.said()[-2_000:] for worker in workers)])
        wait_all_ready(workers)
        sizes.append([wait_for(partial(resident_bytes, worker)) for worker in workers])
    growth = [after - before for before, after in zip(*sizes, strict=True)]
    print(f"{len(RECORDS)} hostile records and {len(QUERIES)} queries, twice; grown by {growth} bytes")
    assert max(growth) < GROWTH_BYTES, sizes
    assert [worker.terminate() for worker in workers] == [0, 0, 0]
    wait_all_ready([system.start(worker.name) for worker in workers])


def resident_bytes(worker: Running) -> float:
    return metric(worker.get("/metrics")[1], "process_resident_memory_bytes")


def as_lax_brokers_do(system: System) -> None:
    """Larger messages than ours are, and packed ones as they come."""
    kafka = system.settings.kafka
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap.split(",")) as admin:
        for topic in (kafka.texts, kafka.queries):
            configs = {"max.message.bytes": "2000000", "compression.type": "producer"}
            admin.alter_configs([ConfigResource("topic", topic, configs=configs)])


def records(system: System, attacker: Attacker, turn: int) -> list[Sent]:
    good = [
        Attack("a good text", message(f"good text {turn} {i}", answer="a"), "in") for i in range(len(RECORDS))
    ]
    return send(attacker, system.settings.kafka.texts, RECORDS, good)


def queries(system: System, attacker: Attacker, turn: int) -> list[Sent]:
    """Each can be told by its coordinates or by a correlation id."""
    topic = system.settings.kafka.queries
    attacks = [told(attack, f"bad-{turn}-{i}", topic) for i, attack in enumerate(QUERIES)]
    asked = Attack("a good question", message("good text 7"), "answered")
    return send(
        attacker, topic, attacks, [told(asked, f"good-{turn}-{i}", topic) for i in range(len(QUERIES))]
    )


def told(attack: Attack, name: str, topic: str) -> Attack:
    headers = [(n, v and v.replace(b"%", topic.encode())) for n, v in attack.headers]
    if CORRELATION not in dict(headers):
        headers.append((CORRELATION, name.encode()))
    return replace(attack, headers=headers)


def send(attacker: Attacker, topic: str, attacks: Sequence[Attack], good: Sequence[Attack]) -> list[Sent]:
    pairs = enumerate(zip(attacks, good, strict=True))
    return [
        Sent(attack, topic, i % PARTITIONS, attacker.send(topic, i % PARTITIONS, attack))
        for i, pair in pairs
        for attack in pair
    ]


def wait_for_fates(system: System, sent: Sequence[Sent]) -> Mapping[str, list[str]]:
    """What has become of each, by its coordinates, once nothing is missing."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        fates = all_fates(system, sent)
        missing = [one.attack.name for one in sent if not fates[one.at]]
        if not missing or time.monotonic() > deadline:
            assert not missing, f"nothing became of {missing}"
            return fates
        time.sleep(1)


def all_fates(system: System, sent: Sequence[Sent]) -> dict[str, list[str]]:
    fates: dict[str, list[str]] = defaultdict(list)
    # First of all: what lies at or before these has its dead letter or its entry by now, if it gets one.
    watermarks = {p: watermark(system, p) for p in range(PARTITIONS)}
    letters: dict[str, str] = {f"{d.topic}/{d.partition}/{d.offset}": d.reason for d in system.dead_letters()}
    on_texts, on_queries = entries(system), answers(system)
    for one in sent:
        if one.offset is None:
            fates[one.at] = ["refused"]
        elif one.topic == system.settings.kafka.queries:
            rejected = ["rejected"] if one.at in letters else []
            fates[one.at] = on_queries[one.at] or on_queries[correlation_of(one)] or rejected
        else:
            dead = [letters[one.at]] if one.at in letters else []
            passed = ["deletes"] if watermarks[one.partition] >= one.offset else []
            fates[one.at] = on_texts[one.at] + dead or passed
    return fates


def entries(system: System) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for batch in system.batches():
        for entry in batch.entries:
            found[f"{system.settings.kafka.texts}/{batch.partition}/{entry.offset}"].append("in")
    return found


def answers(system: System) -> Mapping[str, list[str]]:
    """Outcomes by the coordinates in the receipt; without a receipt, by the correlation id."""
    found: dict[str, list[str]] = defaultdict(list)
    for record in system.read(system.settings.kafka.answers):
        answer = Answer.decode(record.value)
        correlation = dict(record.headers).get(CORRELATION) or b""
        found[answer.receipt.query if answer.receipt else named(correlation)].append(answer.outcome)
    return found


def correlation_of(one: Sent) -> str:
    return named(dict(one.attack.headers).get(CORRELATION) or b"")


def named(correlation: bytes) -> str:
    return f"correlation {correlation!r}" if correlation else "no correlation"


def watermark(system: System, partition: int) -> int:
    with closing(RedisEntryStore(connect(system.patient_redis))) as store:
        return store.state(partition).watermark


def as_expected(one: Sent, fates: Sequence[str]) -> bool:
    return len(fates) == 1 and fates[0] in one.attack.outcomes.split("|")


def wait_all_ready(workers: Sequence[Running]) -> None:
    for worker in workers:
        worker.wait_ready(PATIENCE_S)
