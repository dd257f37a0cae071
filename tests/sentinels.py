"""A primary, two replicas and three Sentinels that agree on who is the primary."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import redis

from hurnet_stream.local import ValkeyServer
from hurnet_stream.local.loopback import HOST, free_ports
from tests.acceptance.system import wait_for
from tests.replicating import client_of, close_all, has_replicas, replicating_server, role_of, start_all
from tests.stand_ins import SentinelServer

QUORUM = 2


class SentinelSet:
    """`servers` may be killed and restarted singly; `url` is what a client is told."""

    def __init__(self, replicas: int = 2, settings: dict[str, str] | None = None) -> None:
        self.servers = [replicating_server(port, settings) for port in free_ports(1 + replicas)]
        self.sentinels = [SentinelServer(self.servers[0], quorum=QUORUM) for _ in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"sentinel+redis://{hosts}/store/0"

    def primary(self) -> ValkeyServer:
        """The server that a majority of the Sentinels call the primary, and that is one."""
        return wait_for(self._agreed, what="the Sentinels agree on a primary")  # type: ignore[no-any-return]

    def _agreed(self) -> ValkeyServer | None:
        named = [port for sentinel in self.sentinels if (port := _named_by(sentinel))]
        agreed = [s for s in self.servers if named.count(s.port) >= QUORUM and role_of(s) == "master"]
        return agreed[0] if agreed else None

    def fail_over(self) -> ValkeyServer:
        """Kill the primary, and return it once another server has taken its place."""
        old = self.primary()
        old.kill()
        wait_for(lambda: (now := self._agreed()) and now is not old, what="a replica is promoted")
        return old

    def whole(self) -> None:
        """Start what was killed, and return once all replicas follow."""
        killed = [server for server in self.servers if not server.running]
        start_all(killed)
        now = self.primary()
        for server in killed:  # the Sentinels would tell it so after ten seconds
            with client_of(server) as client:
                client.replicaof(HOST, str(now.port))
        wait_for(lambda: has_replicas(now, len(self.servers) - 1), what="all replicas follow")

    def __enter__(self) -> Self:
        start_all(self.servers)
        try:
            for replica in self.servers[1:]:
                with client_of(replica) as client:
                    client.replicaof(HOST, str(self.servers[0].port))
            start_all(self.sentinels)
            for sentinel in self.sentinels:
                wait_for(lambda sentinel=sentinel: self._knows_all(sentinel), what="a Sentinel knows all")  # type: ignore[misc]
            self.whole()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _knows_all(self, sentinel: SentinelServer) -> bool:
        try:
            with sentinel.admin() as client:
                replicas, others = client.sentinel_slaves("store"), client.sentinel_sentinels("store")
        except redis.RedisError:  # a busy machine
            return False
        return len(replicas) == len(self.servers) - 1 and len(others) == len(self.sentinels) - 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_all([*self.sentinels, *self.servers])


def _named_by(sentinel: SentinelServer) -> int:
    """The port that it calls the primary's; 0 if it doesn't answer."""
    try:
        with sentinel.admin() as client:
            return int(client.sentinel_get_master_addr_by_name("store")[1])
    except (redis.RedisError, TypeError):
        return 0
