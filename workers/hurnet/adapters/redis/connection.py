"""One way to connect: to a server by its address, or to the one that Sentinels name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from hurnet.adapters.redis.meanings import translated
from hurnet.adapters.redis.primary import Primary
from hurnet.errors import ConfigurationError, ForeignLog
from hurnet.settings.addresses import RedisAddress, redis_address
from hurnet.settings.settings import RedisSettings

HEALTH_CHECK_S: Final = 30
"""A connection idle for longer is pinged before it is used."""
READ_BYTES: Final = 4 << 20
"""Asked of a socket at once: a reply full of batches in one piece takes the client half the time."""

SENTINEL_S: Final = 1.0
"""For one Sentinel to answer; then the next one is asked."""

_CONFIGURATION: Final = ("append*", "maxmemory-policy", "stream-node-max-entries", "min-replicas-to-write")
_ALONE: Final = (
    "min-replicas-to-write",
    "cut off from its replicas it acknowledges what a failover then drops, to be read from Kafka again; set"
    " it to 1",
)
_RISKS: Final = (
    ("appendonly", "yes", "a restart loses what was not saved; set it to yes"),
    (
        "appendfsync",
        "always",
        "a crash can lose the last second, to be read from Kafka again; set it to always",
    ),
    ("maxmemory-policy", "noeviction", "it may drop parts of the context when full; set it to noeviction"),
    (
        "stream-node-max-entries",
        "1",
        "the bytes of erased rows may stay beside their neighbours'; set it to 1",
    ),
)


@dataclass(slots=True)
class Bound:
    """What a process belongs to, "" while it does not know: the epoch of the context that was opened, which
    whatever writes compares first, and the Kafka cluster that it is filled from. The cluster stays when the
    worker is built anew."""

    epoch: str = ""
    cluster: str = ""

    def meet(self, cluster: str) -> None:
        """Raises `ForeignLog` where the context there is another cluster's."""
        if self.cluster and cluster != self.cluster:
            raise ForeignLog(
                f"the context in the store is now one of Kafka cluster {cluster}, and this worker began with"
                f" cluster {self.cluster}: another store took its address. Bring the right one back, or"
                " start the worker anew for this one"
            )
        self.cluster = cluster


@dataclass(frozen=True, slots=True)
class Connection:
    """A pool of connections to one server. `place` names the server to people, without credentials."""

    client: Any  # redis.Redis, whose annotations allow for every protocol and decoding at once
    place: str
    prefix: str
    timeout: float
    primary: Primary
    bound: Bound = field(default_factory=Bound)

    @contextmanager
    def used(self) -> Iterator[None]:
        """For a command or some: to a server that takes writes, with exceptions of ours. After an error the
        next command makes a new connection, which may lead elsewhere."""
        with translated(self.place):
            self.primary.check()
            try:
                yield
            except redis.RedisError:
                self.primary.reconnect()
                raise

    def close(self) -> None:
        """All connections, to Sentinels too."""
        self.client.close()
        if isinstance(pool := self.client.connection_pool, SentinelConnectionPool):
            pool.sentinel_manager.close()

    def warnings(self) -> list[str]:
        """What in the server's configuration could lose data, as far as it lets us see that."""
        with translated(self.place):
            server = self.primary.ask()
            hidden = (
                []
                if server.run_id
                else [
                    self._untold("its role (INFO), so that a failover may go unnoticed", "allowed by +info")
                ]
            )
            try:
                config = {
                    key: value
                    for pattern in _CONFIGURATION
                    for key, value in self.client.config_get(pattern).items()
                }
            except redis.ResponseError:  # forbidden by an ACL, or taken away by whoever runs it
                wanted = ", ".join(f"{name} {good}" for name, good, _ in _RISKS)
                return [*hidden, self._untold("its configuration", wanted)]
        risks = [(name, risk) for name, good, risk in _RISKS if config.get(name, good) != good]
        if server.replicas and config.get("min-replicas-to-write") == "0":
            risks.append(_ALONE)
        return [*hidden, *(f"{self.place} has {name} {config[name]}: {risk}" for name, risk in risks)]

    def _untold(self, what: str, wanted: str) -> str:
        return f"{self.place} does not tell {what}; it should be {wanted}"


def connect(settings: RedisSettings) -> Connection:
    """No round trip yet. Raises `ConfigurationError` for settings that can't be right."""
    try:
        address = redis_address(settings.url)
    except ValueError as error:
        raise ConfigurationError(f"HURNET_REDIS_URL: {error}") from None
    options = _options(settings, address)
    client = _by_sentinel(settings, address, options) if address.service else redis.Redis(**options)
    place = address.place
    return Connection(client, place, settings.prefix, settings.timeout, Primary(client, place))


def _options(settings: RedisSettings, address: RedisAddress) -> dict[str, Any]:
    """The client's, but for the address of a server that Sentinels name."""
    options = {
        "socket_timeout": settings.timeout,
        "socket_read_size": READ_BYTES,
        "health_check_interval": HEALTH_CHECK_S,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # repeating is the worker's loop's
        "db": address.db,
        "username": settings.username or address.username,
        "password": _secret(settings.password) or address.password,
        **_tls(settings, address),
    }
    if address.path:
        return {**options, "unix_socket_path": address.path}
    options |= {"socket_connect_timeout": settings.timeout, "socket_keepalive": True}
    return (
        options
        if address.service
        else {**options, **dict(zip(("host", "port"), address.hosts[0], strict=True))}
    )


class _Sentinels(Sentinel):
    def discover_master(self, service_name: str) -> Any:
        """The client tells only the kind of what went wrong; one of the Sentinels is asked for the words."""
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            try:
                self.sentinels[0].ping()
            except redis.RedisError as error:
                raise MasterNotFoundError(f"{type(error).__name__}: {error}") from error
            raise


def _by_sentinel(settings: RedisSettings, address: RedisAddress, options: dict[str, Any]) -> Any:
    """A client of whichever server the Sentinels call the primary."""
    own = {
        "socket_timeout": min(settings.timeout, SENTINEL_S),
        "socket_connect_timeout": min(settings.timeout, SENTINEL_S),
        "db": 0,
        "username": settings.sentinel_username,
        "password": _secret(settings.sentinel_password),
    }
    sentinels: Any = _Sentinels(address.hosts, sentinel_kwargs={**options, **own})  # type: ignore[no-untyped-call]
    return sentinels.master_for(address.service, **options)


def _secret(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _tls(settings: RedisSettings, address: RedisAddress) -> dict[str, Any]:
    files = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
    given = {name: path for name in files if (path := getattr(settings, name)) is not None}
    if given and not address.tls:
        raise ConfigurationError(
            f"HURNET_REDIS_{next(iter(given)).upper()} needs a URL that begins with rediss://"
            " or sentinel+rediss://"
        )
    for name, path in given.items():
        if not Path(path).is_file():
            raise ConfigurationError(f"HURNET_REDIS_{name.upper()}: there is no file {path}")
    return {"ssl": True, **{files[name]: str(path) for name, path in given.items()}} if address.tls else {}


class _Connected(Protocol):
    @property
    def connection(self) -> Connection: ...


_Store = TypeVar("_Store", bound=_Connected)
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def guarded(
    method: Callable[Concatenate[_Store, _Args], _Result],
) -> Callable[Concatenate[_Store, _Args], _Result]:
    """A store's method within `used`."""

    @wraps(method)
    def call(store: _Store, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        with store.connection.used():
            return method(store, *args, **kwargs)

    return call
