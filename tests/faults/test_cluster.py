"""Three primaries and three replicas as a Redis Cluster: slots move and primaries are killed under load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from hurnet_stream.local import ValkeyServer
from tests.acceptance.system import System
from tests.faults.replicated import items, lose_acknowledged, some_more, streams, under_load
from tests.replicating import client_of
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
            cluster.move(slot, another(cluster, cluster.holder(slot)))
        for primary in cluster.primaries():
            theirs = [key for key in keys if cluster.primary_of(key) is primary]
            if theirs:
                lose_acknowledged(theirs, primary, [cluster.replica_of(primary)])
            cluster.fail_over(primary)
            cluster.whole()

    under_load(system, disturb)
