"""Three primaries and three replicas as a Redis Cluster: slots move and primaries are killed under load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis.crc import key_slot

from hurnet_stream.adapters.redis import connect
from hurnet_stream.local import ValkeyServer
from tests.acceptance.system import System, wait_for
from tests.acceptance.test_forget import assert_unlearned, audit, delete, events, teach
from tests.faults.replicated import WORKERS, end, items, lose_acknowledged, some_more, streams, under_load
from tests.replicating import client_of, cut_off
from tests.valkey_cluster import ValkeyCluster

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with ValkeyCluster() as servers:
        yield servers


@pytest.fixture
def system(kafka_bootstrap: str, cluster: ValkeyCluster, unique: str, tmp_path: Path) -> Iterator[System]:
    with System(kafka_bootstrap, cluster.url, unique, tmp_path) as system:
        yield system
    cluster.whole()


def slots_of(system: System, cluster: ValkeyCluster) -> set[int]:
    """The slots of all keys of this system."""
    found: set[int] = set()
    for primary in cluster.primaries():
        with client_of(primary) as client:
            keys = client.scan_iter(f"*{system.variables['HURNET_REDIS_PREFIX']}*", count=1_000)
            found |= {key_slot(key) for key in keys}
    return found


def solvers_key(system: System) -> str:
    with closing(connect(system.settings.redis)) as connection:
        return str(connection.keys.solver("checkpoint"))


def another(cluster: ValkeyCluster, *taken: ValkeyServer) -> ValkeyServer:
    return next(primary for primary in cluster.primaries() if primary not in taken)


def all_items(keys: list[str], cluster: ValkeyCluster) -> int:
    return sum(items(cluster.primary_of(key), [key]) for key in keys)


def test_slots_move_and_primaries_are_killed_in_turn(system: System, cluster: ValkeyCluster) -> None:
    """Each primary that has a shard has acknowledged what its replica has not, as it is killed."""

    def disturb() -> None:
        keys = streams(system)
        some_more(lambda: all_items(keys, cluster), 3)
        for slot in slots_of(system, cluster):
            before = cluster.holder(slot)
            cluster.move(slot, another(cluster, before))
            cluster.move_at_once(slot, another(cluster, before, cluster.holder(slot)))
        for primary in cluster.primaries():
            theirs = [key for key in keys if cluster.primary_of(key) is primary]
            if theirs:
                lose_acknowledged(theirs, primary, [cluster.replica_of(primary)])
            cluster.fail_over(primary)
            cluster.whole()

    under_load(system, disturb)


def apart(system: System, cluster: ValkeyCluster) -> tuple[ValkeyServer, ValkeyServer]:
    """The primary of shard 1 and that of the solver's keys, after one was moved if they were together."""
    shard, solver = streams(system)[1], solvers_key(system)
    if cluster.primary_of(shard) is cluster.primary_of(solver):
        cluster.move(key_slot(shard.encode()), another(cluster, cluster.primary_of(solver)))
    return cluster.primary_of(shard), cluster.primary_of(solver)


def test_what_was_erased_stays_erased_where_slots_fall_back_one_by_one(
    system: System, cluster: ValkeyCluster
) -> None:
    """First a shard falls back behind a deletion, and then the solver's checkpoint behind an erasure."""
    system.create_topics()
    sent = events(0, 300)
    teach(system, sent)
    workers = [system.start(name).wait_ready() for name in WORKERS]
    wait_for(lambda: len(system.texts_in_store()) == 300, what="all texts in")
    wait_for(lambda: sum(s.rows for s in system.checkpoint().shards.values()) == 300, what="all folded")
    for number, who in enumerate(("p1", "p4")):  # both are in partition 1
        victim = apart(system, cluster)[number]
        cut_off(victim)
        delete(system, who)
        wait_for(lambda done=number + 1: len(audit(system)) == done, what="deleted")  # type: ignore[misc]
        left = len([event for event in sent if event.metadata["who"] not in ("p1", "p4")[: number + 1]])
        wait_for(lambda left=left: len(system.texts_in_store()) == left, what="erased")  # type: ignore[misc]
        cluster.fail_over(victim)
        wait_for(lambda done=number + 1: len(audit(system)) == done, what="deleted again")  # type: ignore[misc]
        cluster.whole()
    assert_unlearned(system, sent, "p1", "p4")
    sent += events(300, 60)
    teach(system, sent[300:])
    kept = [e for e in sent[:300] if e.metadata["who"] not in ("p1", "p4")] + sent[300:]
    wait_for(lambda: len(system.texts_in_store()) == len(kept), what="texts that came later")
    wait_for(lambda: sum(s.rows for s in system.checkpoint().shards.values()) == 360, what="all folded")
    assert_unlearned(system, kept)
    proof = system.run("verify")
    assert proof.returncode == 0, proof.stdout + proof.stderr
    end(workers)


def step(system: System, *arguments: str, **settings: str) -> dict[str, object]:
    """What the command said, as an object if it was asked for one."""
    done = system.run(*arguments, **settings)
    assert done.returncode == 0, f"{arguments}: {done.stdout + done.stderr}"
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1]) if "--json" in arguments else {}
    return said


def test_every_command_works_on_it(system: System, tmp_path: Path) -> None:
    system.create_topics()
    others = [event.model_copy(update={"context": "other"}) for event in events(1_000, 50)]
    teach(system, [*events(0, 200), *others])
    system.variables |= {
        "HURNET_GATEWAY_PORT": "0",
        "HURNET_RESPONDER_THRESHOLD": "0",
        "HURNET_RESPONDER_ERROR_RATE": "0",
    }
    names = (*WORKERS, "feedback", "gateway")
    workers = {name: system.start(name) for name in names}
    for worker in workers.values():
        worker.wait_ready()
    wait_for(lambda: len(system.texts_in_store()) == 250, what="all texts in")
    assert step(system, "doctor", "--json", "--timeout", "60")["well"]
    assert step(system, "ask", "--json", "question number 8")["answer"] == "answer 1"
    step(system, "correct", "question number 8", "another answer", "--wait", "60")
    assert "another answer" in str(step(system, "ask", "--json", "question number 8"))
    step(system, "forget", "--key", "p2", "--wait", "100")
    step(system, "contexts", "--drop", "other", "--wait", "100")
    step(system, "compact", "--wait", "100")
    file = tmp_path / "store.hurnet"
    step(system, "backup", str(file))
    step(system, "restore", str(file), HURNET_REDIS_PREFIX="again")
    follower = system.start("migrate", "--to", "hash256").wait_ready()
    assert step(system, "migrate", "--cut-over", "--json")["serving"] == "hash256"
    assert step(system, "ask", "--json", "question number 9")["answer"] == "answer 2"
    step(system, "migrate", "--back", "--json")
    step(system, "verify")
    step(system, "status", "--json")
    step(system, "list", "--json")
    step(system, "export", str(tmp_path / "all.jsonl"))
    step(system, "repair")
    end([*workers.values(), follower])
