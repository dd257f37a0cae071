"""A client that talks to one Kafka cluster and to no other.

An address outlives what answers there: a cluster that was made anew, a test's, another team's. kafka-python
goes on with whatever takes the port: it joins the groups there, commits, and begins transactions. So every
new connection asks for the cluster's id before anything else is sent over it, and a foreign one is closed.
"""

from __future__ import annotations

from typing import Any

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest

from hurnet.errors import ForeignLog


class ForeignClusterError(errors.KafkaConnectionError):  # type: ignore[misc] # kafka-python ships no types
    """The broker belongs to another cluster."""


class Pin:
    """The id of the one cluster, from the settings or else the first that answered, and the last foreign one
    that answered instead."""

    def __init__(self, cluster: str = "") -> None:
        self.cluster = cluster
        self.foreign = ""

    def admit(self, cluster: str | None) -> None:
        """Raises `ForeignClusterError` where that is another one. Brokers too old to tell are let in."""
        if not cluster:
            return
        self.cluster = self.cluster or cluster
        self.foreign = "" if cluster == self.cluster else cluster
        if self.foreign:
            raise ForeignClusterError(self.problem())

    def check(self) -> None:
        """Raises `ForeignLog` where a foreign cluster answered last."""
        if self.foreign:
            raise ForeignLog(self.problem())

    def problem(self) -> str:
        """For a person."""
        return (
            f"the Kafka that answers at this address is cluster {self.foreign}, and the context belongs to"
            f" cluster {self.cluster}: nothing is read from it or sent to it. Bring the right one back, or"
            " set HURNET_KAFKA_BOOTSTRAP to where it is; for a context of this other one set"
            " HURNET_REDIS_PREFIX to a new name"
        )


class _Manager(KafkaConnectionManager):  # type: ignore[misc] # kafka-python ships no types
    """Asks for the cluster's id between a connection's log-in and its first request, which waits for that."""

    def __init__(self, net: Any, pin: Pin, **configs: Any) -> None:
        self._pin = pin
        super().__init__(net, **configs)

    async def _connect(self, node: Any, conn: Any, *arguments: Any, **options: Any) -> None:
        ready = conn._init_complete
        conn._init_complete = lambda: None
        await super()._connect(node, conn, *arguments, **options)
        if conn.closed:
            return
        try:
            request = MetadataRequest(topics=[], allow_auto_topic_creation=False)
            self._pin.admit((await conn._send_request(request)).cluster_id)
        except Exception as error:
            conn.close(error)
            self.update_backoff(node.node_id)
        else:
            ready()


def client(pin: Pin, **config: Any) -> KafkaNetClient:
    """kafka-python's client, on such connections."""
    net = NetworkSelector(**config)
    return KafkaNetClient(net=net, manager=_Manager(net, pin, **config))
