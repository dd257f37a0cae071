"""Notices that another server answers, or that the server has become a replica.

A pooled connection stays open to the server it was made to. If a replica is promoted and nobody ends the
connections to the old primary, a reader goes on reading there and sees nothing new, without an error:

    worker ==pooled==> old primary (now a replica, or cut off)        nothing new ever comes
    worker --new-----> the address -> new primary                     role and run id tell

So once a second, before a command, a new connection is made in the same way as a command's would be (by name,
through a proxy, by Sentinel), and the server at its end is asked for its role and its run id. If it is a
replica, or another server than before, all pooled connections are ended. Every ten seconds it is also asked
for its memory and its files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import redis

from hurnet_stream.errors import RedisFailing
from hurnet_stream.ports import StoreServer

_log = logging.getLogger(__name__)

CHECK_S: Final = 1.0
CHECK_SHARE: Final = 4
"""A check that takes long is made more rarely: checks take at most a quarter of the time."""
STATE_S: Final = 10.0
"""How often the server is asked for its memory and its files."""
IDENTITY: Final = ("server", "replication")
STATE: Final = ("memory", "persistence")
_WRITTEN: Final = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
"""The fields of INFO that are "ok" unless the last write of their kind failed."""


class ServerInfo(NamedTuple):
    """What a server says of itself. The run id is drawn when it starts; "" if we may not ask for it.

    `state` has what was asked for of its memory and its files.
    """

    role: str
    run_id: str
    primary: str
    replicas: int
    state: StoreServer = StoreServer()


class Primary:
    """Keeps the pool of `client` connected to one server that takes writes."""

    def __init__(self, client: Any, server_name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._server_name = server_name
        self._clock = clock
        self._due = float("-inf")  # the next check, by the clock
        self._run_id = ""
        self._refused = False
        self._state_due = float("-inf")
        self._state = StoreServer()

    @property
    def state(self) -> StoreServer:
        """How the server was when it was last asked."""
        return self._state

    @property
    def run_id(self) -> str:
        """The run id of the server that answered last.

        A new one means that the server was restarted or another one has taken its place, perhaps with
        less than was acknowledged before.
        """
        return self._run_id

    def check(self) -> None:
        """Ask the server if a check is due.

        Raises `RedisFailing` if it is a replica, and the client's errors if no server can be asked.
        """
        began = self._clock()
        if began < self._due:
            return
        with_state = began >= self._state_due
        server = self.ask((*IDENTITY, *STATE) if with_state else IDENTITY)
        if with_state:
            self._state, self._state_due = server.state, began + STATE_S
        if server.role != "master":
            self.reconnect()
            raise RedisFailing(
                f"{self._server_name} is a replica and takes no writes: wait for the failover, or set"
                f" HURNET_REDIS_URL to the primary ({server.primary}, it says)"
            )
        if server.run_id != self._run_id and self._run_id:
            self.reconnect()
        self._run_id = server.run_id
        self._due = self._clock() + max(CHECK_S, CHECK_SHARE * (self._clock() - began))

    def reconnect(self) -> None:
        """End all connections, and check before the next command.

        A connection that another thread is using ends after its command.
        """
        pool = self._client.connection_pool
        pool.disconnect(inuse_connections=False)
        pool.update_active_connections_for_reconnect()
        self._due = float("-inf")

    def ask(self, sections: Sequence[str] = IDENTITY) -> ServerInfo:
        """Ask for sections of INFO over a new connection, or over a pooled one if no new one can be had.

        That may be because the Sentinels are away, or because the server has as many connections as it
        takes.
        """
        pool = self._client.connection_pool
        fresh = pool.connection_class(**pool.connection_kwargs)
        try:
            known = server_info(fresh, sections)
            self._refused = False
            return known
        except redis.TimeoutError:
            raise  # a server that hangs would hang over a pooled connection too
        except redis.RedisError as error:
            pooled = pool.get_connection()
            try:
                known = server_info(pooled, sections)
                self._say_if_refused(error)
                return known
            except redis.RedisError:
                pooled.disconnect()
                raise
            finally:
                pool.release(pooled)
        finally:
            fresh.disconnect()

    def _say_if_refused(self, error: redis.RedisError) -> None:
        """Warns once that only the connections which are open already still work."""
        refused = isinstance(error, redis.AuthenticationError) or "CERTIFICATE" in str(error)
        if refused and not self._refused:
            _log.warning(
                "%s refuses new connections, and those that are open go on: has a password or a certificate"
                " been changed? Renew its file, or restart this worker with the new one (%s)",
                self._server_name,
                error,
            )
        self._refused = refused


def server_info(connection: Any, sections: Sequence[str]) -> ServerInfo:
    connection.connect()
    for section in sections:
        connection.send_command("INFO", section)
    info = b"".join(_reply(connection) for _ in sections).decode(errors="replace")
    fields = dict(line.partition(":")[::2] for line in info.splitlines())
    primary = f"{fields.get('master_host', '?')}:{fields.get('master_port', '?')}"
    replicas = int(fields.get("connected_slaves", 0))
    # If an ACL forbids INFO, take the server for the primary: a write to a replica fails anyway.
    return ServerInfo(
        fields.get("role", "master"), fields.get("run_id", ""), primary, replicas, _state(fields)
    )


def _state(fields: Mapping[str, str]) -> StoreServer:
    """From the fields of INFO. Those of sections that are missing, or forbidden, are not known."""
    memory, memory_max, replicas = (
        int(fields[name]) if name in fields else None
        for name in ("used_memory", "maxmemory", "connected_slaves")
    )
    written = [fields[name] for name in _WRITTEN if name in fields]
    saved = all(status == "ok" for status in written) if written else None
    return StoreServer(memory, memory_max, saved, replicas)


def _reply(connection: Any) -> bytes:
    """The next reply; b"" if an ACL forbids the question."""
    try:
        reply: bytes = connection.read_response()
    except redis.exceptions.NoPermissionError:
        return b""
    return reply
