"""Six Valkeys as one Redis Cluster: three primaries, each with a replica.

Slots move in the classic way, key by key, as `redis-cli --cluster reshard` moves them. That is the hardest
for a client: while a slot moves, some of its keys are here and some there (ASK, TRYAGAIN):

    target  CLUSTER SETSLOT s IMPORTING source
    source  CLUSTER SETSLOT s MIGRATING target       keys that are not here any more: -ASK target
    source  MIGRATE key, key, ...                    one after the other
    all     CLUSTER SETSLOT s NODE target            from now on: -MOVED target
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import redis
from redis.crc import key_slot

from hurnet_stream.local import ValkeyServer
from hurnet_stream.local.loopback import HOST, free_ports
from tests.acceptance.system import wait_for
from tests.replicating import client_of, close_all, has_replicas, replicating_server, start_all

SLOTS: Final = 16_384
NODE_TIMEOUT_MS: Final = 2_000
"""A busy machine may stop a server for a second: that is no failure yet."""


class ValkeyCluster:
    """`servers` may be killed and restarted singly; `url` is what a client is told."""

    def __init__(self, primaries: int = 3, settings: Mapping[str, str] | None = None) -> None:
        ports = free_ports(4 * primaries)
        self._primaries = primaries
        self._buses = ports[2 * primaries :]
        self.servers = [
            replicating_server(port, {**_cluster_settings(bus), **(settings or {})})
            for port, bus in zip(ports, self._buses, strict=False)
        ]
        self._ids: dict[int, str] = {}  # port -> the node's name

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{server.port}" for server in self.servers)
        return f"redis+cluster://{hosts}"

    def primaries(self) -> list[ValkeyServer]:
        """The servers that have slots, as the cluster sees it."""
        return [self._server(port) for port in sorted({port for _, _, port in self._ranges()})]

    def primary_of(self, key: str) -> ValkeyServer:
        """The server that has the slot of this key."""
        return self.holder(key_slot(key.encode()))

    def holder(self, slot: int) -> ValkeyServer:
        """The server that has this slot."""
        (port,) = [port for first, last, port in self._ranges() if first <= slot <= last]
        return self._server(port)

    def replica_of(self, primary: ValkeyServer) -> ValkeyServer:
        with client_of(primary) as client:
            return self._server(client.info("replication")["slave0"]["port"])

    def _server(self, port: int) -> ValkeyServer:
        return next(server for server in self.servers if server.port == port)

    def _ranges(self) -> list[tuple[int, int, int]]:
        """First slot, last slot, port of the primary, as a node says that is in touch with a majority."""
        for server in self.servers:
            with suppress(redis.RedisError), client_of(server) as client:
                if client.cluster("info")["cluster_state"] == "ok":
                    return [(at[0], at[1], at[2][1]) for at in client.execute_command("CLUSTER SLOTS")]
        return []

    def keys(self, server: ValkeyServer) -> int:
        with client_of(server) as client:
            return int(client.dbsize())

    def move(self, slot: int, target: ValkeyServer, between: Callable[[], object] = lambda: None) -> None:
        """Move a slot with all its keys. `between` is called before each key and before the end."""
        source = self.holder(slot)
        if source is target:
            return
        with client_of(source) as old, client_of(target) as new:
            new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self._ids[source.port])
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self._ids[target.port])
            while keys := old.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
                between()
                old.migrate(HOST, str(target.port), keys, 0, 30_000)
            between()
            # The target first: else a slot could have no owner if this process died between the two.
            for client in (new, old, *map(client_of, self.primaries())):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", self._ids[target.port])

    def move_at_once(self, slot: int, target: ValkeyServer) -> None:
        """The same as Valkey 9 does it by itself: at one moment the slot is here, at the next one there."""
        with client_of(self.holder(slot)) as client:
            client.execute_command(
                "CLUSTER MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self._ids[target.port]
            )
        wait_for(lambda: self.holder(slot) is target, what="the slot is moved")

    def fail_over(self, primary: ValkeyServer) -> None:
        """Kill a primary, and return once its replica has taken its place."""
        primary.kill()
        wait_for(lambda: self._whole_without(primary), what="a replica is promoted")

    def _whole_without(self, gone: ValkeyServer) -> bool:
        ranges = self._ranges()
        return sum(last - first + 1 for first, last, _ in ranges) == SLOTS and gone.port not in {
            port for _, _, port in ranges
        }

    def whole(self) -> None:
        """Start what was killed, and return once each primary has a replica that follows."""
        start_all([server for server in self.servers if not server.running])
        wait_for(self._is_whole, what="the cluster is whole")

    def _is_whole(self) -> bool:
        for server in self.servers:
            with client_of(server) as client:
                nodes = client.cluster("nodes").values()
                if client.cluster("info")["cluster_state"] != "ok" or any(
                    "fail" in n["flags"] for n in nodes
                ):
                    return False
        return len(self.primaries()) == self._primaries and all(has_replicas(p, 1) for p in self.primaries())

    def __enter__(self) -> Self:
        start_all(self.servers)
        try:
            self._join()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _join(self) -> None:
        clients = [client_of(server) for server in self.servers]
        self._ids = {s.port: c.cluster("myid").decode() for s, c in zip(self.servers, clients, strict=True)}
        for epoch, client in enumerate(clients, start=1):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", epoch)
            client.execute_command("CLUSTER MEET", HOST, self.servers[0].port, self._buses[0])
        share = SLOTS // self._primaries
        for i, client in enumerate(clients[: self._primaries]):
            last = SLOTS - 1 if i == self._primaries - 1 else (i + 1) * share - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", i * share, last)
        for i, replica in enumerate(clients[self._primaries :]):
            of = self._ids[self.servers[i].port]
            wait_for(partial(_knows, replica, of), what="the nodes have met")
            replica.execute_command("CLUSTER REPLICATE", of)
        wait_for(self._is_whole, what="the cluster is whole")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_all(self.servers)


def _cluster_settings(bus: int) -> dict[str, str]:
    return {
        "cluster-enabled": "yes",
        "cluster-config-file": "nodes.conf",
        "cluster-port": str(bus),
        "cluster-node-timeout": str(NODE_TIMEOUT_MS),
        "cluster-replica-validity-factor": "0",  # a replica that was cut off long ago may be promoted, too
    }


def _knows(client: Any, name: str) -> bool:
    return name in {node["node_id"] for node in client.cluster("nodes").values()}


def _sees_all(server: ValkeyServer) -> bool:
    """Whether this node misses no other, and all slots are served."""
    with client_of(server) as client:
        failing = [node for node in client.cluster("nodes").values() if "fail" in node["flags"]]
        return not failing and client.cluster("info")["cluster_state"] == "ok"
