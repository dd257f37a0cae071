"""What deletions leave behind is compacted while everything runs and the solver is killed in the middle."""

from __future__ import annotations

import json

import pytest

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.redis import connect
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import PARTITIONS, System, wait_for
from tests.acceptance.test_forget import assert_unlearned, audit, delete, events, teach

AT_ONCE = {"HURNET_SOLVE_KEEP_DELETIONS": "0"}


def items(system: System) -> int:
    """Batches and deletions in the store."""
    client = connect(system.settings.redis).client
    try:
        shards = [f"{system.settings.redis.prefix}:{{shard-{partition}}}" for partition in range(PARTITIONS)]
        return sum(client.xlen(f"{s}:stream") + client.zcard(f"{s}:redacted") for s in shards)
    finally:
        client.close()


def memory_bytes(system: System) -> int:
    """What all keys of the store take up in Redis, each counted exactly."""
    client = connect(system.settings.redis).client
    try:
        keys = list(client.scan_iter(f"{system.settings.redis.prefix}:*", count=1_000))
        return sum(client.memory_usage(key, samples=0) or 0 for key in keys)
    finally:
        client.close()


def probe(system: System, first: int, count: int) -> None:
    """Texts, each deleted again by the next record."""
    topic = system.settings.kafka.texts
    with system.sink() as sink:
        for begin in range(first, first + count, 250):
            numbers = range(begin, min(begin + 250, first + count))
            sink.send(
                [
                    Outgoing(topic, value, b"probe", partition=number % PARTITIONS)
                    for number in numbers
                    for value in (TextEvent(text=f"probe {number}", answer="probe").encode(), None)
                ]
            )


@pytest.mark.parametrize(("point", "nth"), [("before-a-run", 2), ("after-a-run", 1)])
def test_a_solver_killed_while_it_compacts_loses_nothing(system: System, point: str, nth: int) -> None:
    sent = events(0, 300)
    teach(system, sent)
    ingest, responder = system.start("ingest"), system.start("responder")
    system.start_doomed("solver", point, nth, **AT_ONCE)
    wait_for(lambda: len(system.texts_in_store()) == 300, what="all texts in")
    for who in ("p1", "p3"):
        delete(system, who)
    system.running[-1].wait_end()
    survivor = system.start("solver", **AT_ONCE)
    wait_for(lambda: len(audit(system)) == 2, what="both deletions are done")
    done = system.run("compact", "--json", "--wait", "100")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["done"]
    assert said["items_after"] == items(system)
    assert not [batch for batch in system.batches() if batch.deletion or batch.removed]
    assert_unlearned(system, sent, "p1", "p3")
    proof = system.run("verify")
    assert proof.returncode == 0, proof.stdout + proof.stderr
    late = system.start("responder", HURNET_RESPONDER_INSTANCE="late").wait_ready()
    assert [worker.terminate() for worker in (late, responder.wait_ready(), survivor, ingest)] == [0] * 4


def test_what_deletions_leave_behind_does_not_grow(system: System) -> None:
    """3,000 probes, then as many again: the store is as large as before."""
    teach(system, events(0, 300))
    workers = [system.start("ingest"), system.start("solver", HURNET_SOLVE_AUDITS="100")]
    wait_for(lambda: len(system.texts_in_store()) == 300, what="all texts in")
    sizes, counts = [], []
    for first in (0, 3_000):
        probe(system, first, 1_500)
        wait_for(
            lambda seen=first: sum(s.rows for s in system.checkpoint().shards.values()) == 1_800 + seen // 2,  # type: ignore[misc]
            what="all probes are folded in",
        )
        wait_for(lambda: len(system.texts_in_store()) == 300, what="erased")
        assert system.run("compact", "--wait", "100").returncode == 0
        wait_for(lambda: len(audit(system)) <= 110, what="old audits are dropped")
        sizes.append(memory_bytes(system))
        counts.append(items(system))
    assert counts[1] <= counts[0]
    assert sizes[1] < sizes[0] + 20_000, sizes
    assert system.run("verify").returncode == 0
    assert [worker.terminate() for worker in workers] == [0, 0]
