"""A client that talks to one Kafka cluster and to no other.

An address outlives what answers there: the cluster may be made anew, or the port taken by that of a test or
of another team. kafka-python goes on with whatever answers: it joins the groups there, commits offsets and
begins transactions. Here every new connection first asks for the cluster's id:

    connect -> TLS, SASL -> Metadata request: "which cluster are you?" -> the same id: the first real request
                                                                       -> another id: the connection is closed
"""

from __future__ import annotations

from typing import Any

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest

from hurnet_stream.errors import ForeignLog


class ForeignClusterError(errors.KafkaConnectionError):  # type: ignore[misc] # kafka-python ships no types
    """The broker belongs to another cluster."""


class Pin:
    """Which cluster a client belongs to: that of the settings, or else the first one that answered."""

    def __init__(self, cluster: str = "") -> None:
        self.cluster = cluster
        self.foreign = ""
        """The id of the cluster that answered last, if it is another one."""

    def admit(self, cluster: str | None) -> None:
        """Raises `ForeignClusterError` if `cluster` is another one."""
        if not cluster:  # the broker is too old to tell
            return
        self.cluster = self.cluster or cluster
        self.foreign = "" if cluster == self.cluster else cluster
        if self.foreign:
            raise ForeignClusterError(self.problem())

    def check(self) -> None:
        """Raises `ForeignLog` if a foreign cluster answered last."""
        if self.foreign:
            raise ForeignLog(self.problem())

    def problem(self) -> str:
        """What a person should know and do."""
        return (
            f"the Kafka that answers at this address is cluster {self.foreign}, and the store is filled from"
            f" cluster {self.cluster}: nothing is read from it or sent to it. Bring the right one back, or"
            " set HURNET_KAFKA_BOOTSTRAP to where it is; for a store of this other one set"
            " HURNET_REDIS_PREFIX to a new name"
        )


def pinned_client(pin: Pin, **config: Any) -> KafkaNetClient:
    """kafka-python's network client, on connections that ask for the cluster's id first."""
    net = NetworkSelector(**config)
    return KafkaNetClient(net=net, manager=_PinnedManager(net, pin, **config))


class _PinnedManager(KafkaConnectionManager):  # type: ignore[misc] # kafka-python ships no types
    """Puts the question between a connection's log-in and its first request."""

    def __init__(self, net: Any, pin: Pin, **configs: Any) -> None:
        self._pin = pin
        super().__init__(net, **configs)

    async def _connect(self, node: Any, conn: Any, *arguments: Any, **options: Any) -> None:
        # kafka-python calls this once logged in, and then sends what has been waiting: our question must
        # come before, so the call is held back until the answer is there.
        send_what_waits = conn._init_complete
        conn._init_complete = lambda: None
        await super()._connect(node, conn, *arguments, **options)
        if conn.closed:
            return
        try:
            request = MetadataRequest(topics=[], allow_auto_topic_creation=False)
            self._pin.admit((await conn._send_request(request)).cluster_id)
        except Exception as error:  # whatever went wrong, nothing may be sent to a broker we don't know
            conn.close(error)
            self.update_backoff(node.node_id)
        else:
            send_what_waits()
