"""One way to connect, and one place where the client's exceptions become ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.errors import ConfigurationError, ForeignLog, HurnetError, RedisFailing, Unreadable
from workers.settings import RedisSettings

HEALTH_CHECK_S: Final = 30
"""A connection idle for longer is pinged before it is used."""
READ_BYTES: Final = 4 << 20
"""Asked of a socket at once: a reply full of batches in one piece takes the client half the time."""

# What the client's exception classes and the server's error codes mean; the first that is met counts.
_MEANINGS: Final[tuple[tuple[str, type[HurnetError], str], ...]] = (
    (
        "AuthenticationError AuthenticationWrongNumberOfArgsError NOAUTH WRONGPASS",
        ConfigurationError,
        "asks for a password, or refuses the one it got: set HURNET_REDIS_PASSWORD"
        " (and HURNET_REDIS_USERNAME for an ACL user)",
    ),
    (
        "NoPermissionError AuthorizationError NOPERM",
        ConfigurationError,
        "forbids its user what is needed ({text}): grant +@all on the keys of HURNET_REDIS_PREFIX",
    ),
    (
        "ReadOnlyError READONLY",
        RedisFailing,
        "is a replica and takes no writes: wait for the failover, or set HURNET_REDIS_URL to the primary",
    ),
    (
        "OutOfMemoryError OOM",
        RedisFailing,
        "is full: raise its maxmemory; nothing is lost, this worker waits",
    ),
    (
        "MISCONF",
        RedisFailing,
        "can't write to its disk: free some space, and see its log; nothing is lost, this worker waits",
    ),
    ("NOREPLICAS", RedisFailing, "has too few replicas in reach to take writes (min-replicas-to-write)"),
    ("BusyLoadingError LOADING", RedisFailing, "is loading its data"),
    ("BUSY", RedisFailing, "is busy with a script"),
    (
        "ClusterCrossSlotError CROSSSLOT MovedError AskError MOVED",
        ConfigurationError,
        "is a node of a Redis Cluster; one server (with replicas) is needed",
    ),
    (
        "ClusterDownError TryAgainError CLUSTERDOWN MASTERDOWN TRYAGAIN",
        RedisFailing,
        "belongs to a group that is down ({text})",
    ),
    (
        "WRONGTYPE",
        Unreadable,
        "holds another program's data under our keys: set HURNET_REDIS_PREFIX to a name of your own",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        ConfigurationError,
        "has a certificate that can't be verified: set HURNET_REDIS_CA_FILE ({text})",
    ),
    (
        "NO_CERTIFICATE_OR_CRL_FOUND KEY_VALUES_MISMATCH PEM",
        ConfigurationError,
        "can't be reached with these certificate files ({text})",
    ),
    ("TimeoutError", RedisFailing, "did not answer in time"),
    ("ConnectionError", RedisFailing, "can't be reached ({text})"),
    ("ResponseError", ConfigurationError, "can't do what is needed ({text})"),
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
                f"the context in the store is now one of Kafka cluster {cluster}, and this worker began"
                " with cluster"
                f" {self.cluster}: another store took its address. Bring the right one back, or start the"
                " worker anew for this one"
            )
        self.cluster = cluster


@dataclass(frozen=True, slots=True)
class Connection:
    """A pool of connections to one server. `place` names the server to people, without credentials."""

    client: Any  # redis.Redis, whose annotations allow for every protocol and decoding at once
    place: str
    prefix: str
    timeout: float
    bound: Bound = field(default_factory=Bound)

    def warnings(self) -> list[str]:
        """What in the server's configuration could lose data, as far as it lets us see that."""
        with translated(self.place):
            try:
                config = {
                    key: value
                    for pattern in ("append*", "maxmemory-policy", "stream-node-max-entries")
                    for key, value in self.client.config_get(pattern).items()
                }
            except redis.ResponseError:  # forbidden by an ACL, or taken away by whoever runs it
                wanted = ", ".join(f"{name} {good}" for name, good, _ in _RISKS)
                return [f"{self.place} does not tell its configuration; it should be {wanted}"]
        return [
            f"{self.place} has {name} {config[name]}: {risk}"
            for name, good, risk in _RISKS
            if config.get(name, good) != good
        ]


def connect(settings: RedisSettings) -> Connection:
    """No round trip yet. Raises `ConfigurationError` for settings that can't be right."""
    options: dict[str, Any] = {
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "socket_keepalive": True,
        "socket_read_size": READ_BYTES,
        "health_check_interval": HEALTH_CHECK_S,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # repeating is the worker's loop's
        **_tls(settings),
    }
    if settings.username is not None:
        options["username"] = settings.username
    if settings.password is not None:
        options["password"] = settings.password.get_secret_value()
    try:
        place = _place(settings.url)
        client = redis.Redis.from_url(settings.url, **options)
    except ValueError:  # its message may quote the password
        raise ConfigurationError(
            "HURNET_REDIS_URL must be redis://HOST:PORT/DB, rediss:// or unix://PATH"
        ) from None
    return Connection(client, place, settings.prefix, settings.timeout)


def _place(url: str) -> str:
    parts = urlsplit(url)
    if set(parse_qs(parts.query, keep_blank_values=True)) - {"db"}:
        raise ConfigurationError(
            "HURNET_REDIS_URL takes no options but db; the others have settings of their own"
        )
    if parts.scheme == "unix":
        return f"Redis at {parts.path}"
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"Redis at {host or 'localhost'}:{parts.port or 6379}"


def _tls(settings: RedisSettings) -> dict[str, str]:
    files = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
    given = {name: path for name in files if (path := getattr(settings, name)) is not None}
    if given and not settings.url.startswith("rediss://"):
        raise ConfigurationError(
            f"HURNET_REDIS_{next(iter(given)).upper()} needs a URL that begins with rediss://"
        )
    for name, path in given.items():
        if not Path(path).is_file():
            raise ConfigurationError(f"HURNET_REDIS_{name.upper()}: there is no file {path}")
    return {files[name]: str(path) for name, path in given.items()}


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise ours in place of the client's exceptions."""
    try:
        yield
    except redis.RedisError as error:
        raise _translation(error, place) from error


def _translation(error: redis.RedisError, place: str) -> HurnetError:
    text = str(error).rpartition("caused error: ")[
        2
    ]  # a pipeline's message begins with the command and its data
    met = {kind.__name__ for kind in type(error).__mro__} | set(re.findall(r"[A-Z_]{3,}", text))
    for names, kind, meaning in _MEANINGS:
        if met & set(names.split()):
            return kind(f"{place} {meaning.format(text=text[:200])}")
    return HurnetError(f"{place}: {type(error).__name__}: {text[:200]}")


class _Placed(Protocol):
    place: str


_Store = TypeVar("_Store", bound=_Placed)
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def guarded(
    method: Callable[Concatenate[_Store, _Args], _Result],
) -> Callable[Concatenate[_Store, _Args], _Result]:
    """A store's method within `translated`."""

    @wraps(method)
    def call(store: _Store, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        with translated(store.place):
            return method(store, *args, **kwargs)

    return call
