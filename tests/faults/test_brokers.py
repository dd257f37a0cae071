"""A cluster of brokers on this machine outlives any of its nodes, and its own end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster import KafkaCluster
from tests.contract.test_servers import create_topic, read, send


@pytest.mark.timeout(600)
def test_a_cluster_serves_with_any_node_lost() -> None:
    with KafkaCluster() as cluster:
        create_topic(cluster.bootstrap, replicas=3)
        for i, node in enumerate(cluster.nodes):
            send(cluster.bootstrap, b"%d" % i)
            node.kill()
            send(cluster.bootstrap, b"%d without %d" % (i, i))
            node.restart()
        assert sorted(read(cluster.bootstrap, 6)) == sorted(
            value for i in range(3) for value in (b"%d" % i, b"%d without %d" % (i, i))
        )


def test_a_cluster_continues_on_its_data(tmp_path: Path) -> None:
    with KafkaCluster(data=tmp_path) as first:
        create_topic(first.bootstrap, replicas=3)
        send(first.bootstrap, b"1")
        started = time.monotonic()
        first.stop()
        assert time.monotonic() - started < 80, "a node waits for a majority that is gone"
    with KafkaCluster(data=tmp_path) as second:
        assert read(second.bootstrap, 1) == [b"1"]
