"""Pools of connections to one server, or to the servers of a cluster, with errors in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import redis
from redis.sentinel import SentinelConnectionPool

from hurnet_stream.adapters.redis import risks
from hurnet_stream.adapters.redis.calls import NO_ROUND_TRIP, OnCall, measured, nobody, op_of
from hurnet_stream.adapters.redis.cluster import ClusterClient
from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.adapters.redis.meanings import translated
from hurnet_stream.adapters.redis.primaries import Primaries
from hurnet_stream.adapters.redis.primary import Primary
from hurnet_stream.errors import ForeignLog, RedisFailing
from hurnet_stream.ports.segments import Segments


@dataclass(slots=True)
class Bound:
    """What a process belongs to; "" as long as it does not know.

    `epoch` is that of the store that was opened: every script that writes compares it first. `cluster` is
    the Kafka cluster that fills the store. It outlives the worker, which may be built anew in the process.
    """

    epoch: str = ""
    cluster: str = ""

    def meet(self, cluster: str) -> None:
        """Raises `ForeignLog` if the store belongs to another cluster than the one this process met first."""
        if self.cluster and cluster != self.cluster:
            raise ForeignLog(
                f"the store is now one of Kafka cluster {cluster}, and this worker began with"
                f" cluster {self.cluster}: another store took its address. Bring the right one back, or"
                " start the worker anew for this one"
            )
        self.cluster = cluster


@dataclass(frozen=True, slots=True)
class ReplicasAck:
    """How many replicas must have a write before it counts, and how long they may take."""

    count: int = 0
    timeout_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Connection:
    """Pools of connections to one server, or to those of a cluster. `server_name` names it to people, without
    credentials. `on_call` is told of each call of a store."""

    client: Any  # redis.Redis or ClusterClient; the annotations allow for every protocol and decoding at once
    server_name: str
    prefix: str
    timeout_s: float
    primary: Primary | Primaries
    bound: Bound = field(default_factory=Bound)
    on_call: OnCall = nobody
    segments: Segments | None = None
    """Where sealed rows are, if it is known."""
    replicas: ReplicasAck = ReplicasAck()
    home_prefix: str = ""
    """If `prefix` is that of a later generation: the prefix that the settings name."""

    @property
    def keys(self) -> Keys:
        return Keys(self.prefix, self.is_cluster)

    @property
    def home_keys(self) -> Keys:
        """Those of the first generation."""
        return Keys(self.home, self.is_cluster)

    @property
    def is_cluster(self) -> bool:
        """Whether this is a Redis Cluster, where the keys of a script or transaction must be in one slot."""
        return isinstance(self.client, ClusterClient)

    @property
    def home(self) -> str:
        """The prefix that the settings name: that of the first generation."""
        return self.home_prefix or self.prefix

    @contextmanager
    def used(self) -> Iterator[None]:
        """Around one or several commands: they go to a server that takes writes, and raise our errors."""
        with translated(self.server_name, self.is_cluster):
            self.primary.check()
            try:
                yield
            except redis.RedisError:
                # The next command makes a new connection, which may lead to another server by then.
                self.primary.reconnect()
                raise

    def settle(self, key: str) -> None:
        """Wait until enough replicas have all that was written before to the slot of `key`, which is written
        to.

        Raises `RedisFailing` if they have not in time: what was written is there, and may be lost in a
        failover.
        """
        if self.replicas.count:
            pipe = self.client.pipeline(transaction=False)
            pipe.set(key, 1)  # WAIT is about what its own connection has written
            self.queue_wait(pipe, key)
            self.check_acknowledged(pipe.execute()[1])

    def queue_wait(self, pipe: Any, key: str) -> bool:
        """Queue the wait for replicas, behind what was queued for the slot of `key`. False: none is asked
        for."""
        if self.replicas.count:
            at = {"slot_of": key} if self.is_cluster else {}
            pipe.execute_command("WAIT", self.replicas.count, round(self.replicas.timeout_s * 1000), **at)
        return self.replicas.count > 0

    def check_acknowledged(self, count: int) -> None:
        """Raises `RedisFailing` if that are too few replicas."""
        if count < self.replicas.count:
            raise RedisFailing(
                f"{self.server_name}: {count} of {self.replicas.count} replicas (HURNET_REDIS_REPLICAS_ACK)"
                f" have what was written within {self.replicas.timeout_s:g} s; this worker tries again"
            )

    def warnings(self) -> list[str]:
        """What in the server's configuration could lose data, as far as the server lets us see it."""
        with translated(self.server_name, self.is_cluster):
            if isinstance(self.primary, Primary):
                return risks.warnings(self.client, self.primary.ask(), self.server_name)
            return [
                warning
                for name, client, server in self.primary.ask()
                for warning in risks.warnings(client, server, f"Redis at {name}, of the cluster,")
            ]

    def close(self) -> None:
        """Close all connections, those to Sentinels too."""
        if self.segments:
            self.segments.close()
        self.client.close()
        if self.is_cluster:
            return
        if isinstance(pool := self.client.connection_pool, SentinelConnectionPool):
            pool.sentinel_manager.close()


class _Connected(Protocol):
    @property
    def connection(self) -> Connection: ...


_Store = TypeVar("_Store", bound=_Connected)
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def guarded(
    method: Callable[Concatenate[_Store, _Args], _Result],
) -> Callable[Concatenate[_Store, _Args], _Result]:
    """A decorator: the method of a store runs within `used` of its connection, and is measured."""
    op = op_of(method.__name__)

    @wraps(method)
    def unmeasured(store: _Store, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        with store.connection.used():
            return method(store, *args, **kwargs)

    @wraps(method)
    def call(store: _Store, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        with measured(store.connection.on_call, op) as this, store.connection.used():
            result = method(store, *args, **kwargs)
            this.returned(result)
            return result

    return unmeasured if method.__name__ in NO_ROUND_TRIP else call
