"""Which server answers, asked anew now and then.

A pooled connection stays where it is: when a replica is promoted and nobody ends the old primary's
connections, one would go on reading from a server that gets nothing any more, without an error. So once a
second, before a command, a new connection is made, in the way a command's would be (by name, through a proxy,
by Sentinel), and the server at its end is asked for its role and its run id. A replica, or another server
than before, ends all pooled connections.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import redis

from hurnet.errors import RedisFailing

CHECK_S: Final = 1.0
SHARE: Final = 4
"""A check that takes long comes seldom: at most a quarter of the time goes into checks."""


class Identity(NamedTuple):
    """What a server says of itself. The run id is drawn at its start; "" where it may not be asked."""

    role: str
    run_id: str
    primary: str
    replicas: int


class Primary:
    """Sees to it that the pool of `client` leads to one server that takes writes."""

    def __init__(self, client: Any, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._place = place
        self._clock = clock
        self._due = float("-inf")
        self._run_id = ""

    @property
    def run_id(self) -> str:
        """Of the server that answered last. A new one means that it was restarted or another has taken its
        place, perhaps with less than was acknowledged before."""
        return self._run_id

    def check(self) -> None:
        """Raises `RedisFailing` at a replica, and the client's errors where nobody can be asked."""
        began = self._clock()
        if began < self._due:
            return
        found = self.ask()
        if found.role != "master":
            self.reconnect()
            raise RedisFailing(
                f"{self._place} is a replica and takes no writes: wait for the failover, or set"
                f" HURNET_REDIS_URL to the primary ({found.primary}, it says)"
            )
        if found.run_id != self._run_id and self._run_id:
            self.reconnect()
        self._run_id = found.run_id
        self._due = self._clock() + max(CHECK_S, SHARE * (self._clock() - began))

    def reconnect(self) -> None:
        """End all connections, those in use by other threads after their command, and check the next one."""
        pool = self._client.connection_pool
        pool.disconnect(inuse_connections=False)
        pool.update_active_connections_for_reconnect()
        self._due = float("-inf")

    def ask(self) -> Identity:
        """Over a new connection; if there is none to be had (the Sentinels are away, or the server has as
        many connections as it takes), over one that there is."""
        pool = self._client.connection_pool
        new = pool.connection_class(**pool.connection_kwargs)
        try:
            return _told(new)
        except redis.TimeoutError:
            raise
        except redis.RedisError:
            pooled = pool.get_connection()
            try:
                return _told(pooled)
            except redis.RedisError:
                pooled.disconnect()
                raise
            finally:
                pool.release(pooled)
        finally:
            new.disconnect()


def _told(connection: Any) -> Identity:
    connection.connect()
    for section in ("server", "replication"):
        connection.send_command("INFO", section)
    info = b"".join(_reply(connection) for _ in range(2)).decode(errors="replace")
    fields = dict(line.partition(":")[::2] for line in info.splitlines())
    primary = f"{fields.get('master_host', '?')}:{fields.get('master_port', '?')}"
    replicas = int(fields.get("connected_slaves", 0))
    return Identity(fields.get("role", "master"), fields.get("run_id", ""), primary, replicas)


def _reply(connection: Any) -> bytes:
    """Nothing where an ACL forbids to ask."""
    try:
        reply: bytes = connection.read_response()
    except redis.exceptions.NoPermissionError:
        return b""
    return reply
