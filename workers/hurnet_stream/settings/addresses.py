"""Addresses of servers: lists of host:port, and Redis URLs. IPv6 addresses are in brackets.

What is wrong raises ValueError. Its text never repeats what was given, because that may hold a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_HOST_PORT: Final = re.compile(
    r"(?:\[(?P<v6>[^\]\s]+)\]|(?P<name>[^\s:/@?#,\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)
REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
REDIS_FORMS: Final = (
    "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS), unix://PATH,"
    " sentinel+redis(s)://HOST:PORT,HOST:PORT/SERVICE/DB, or redis(s)+cluster://HOST:PORT,HOST:PORT"
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a Redis URL says: a host, the path of a socket, a service that Sentinels know, or some nodes of a
    cluster."""

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    tls: bool = False
    cluster: bool = False
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def server_name(self) -> str:
        """The address for a person, without user and password."""
        if self.path:
            return f"Redis at {self.path}"
        hosts = ",".join(shown(*host) for host in self.hosts)
        if self.cluster:
            return f"Redis Cluster at {hosts}"
        return f"Redis {self.service!r} by Sentinel at {hosts}" if self.service else f"Redis at {hosts}"


def shown(host: str, port: int) -> str:
    """host:port, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_ports(text: str, default_port: int | None = None) -> tuple[tuple[str, int], ...]:
    """The pairs of `host:port,[::1]:port`. Spaces around commas do not matter. Raises ValueError."""
    pairs = tuple(_host_port(part.strip(), default_port) for part in text.split(",") if part.strip())
    if not pairs:
        raise ValueError("must be host:port, or several of them separated by commas")
    return pairs


def _host_port(text: str, default_port: int | None) -> tuple[str, int]:
    parts = _HOST_PORT.fullmatch(text)
    port = int(parts["port"] or default_port or 0) if parts else 0
    if not parts or not 0 < port < 65_536:
        raise ValueError(
            "a server is host:port, where the port is 1 to 65535 and an IPv6 address is in brackets: "
            "[::1]:9092"
        )
    if parts["v6"]:
        IPv6Address(parts["v6"].partition("%")[0])  # raises ValueError; after the % is the interface
    else:
        check_name(parts["name"])
    return parts["v6"] or parts["name"], port


def check_name(host: str) -> None:
    """Raises ValueError if no host can have this name."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("no host has a name like this: between its dots are 1 to 63 characters") from None


def redis_address(url: str) -> RedisAddress:
    """What a Redis URL says. Raises ValueError."""
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        raise ValueError(f"must be {REDIS_FORMS}") from None
    if set(options) - {"db"} or parts.fragment:
        raise ValueError("takes no option except db; others have settings of their own")
    take_apart = {
        "redis": _server,
        "rediss": _server,
        "unix": _unix,
        "sentinel+redis": _sentinel,
        "sentinel+rediss": _sentinel,
        "redis+cluster": _cluster,
        "rediss+cluster": _cluster,
    }.get(parts.scheme)
    if take_apart is None:
        raise ValueError(f"must be {REDIS_FORMS}")
    try:
        return take_apart(parts, options.get("db", [""])[-1])
    except ValueError as error:
        raise ValueError(f"must be {REDIS_FORMS}: {error}") from None


def _server(parts: SplitResult, db: str) -> RedisAddress:
    hosts = host_ports(_hosts(parts) or "localhost", REDIS_PORT)
    if len(hosts) > 1:
        raise ValueError("only Sentinels and the nodes of a cluster can be several hosts")
    number = _db(db or parts.path.strip("/"))
    username, password = _credentials(parts)
    return RedisAddress(hosts, tls=parts.scheme == "rediss", db=number, username=username, password=password)


def _unix(parts: SplitResult, db: str) -> RedisAddress:
    path = unquote(parts.path)
    if not path.startswith("/") or path == "/" or _hosts(parts):
        raise ValueError("a socket needs its whole path: unix:///PATH")
    username, password = _credentials(parts)
    return RedisAddress(path=path, db=_db(db), username=username, password=password)


def _sentinel(parts: SplitResult, db: str) -> RedisAddress:
    service, _, number = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("Sentinels need the name of a service: /SERVICE after the hosts")
    username, password = _credentials(parts)
    return RedisAddress(
        host_ports(_hosts(parts), SENTINEL_PORT),
        service=unquote(service),
        tls=parts.scheme.endswith("rediss"),
        db=_db(db or number),
        username=username,
        password=password,
    )


def _cluster(parts: SplitResult, db: str) -> RedisAddress:
    if _db(db or parts.path.strip("/")):
        raise ValueError("a cluster has no databases but 0")
    username, password = _credentials(parts)
    hosts = host_ports(_hosts(parts) or "localhost", REDIS_PORT)
    tls = parts.scheme == "rediss+cluster"
    return RedisAddress(hosts, tls=tls, cluster=True, username=username, password=password)


def _hosts(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    """Username and password."""
    username, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(username) or None, unquote(password) or None


def _db(text: str) -> int:
    if not re.fullmatch(r"[0-9]{0,6}", text):
        raise ValueError("a database is a number, as in /0")
    return int(text or 0)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    bare = host.lower().strip("[]")
    try:
        return bare == "localhost" or ip_address(bare).is_loopback
    except ValueError:
        return False
