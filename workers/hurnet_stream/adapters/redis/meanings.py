"""What the client's exceptions mean, in our words and as our errors.

An exception of the client has a class, the classes above it, and often a text that begins with the server's
error code. Each row of `_MEANINGS` names classes and codes; the first row that meets one of them counts:

    ResponseError("OOM command not allowed when used memory > 'maxmemory'.")
        names met:  ResponseError, RedisError, ..., OOM
        first row:  OutOfMemoryError OOM  ->  RedisFailing("127.0.0.1:6379 is full: raise its maxmemory; ...")

So the order matters: particular rows come first, and `ConnectionError` and `ResponseError`, from which many
others derive, come last. The error's class says whether it passes by itself: `RedisFailing` is retried,
`ConfigurationError` ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis
from redis.exceptions import AskError
from redis.sentinel import MasterNotFoundError

from hurnet_stream.errors import ConfigurationError, HurnetError, RedisFailing, RedisRefuses, Unreadable

# classes and codes, our error, what is said of the server
_MEANINGS: Final[tuple[tuple[str, type[HurnetError], str], ...]] = (
    (
        "AuthenticationError AuthenticationWrongNumberOfArgsError NOAUTH WRONGPASS",
        RedisRefuses,
        "asks for a password, or refuses the one it got: set HURNET_REDIS_PASSWORD or"
        " HURNET_REDIS_PASSWORD_FILE (and HURNET_REDIS_USERNAME for an ACL user)",
    ),
    (
        "NoPermissionError AuthorizationError NOPERM",
        ConfigurationError,
        "forbids its user what is needed ({text}): `hurnet rights --redis` prints what each role needs",
    ),
    (
        "MULTI",  # EXEC without MULTI
        ConfigurationError,
        "forbids its user the command 'multi': `hurnet rights --redis` prints what each role needs",
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
        "is a node of a Redis Cluster: set HURNET_REDIS_URL to redis+cluster://HOST:PORT",
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
        RedisRefuses,
        "has a certificate that can't be verified: set HURNET_REDIS_CA_FILE ({text})",
    ),
    (
        "NO_CERTIFICATE_OR_CRL_FOUND KEY_VALUES_MISMATCH PEM",
        ConfigurationError,
        "can't be reached with these certificate files ({text})",
    ),
    (
        "_ALERT_CERTIFICATE_REQUIRED _ALERT_CERTIFICATE_EXPIRED _ALERT_CERTIFICATE_UNKNOWN"
        " _ALERT_BAD_CERTIFICATE _ALERT_UNKNOWN_CA",
        RedisRefuses,
        "refuses our certificate: see HURNET_REDIS_CERT_FILE ({text})",
    ),
    ("TimeoutError", RedisFailing, "did not answer in time"),
    ("ConnectionError", RedisFailing, "can't be reached ({text})"),
    ("ResponseError", ConfigurationError, "can't do what is needed ({text})"),
)


@contextmanager
def translated(server_name: str, is_cluster: bool = False) -> Iterator[None]:
    """Raises our errors in place of the client's exceptions. `server_name` names the server, or the
    cluster."""
    try:
        yield
    except redis.RedisError as error:
        if is_cluster and isinstance(error, AskError):  # MOVED is one, too
            raise RedisFailing(
                f"{server_name} is moving a slot of the store from server to server"
            ) from error
        raise _translation(error, server_name) from error


def _translation(error: redis.RedisError, server_name: str) -> HurnetError:
    if isinstance(error, MasterNotFoundError):
        return _no_primary(str(error), server_name)
    # In a pipeline the message begins with the command and its data, which are nobody's business.
    text = str(error).rpartition("caused error: ")[2]
    classes = {kind.__name__ for kind in type(error).__mro__}
    codes = set(re.findall(r"[A-Z_]{3,}", text))
    for names, kind, meaning in _MEANINGS:
        if (classes | codes) & set(names.split()):
            return kind(f"{server_name} {meaning.format(text=text[:200])}")
    return HurnetError(f"{server_name}: {type(error).__name__}: {text[:200]}")


def _no_primary(text: str, server_name: str) -> HurnetError:
    text = re.sub(r"<redis\..*?\)>\)>\)> - ", "", text)  # the client names its own objects first
    if re.search("Authentication|NOAUTH|WRONGPASS|NoPermission", text):
        return RedisRefuses(
            f"{server_name}: the Sentinels refuse us: set HURNET_REDIS_SENTINEL_PASSWORD"
            " (and HURNET_REDIS_SENTINEL_USERNAME for an ACL user)"
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return RedisRefuses(
            f"{server_name}: the Sentinels' certificate can't be verified: set HURNET_REDIS_CA_FILE"
            f" ({text[:300]})"
        )
    return RedisFailing(f"{server_name}: no Sentinel names a primary ({text[:300]})")
