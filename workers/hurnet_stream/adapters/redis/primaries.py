"""As `Primary`, of a Redis Cluster: which of its servers have the store, and what they say of themselves.

A server that has lost a slot says where it is (MOVED), so nobody reads on at an old primary without an error,
as may happen to a lone server behind an address. What remains is to notice that a slot's server was
restarted, or that a replica took its place, perhaps with less than was acknowledged:

    slot 5474 (the store)    server 7f..            7f..           7f..
    slot 4773 (shard 0)      server a0..            c3..           c3..
    run_id                   0                      1 (changed)    1

So once a second, before a command, the servers of the slots that were used are asked for their role and run
id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import redis

from hurnet_stream.adapters.redis.cluster import ClusterClient
from hurnet_stream.adapters.redis.primary import (
    CHECK_S,
    CHECK_SHARE,
    IDENTITY,
    STATE,
    STATE_S,
    ServerInfo,
    server_info,
)
from hurnet_stream.ports import StoreServer

PARTED: Final = "+"


class Primaries:
    """Watches the servers of a cluster that have slots of the store."""

    def __init__(self, client: ClusterClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._due = float("-inf")  # the next check, by the clock
        self._state_due = float("-inf")
        self._run_ids: dict[int, str] = {}  # by slot
        self._changes = 0
        self._states: dict[str, StoreServer] = {}

    @property
    def state(self) -> StoreServer:
        """Of the server that is worst off, of those that were asked last."""
        return worst(self._states.values())

    @property
    def states(self) -> Mapping[str, StoreServer]:
        """How each server was when it was last asked, by host:port."""
        return self._states

    @property
    def run_id(self) -> str:
        """Another one each time that a slot of the store has got another server, or a restarted one."""
        home = self._run_ids.get(self._client.slot_of(), "")
        return f"{home}{PARTED}{self._changes}"

    def check(self) -> None:
        """Ask the servers if a check is due. One that can't be asked is looked for elsewhere, and not waited
        for: whoever needs it notices."""
        began = self._clock()
        if began < self._due:
            return
        with_state = began >= self._state_due
        states: dict[str, StoreServer] = {}
        for name, slots, server in self._asked((*IDENTITY, *STATE) if with_state else IDENTITY):
            states[name] = server.state
            self._note(slots, server)
        if with_state:
            self._states, self._state_due = states, began + STATE_S
        self._due = self._clock() + max(CHECK_S, CHECK_SHARE * (self._clock() - began))

    def reconnect(self) -> None:
        """Ask which server has which slot, and check, before the next command."""
        self._client.forget_servers()
        self._due = float("-inf")

    def ask(self, sections: Sequence[str] = IDENTITY) -> Iterator[tuple[str, Any, ServerInfo]]:
        """host:port, client and answer of each server that has some of the store."""
        for name, (client, _) in self._client.servers().items():
            yield name, client, _answer(client, sections)

    def _asked(self, sections: Sequence[str]) -> Iterator[tuple[str, frozenset[int], ServerInfo]]:
        for name, (client, slots) in self._client.servers().items():
            try:
                server = _answer(client, sections)
            except redis.AuthenticationError:
                raise
            except redis.RedisError:
                self._client.forget_servers()
                continue
            if server.role != "master":
                self._client.forget_servers()
            else:
                yield name, slots, server

    def _note(self, slots: frozenset[int], server: ServerInfo) -> None:
        for slot in slots:
            known = self._run_ids.get(slot)
            if known is not None and known != server.run_id:
                self._changes += 1
            self._run_ids[slot] = server.run_id


def _answer(client: Any, sections: Sequence[str]) -> ServerInfo:
    connection = client.connection_pool.get_connection()
    try:
        return server_info(connection, sections)
    except BaseException:
        connection.disconnect()
        raise
    finally:
        client.connection_pool.release(connection)


def worst(states: Sequence[StoreServer] | Any) -> StoreServer:
    """What is to be told of several servers as of one: the memory of the one that is fullest, whether all
    could write to their files, and the fewest replicas that one has."""
    known = list(states)
    if not known:
        return StoreServer()
    fullest = max(known, key=lambda each: (_fill(each), each.memory_bytes or 0))
    saved = [each.saved for each in known if each.saved is not None]
    replicas = [each.replicas for each in known if each.replicas is not None]
    return StoreServer(
        fullest.memory_bytes,
        fullest.memory_max_bytes,
        all(saved) if saved else None,
        min(replicas, default=None),
    )


def _fill(server: StoreServer) -> float:
    return (server.memory_bytes or 0) / server.memory_max_bytes if server.memory_max_bytes else 0.0
