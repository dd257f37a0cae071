"""kafka-python's errors as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import cast

from kafka import errors

from hurnet_stream.adapters.kafka.client.pinned import ForeignClusterError
from hurnet_stream.errors import ConfigurationError, ForeignLog, KafkaFailing, KafkaRefuses

# No retry helps here: a person must change a setting, a right or a broker.
_NEEDS_A_PERSON = (
    errors.IllegalSaslStateError,
    errors.InconsistentGroupProtocolError,
    errors.InvalidGroupIdError,
    errors.InvalidReplicationFactorError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidTransactionTimeoutError,
    errors.KafkaConfigurationError,
    errors.OffsetMetadataTooLargeError,  # offset.metadata.max.bytes is less than Kafka's default of 4,096
    errors.PolicyViolationError,
    errors.UnsupportedSaslMechanismError,
    errors.UnsupportedVersionError,
)
ADVICE = "`hurnet rights --kafka` prints what each role needs"
# Only a mistake in our own code brings these: they stay as they are, and end the process with a traceback.
_BUGS = (errors.IllegalStateError, errors.IllegalArgumentError)


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise kafka-python's errors from within the block as ours; `doing` says what was attempted."""
    try:
        yield
    except errors.KafkaError as error:
        raise explained(error, doing) from error


def explained(error: Exception, doing: str) -> Exception:
    """The error of ours that says the same as `error`. One that only a bug can raise is returned as it is."""
    if isinstance(error, _BUGS):
        return cast(Exception, error)
    if isinstance(error, ForeignClusterError):
        return ForeignLog(str(error.args[0]))
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return KafkaRefuses(f"{doing}: {reason(error)}")
    if isinstance(error, errors.AuthorizationError):
        return ConfigurationError(f"{doing}: {forbidden(error, doing)}")
    if isinstance(error, _NEEDS_A_PERSON):
        return ConfigurationError(f"{doing}: {reason(error)}")
    # Whatever we don't know counts as transient: the worker's loop retries it, and gives up in time.
    return KafkaFailing(f"{doing}: {reason(error)}")


def forbidden(error: Exception, doing: str) -> str:
    """Which right is missing. Kafka says on what, and not for which operation: that depends on what we were
    `doing`."""
    on = ", ".join(sorted(_names_in(error)))
    if isinstance(error, errors.TopicAuthorizationFailedError):
        what = f"{_OPERATIONS.get(doing.split(maxsplit=1)[0], 'DESCRIBE')} on topic {on}".rstrip()
    elif isinstance(error, errors.GroupAuthorizationFailedError):
        what = f"READ on group {on}".rstrip()
    elif isinstance(error, errors.TransactionalIdAuthorizationFailedError):
        what = "WRITE on transactional id (by prefix)"
    elif isinstance(error, errors.ClusterAuthorizationFailedError):
        what = "to write: it needs WRITE on at least one topic"
    else:
        return reason(error)
    return f"Kafka does not give our user the right {what} ({ADVICE})"


_OPERATIONS = {"reading": "READ", "sending": "WRITE", "delivering": "WRITE"}


def _names_in(error: Exception) -> set[str]:
    """The topics or the group that kafka-python names in its error: a set, or one name."""
    parts = (part if isinstance(part, set | frozenset | list | tuple) else [part] for part in error.args)
    return {str(name) for names in parts for name in names if name}


def reason(error: Exception) -> str:
    """The error's name and what it says, for a message."""
    detail = (
        ", ".join(str(part) for part in error.args if part is not None)
        or getattr(error, "description", None)
        or ""
    )
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__
