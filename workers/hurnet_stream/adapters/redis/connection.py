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
from hurnet_stream.errors import ForeignLog
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
