"""A client that talks to one Kafka cluster and to no other, with credentials as they are when it connects.

An address outlives what answers there: the cluster may be made anew, or the port taken by that of a test or
of another team. kafka-python goes on with whatever answers: it joins the groups there, commits offsets and
begins transactions. Here every new connection first asks for the cluster's id:

    connect -> TLS, SASL -> Metadata request: "which cluster are you?" -> the same id: the first real request
                                                                       -> another id: the connection is closed
"""

from __future__ import annotations

from collections.abc import Callable
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


def pinned_client(pin: Pin, credentials: Callable[[], dict[str, Any]], **config: Any) -> KafkaNetClient:
    """kafka-python's network client, on connections that ask for the cluster's id first. Each new connection
    logs in with what `credentials` returns then."""
    net = NetworkSelector(**config)
    return KafkaNetClient(net=net, manager=_PinnedManager(net, pin, credentials, **config))


class _PinnedManager(KafkaConnectionManager):  # type: ignore[misc] # kafka-python ships no types
    """Puts the question between a connection's log-in and its first request."""

    def __init__(self, net: Any, pin: Pin, credentials: Callable[[], dict[str, Any]], **configs: Any) -> None:
        self._pin = pin
        self._credentials = credentials
        super().__init__(net, **configs)

    async def _connect(self, node: Any, conn: Any, *arguments: Any, **options: Any) -> None:
        # kafka-python calls this once logged in, and then sends what has been waiting: our question must
        # come before, so the call is held back until the answer is there.
        send_what_waits = conn._init_complete
        conn._init_complete = lambda: None
        self._renew(conn)
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

    def _renew(self, conn: Any) -> None:
        """The connection logs in with files as they are then: now, and when its session ends (KIP-368)."""
        log_in = conn._sasl_authenticate

        async def log_in_as_of_now(*arguments: Any) -> None:
            conn.config.update({k: v for k, v in self._credentials().items() if k in conn.config})
            await log_in(*arguments)

        conn._sasl_authenticate = log_in_as_of_now
        context = self._credentials().get("ssl_context")
        self.config["ssl_context"] = context or self.config["ssl_context"]

    def maybe_raise_auth_failure(self, node_id: Any) -> None:
        # kafka-python would raise the failure for ever, and never connect with the right password.
        if failure := self._auth_failures.pop(node_id, None):
            raise failure
