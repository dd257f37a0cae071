"""From settings to a connection: to a server by its address, to the one that Sentinels name, or to a
cluster."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from hurnet_stream.adapters.redis.cluster import ClusterClient
from hurnet_stream.adapters.redis.connection import Connection, ReplicasAck
from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.adapters.redis.primaries import Primaries
from hurnet_stream.adapters.redis.primary import Primary
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports.segments import Segments
from hurnet_stream.settings.addresses import RedisAddress, redis_address
from hurnet_stream.settings.settings import RedisSettings

HEALTH_CHECK_S: Final = 30
"""A connection that was idle for longer is pinged before it is used."""
READ_BYTES: Final = 4 << 20
"""Asked of a socket at once. A reply full of batches takes the client half the time if it comes whole."""
NODE_S: Final = 2.0
"""How long a node of a cluster may take to be connected to before another one is asked."""
SENTINEL_S: Final = 1.0
"""How long one Sentinel may take to answer before the next one is asked."""


def connect(settings: RedisSettings, segments: Segments | None = None) -> Connection:
    """Makes no round trip yet. Without `segments` no sealed row can be read. Raises `ConfigurationError` for
    settings that can't be right."""
    try:
        address = redis_address(settings.url)
    except ValueError as error:
        raise ConfigurationError(f"HURNET_REDIS_URL: {error}") from None
    options = _options(settings, address)
    made = (_to_cluster if address.cluster else _to_server)(settings, address, options)
    return replace(made, segments=segments)


def _to_server(settings: RedisSettings, address: RedisAddress, options: dict[str, Any]) -> Connection:
    client = _by_sentinel(settings, address, options) if address.service else redis.Redis(**options)
    server_name = address.server_name
    return _made(settings, client, server_name, Primary(client, server_name))


def _to_cluster(settings: RedisSettings, address: RedisAddress, options: dict[str, Any]) -> Connection:
    # One that does not answer must not keep us from asking the next one for long.
    connect_s = min(settings.timeout, NODE_S)
    of_nodes = {name: option for name, option in options.items() if name not in ("db", "retry")}
    client = ClusterClient(
        address.hosts,
        Keys(settings.prefix, cluster=True).meta,
        {**of_nodes, "socket_connect_timeout": connect_s},
    )
    return _made(settings, client, address.server_name, Primaries(client))


def _made(settings: RedisSettings, client: Any, server_name: str, primary: Primary | Primaries) -> Connection:
    replicas = ReplicasAck(settings.replicas_ack, settings.replicas_ack_timeout)
    if replicas.count and replicas.timeout_s >= settings.timeout:
        raise ConfigurationError("HURNET_REDIS_REPLICAS_ACK_TIMEOUT must be below HURNET_REDIS_TIMEOUT")
    return Connection(client, server_name, settings.prefix, settings.timeout, primary, replicas=replicas)


def _options(settings: RedisSettings, address: RedisAddress) -> dict[str, Any]:
    """The client's options. The address is left out if Sentinels or nodes of a cluster name the server."""
    options = {
        "socket_timeout": settings.timeout,
        "socket_read_size": READ_BYTES,
        "health_check_interval": HEALTH_CHECK_S,
        "protocol": 2,
        # No retries: the worker's loop repeats, and a client that repeated an append would hide that its
        # first try may have been in.
        "retry": Retry(NoBackoff(), 0),
        "db": address.db,
        "credential_provider": _Credentials(settings, settings.username or address.username),
        **_tls(settings, address),
    }
    if address.path:
        return {**options, "unix_socket_path": address.path}
    options |= {"socket_connect_timeout": settings.timeout, "socket_keepalive": True}
    if address.service or address.cluster:
        return options
    host, port = address.hosts[0]
    return {**options, "host": host, "port": port}


class _Sentinels(Sentinel):
    def discover_master(self, service_name: str) -> Any:
        """The client hides why no Sentinel named a primary; ask one of them again for the reason."""
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
    sentinel_options = {
        **options,
        "socket_timeout": min(settings.timeout, SENTINEL_S),
        "socket_connect_timeout": min(settings.timeout, SENTINEL_S),
        "db": 0,
        "credential_provider": _Credentials(settings, settings.sentinel_username, "sentinel_password"),
    }
    sentinels: Any = _Sentinels(address.hosts, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    return sentinels.master_for(address.service, **options)


class _Credentials(CredentialProvider):
    """User and password, of the password's file as it is when a connection is made."""

    def __init__(self, settings: RedisSettings, username: str | None, kind: str = "password") -> None:
        self._settings = settings
        self._username = username
        self._kind = kind

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._settings.current(self._kind)
        if password is None and self._kind == "password":  # it may be in the URL
            with suppress(ValueError):
                password = redis_address(self._settings.current("url") or "").password
        if password is None:
            return ()  # type: ignore[return-value] # no AUTH is sent
        return (self._username, password) if self._username else (password,)


def _tls(settings: RedisSettings, address: RedisAddress) -> dict[str, Any]:
    # our setting -> the client's option
    names = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
    given = {name: path for name in names if (path := getattr(settings, name)) is not None}
    if given and not address.tls:
        raise ConfigurationError(
            f"HURNET_REDIS_{next(iter(given)).upper()} needs a URL that begins with rediss://"
            ", sentinel+rediss:// or rediss+cluster://"
        )
    for name, path in given.items():
        if not Path(path).is_file():
            raise ConfigurationError(f"HURNET_REDIS_{name.upper()}: there is no file {path}")
    # A function, which OpenSSL asks if the key has a password. Without one it would ask on the terminal.
    password = {"ssl_password": lambda: settings.current("key_password") or ""}
    files = {names[name]: str(path) for name, path in given.items()}
    return {"ssl": True, **password, **files} if address.tls else {}
