"""A client of a Redis Cluster that sends each command to the server of its key's slot.

redis-py's `RedisCluster` knows which server has which slot, and keeps a pool of connections to each. Commands
go another way than through it, for three reasons. Its pipelines send what has failed once more by themselves,
command by command, so that an append that was in would look refused. They ask a server for the keys of each
EVAL and XREAD, with the whole batch in the question. And it learns at its start what all commands of a server
are. Here a command's key is known by its place, and

    a command      goes to the server of its slot; if the slot has moved, to the one that the reply names
    a pipeline     is one round trip to all servers at once; the commands for one slot keep their order
    a transaction  (WATCH, MULTI, EXEC) is one of redis-py's, to the server of the first key that it watches

Of a pipeline, a slot's commands are sent again only if all of them were refused because the slot has moved,
so that none of them was executed. In every other case the error is raised, and the caller begins anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.commands.core import CoreCommands
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisClusterException
from redis.retry import Retry

MOVES: Final = 4
"""How often a command follows a slot that is moved again and again."""
_KEYLESS: Final = frozenset({"ACL WHOAMI", "CONFIG GET", "INFO", "PING", "TIME", "WAIT"})

_Commands: Any = CoreCommands

Command = tuple[tuple[Any, ...], dict[str, Any]]
"""Its words, and the options of the client, of which `slot_of` is ours: a key by which it finds its
server."""


def key_of(words: Sequence[Any]) -> Any:
    """The first key of a command; None if it has none."""
    name = words[0]
    if name in _KEYLESS:
        return None
    if name == "EVAL":
        return words[3] if int(words[2]) else None
    if name == "XREAD":
        return words[[*words].index(b"STREAMS") + 1]
    return words[1]


class ClusterClient(_Commands):  # type: ignore[misc] # redis-py's annotations allow for coroutines, too
    """What of `redis.Redis` our stores use. Commands without a key go to the server of the slot `home`."""

    def __init__(self, hosts: Sequence[tuple[str, int]], home: str, options: Mapping[str, Any]) -> None:
        self._hosts = list(hosts)
        self._home = home
        self._options = dict(options)
        self._cluster: Any = None
        self._stale = False
        self._lock = threading.Lock()
        self.slots: set[int] = set()
        """Those with a hash tag that were asked for: where the store is."""

    def execute_command(self, *words: Any, **options: Any) -> Any:
        key = options.pop("slot_of", None) or key_of(words)
        for _ in range(MOVES):
            try:
                return self.client_of(key).execute_command(*words, **options)
            except MovedError as error:
                self._follow(error)
            except AskError as error:
                return self._ask(error, words, options)
        raise ClusterDownError("CLUSTERDOWN a slot is being moved again and again")

    def pipeline(self, transaction: bool = True) -> Any:
        return _Transaction(self) if transaction else _Pipeline(self)

    def client_of(self, key: Any = None) -> Any:
        """The client (redis.Redis) of the server that has the slot of this key."""
        return self._client_of_slot(self.slot_of(key))

    def slot_of(self, key: Any = None) -> int:
        encoded = self._encoded(self._home if key is None else key)
        slot: int = key_slot(encoded)
        if b"{" in encoded:
            self.slots.add(slot)
        return slot

    def servers(self) -> Mapping[str, tuple[Any, frozenset[int]]]:
        """host:port of each server that has some of the store, its client, and which slots of the store."""
        cluster = self._known()
        found: dict[str, tuple[Any, set[int]]] = {}
        for slot in sorted(self.slots | {self.slot_of()}):
            node = self._node(cluster, slot)
            found.setdefault(node.name, (cluster.get_redis_connection(node), set()))[1].add(slot)
        return {name: (client, frozenset(slots)) for name, (client, slots) in found.items()}

    def scan_iter(self, match: str, count: int) -> Iterator[bytes]:
        """Keys of all servers. While a slot is moved, some may come twice or be left out."""
        cluster = self._known()
        for node in cluster.get_primaries():
            yield from cluster.get_redis_connection(node).scan_iter(match, count)

    def unlink(self, *names: Any) -> int:
        pipe = self.pipeline(transaction=False)
        for name in names:
            pipe.execute_command("UNLINK", name)
        return sum(pipe.execute())

    delete = unlink

    def forget_servers(self) -> None:
        """Ask again which server has which slot, before the next command."""
        self._stale = True

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.close()

    def send(self, commands: Sequence[Command], moves: int = MOVES) -> list[Any]:
        """One reply or error for each command, in their order. Raises the client's errors of connections."""
        slots = [self.slot_of(options.get("slot_of") or key_of(words)) for words, options in commands]
        replies = self._exchanged(commands, slots)
        moved = _moved(slots, replies)
        if moved and moves > 1:
            for error in moved.values():
                self._follow(error)
            again = [number for number, slot in enumerate(slots) if slot in moved]
            later = self.send([commands[number] for number in again], moves - 1)
            for number, reply in zip(again, later, strict=True):
                replies[number] = reply
        return replies

    def _exchanged(self, commands: Sequence[Command], slots: Sequence[int]) -> list[Any]:
        """Written to all servers first, then read from all, so that it takes the time of the slowest."""
        by_client: dict[Any, list[int]] = {}
        for number, slot in enumerate(slots):
            by_client.setdefault(self._client_of_slot(slot), []).append(number)
        replies: list[Any] = [None] * len(commands)
        unread: list[tuple[Any, Any, list[int]]] = []
        try:
            for client, numbers in by_client.items():
                connection = client.connection_pool.get_connection()
                unread.append((client, connection, numbers))
                connection.send_packed_command(connection.pack_commands([commands[n][0] for n in numbers]))
            while unread:
                client, connection, numbers = unread[0]
                for number in numbers:
                    replies[number] = _read(client, connection, commands[number])
                unread.pop(0)
                client.connection_pool.release(connection)
        finally:
            for client, connection, _ in unread:  # what they still owe us nobody may take for another reply
                connection.disconnect()
                client.connection_pool.release(connection)
        return replies

    def _client_of_slot(self, slot: int) -> Any:
        cluster = self._known()
        return cluster.get_redis_connection(self._node(cluster, slot))

    def _node(self, cluster: Any, slot: int) -> Any:
        try:
            return cluster.nodes_manager.get_node_from_slot(slot)
        except RedisClusterException as error:
            self._stale = True
            raise ClusterDownError(f"CLUSTERDOWN no server has slot {slot}") from error

    def _known(self) -> Any:
        """The `RedisCluster`, which knows the servers and their slots."""
        if self._cluster is not None and not self._stale:
            return self._cluster
        with self._lock:
            try:
                if self._cluster is None:
                    self._cluster = self._connected()
                elif self._stale:
                    self._cluster.nodes_manager.initialize(additional_startup_nodes_info=self._hosts)
                self._stale = False
            except RedisClusterException as error:
                raise _reason(error) from error
        return self._cluster

    def _connected(self) -> Any:
        nodes = [_node(*host) for host in self._hosts]
        # Without full coverage: what a lost server had is away, and the rest can still be read.
        once = Retry(NoBackoff(), 0)
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, retry=once, **self._options)

    def _follow(self, error: MovedError) -> None:
        self._known().nodes_manager.move_slot(error)

    def _ask(self, error: AskError, words: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """The key is at another server already, while the rest of its slot is on the way."""
        cluster = self._known()
        node = cluster.get_node(error.host, error.port) or _node(error.host, error.port)
        pipe = cluster.get_redis_connection(node).pipeline(transaction=False)
        return pipe.execute_command("ASKING").execute_command(*words, **options).execute()[1]

    @staticmethod
    def _encoded(key: Any) -> bytes:
        return key.encode() if isinstance(key, str) else bytes(key)


class _Pipeline(_Commands):  # type: ignore[misc] # as above
    """Commands that are sent together. Unlike those of `redis.Redis` they are not executed one after the
    other if they are for different slots."""

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster
        self._commands: list[Command] = []

    def execute_command(self, *words: Any, **options: Any) -> Any:
        self._commands.append((words, options))
        return self

    def execute(self) -> list[Any]:
        """Raises the first error that a server replied."""
        commands, self._commands = self._commands, []
        replies = self._cluster.send(commands) if commands else []
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


class _Transaction:
    """WATCH, MULTI and EXEC in one slot, by a pipeline of redis-py to its server."""

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster
        self._pipe: Any = None

    def __enter__(self) -> _Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is not None:
            self._pipe.reset()

    def watch(self, *names: Any) -> Any:
        return self.at(names[0]).watch(*names)

    def at(self, key: Any) -> Any:
        """The pipeline, in which all keys must be in the slot of this one."""
        if self._pipe is None:
            self._pipe = self._cluster.client_of(key).pipeline(transaction=True)
        return self._pipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)


def _node(host: str, port: int) -> Any:
    return ClusterNode(host, port)  # type: ignore[no-untyped-call]


def _read(client: Any, connection: Any, command: Command) -> Any:
    words, options = command
    given = {name: value for name, value in options.items() if name != "slot_of"}
    try:
        return client.parse_response(connection, words[0], **given)
    except redis.ResponseError as error:
        return error


def _moved(slots: Sequence[int], replies: Sequence[Any]) -> dict[int, MovedError]:
    """The slots of which every command was refused because they have moved. One to which a WAIT was sent is
    not among them: WAIT names no key, so it is never refused for that."""
    refused: dict[int, MovedError] = {}
    executed: set[int] = set()
    for slot, reply in zip(slots, replies, strict=True):
        if isinstance(reply, MovedError):
            refused[slot] = reply
        else:
            executed.add(slot)
    return {slot: error for slot, error in refused.items() if slot not in executed}


def _reason(error: Exception) -> redis.RedisError:
    """Why no server said which one has which slot: redis-py hides it behind errors that are none of its
    own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, redis.RedisError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return redis.ConnectionError(str(error))
