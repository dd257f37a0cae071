"""A replica takes the store's place under load; nobody ends old connections, and the last second of what the
old primary acknowledged is lost. What Kafka holds is in the store again, each text once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from hurnet_stream.local import ValkeyServer
from tests.acceptance.system import Running, System, wait_for
from tests.faults.test_outages import Load, check_books
from tests.stand_ins import Forwarder, admin, is_synced

WORKERS = ("ingest", "solver", "responder")


def says_replica(worker: Running) -> bool:
    status, said = worker.get("/readyz")
    return status == 503 and "is a replica" in said


@pytest.mark.parametrize("demoted", [True, False], ids=["demoted", "cut off"])
def test_a_replica_is_promoted_under_load(
    demoted: bool, kafka_bootstrap: str, unique: str, tmp_path: Path
) -> None:
    with (
        ValkeyServer() as one,
        ValkeyServer() as two,
        Forwarder(one.port) as address,
        System(kafka_bootstrap, address.url, unique, tmp_path) as system,
    ):
        with admin(two) as client:
            client.replicaof("127.0.0.1", str(one.port))
        wait_for(lambda: is_synced(two), what="the replica has what the primary has")
        system.create_topics()
        workers = [system.start(name).wait_ready() for name in WORKERS]
        with Load(system) as load:
            stream = f"{unique}:{{shard-0}}:stream"
            with admin(one) as old, admin(two) as new:
                wait_for(lambda: new.xlen(stream), what="texts come in")  # and most are still to come
                new.replicaof("NO", "ONE")
                kept = new.xlen(stream)
                wait_for(lambda: old.xlen(stream) > kept, what="what the new one never gets")
                if demoted:
                    old.replicaof("127.0.0.1", str(two.port))
                assert new.xlen(stream) == kept
            address.target = two.port
        check_books(system, load)
        for worker in workers:
            worker.wait_ready()
            assert worker.terminate() == 0


def test_workers_on_a_replica_say_so_and_go_on_where_it_is_promoted_again(
    kafka_bootstrap: str, unique: str, tmp_path: Path
) -> None:
    with ValkeyServer() as server, System(kafka_bootstrap, server.url, unique, tmp_path) as system:
        system.create_topics()
        workers = [system.start(name).wait_ready() for name in ("ingest", "responder")]
        with admin(server) as client:
            client.replicaof("127.0.0.1", "1")
            for worker in workers:  # ingest has nothing to do, and is told all the same
                wait_for(partial(says_replica, worker), what=f"{worker.name} says so")
            client.replicaof("NO", "ONE")
        for worker in workers:
            worker.wait_ready()
            assert worker.terminate() == 0
