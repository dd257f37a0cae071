"""Valkeys that replicate each other, as a Sentinel set and a cluster have them in common.

Replicas log in as a user of their own. So a link can be cut by real means, while clients notice nothing:

    primary ──link── replica        in step
    cut_off(primary)                the user is off and its connections are ended
    primary    ╳     replica        the primary acknowledges what the replica never gets
    primary.kill()                  the replica is promoted without it: acknowledged writes are lost
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hurnet_stream.local import ValkeyServer
from hurnet_stream.local.loopback import HOST
from hurnet_stream.local.server import Server

# Servers that move slots by themselves (Valkey 9) log in as this user, too, and write as it.
_USERS = """user default on nopass ~* &* +@all
user replica on >replica ~* &* +@all
"""


def replicating_server(port: int, settings: Mapping[str, str] | None = None) -> ValkeyServer:
    """A Valkey that may be a primary or a replica. After a restart the link of its replicas works again."""
    links = {"aclfile": "users.acl", "masteruser": "replica", "masterauth": "replica"}
    quick = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", "repl-timeout": "5"}
    server = ValkeyServer(port=port, settings={**links, **quick, **(settings or {})}, timeout=60.0)
    (server.data / "users.acl").write_text(_USERS)
    return server


def cut_off(primary: ValkeyServer) -> None:
    """End the links of the primary's replicas. They don't come back before it is restarted."""
    with client_of(primary) as client:
        client.acl_setuser("replica", enabled=False)
        client.execute_command("CLIENT", "KILL", "USER", "replica")


def client_of(server: ValkeyServer) -> Any:
    """A client of this very server, of which no command is repeated."""
    return redis.Redis(HOST, server.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))


def role_of(server: ValkeyServer) -> str:
    """`master`, `slave`, or "" if it does not answer."""
    try:
        with client_of(server) as client:
            return str(client.info("replication")["role"])
    except redis.RedisError:
        return ""


def has_replicas(primary: ValkeyServer, count: int) -> bool:
    """Whether so many replicas have copied everything and follow."""
    with client_of(primary) as client:
        seen = client.info("replication")
    replicas = [value for name, value in seen.items() if name.startswith("slave") and isinstance(value, dict)]
    return len([replica for replica in replicas if replica["state"] == "online"]) >= count


def start_all(servers: Iterable[Server]) -> None:
    """Start them together; if one can't be started, none is left running."""
    servers = list(servers)
    with ThreadPoolExecutor(8) as pool:
        tried = [pool.submit(server.start) for server in servers]
    failed = [each.exception() for each in tried if each.exception()]
    if failed:
        close_all(servers)
        raise failed[0]  # type: ignore[misc]


def close_all(servers: Iterable[Server]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda server: server.close(), servers))
