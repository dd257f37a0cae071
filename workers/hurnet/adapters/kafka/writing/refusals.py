"""Which messages an error of kafka-python is about."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from kafka import errors

from hurnet.errors import Stalled, Undeliverable
from hurnet.ports import Outgoing

_OF_THE_MESSAGE = (
    errors.CorruptRecordError,  # also what a compacted topic says of a message without a key
    errors.InvalidRecordError,
    errors.MessageSizeTooLargeError,
    errors.PolicyViolationError,
    errors.RecordListTooLargeError,
)
_OF_THE_TOPIC = (
    errors.InvalidTopicError,
    errors.TopicAuthorizationFailedError,
    errors.UnknownTopicOrPartitionError,
)
_MAY_PASS = (
    errors.KafkaTimeoutError,
    errors.NotEnoughReplicasAfterAppendError,
    errors.NotEnoughReplicasError,
)


def missing(topics: Set[str], messages: Sequence[Outgoing]) -> Undeliverable:
    """Messages are to go to `topics`, which do not exist."""
    suspects = {i for i, message in enumerate(messages) if message.topic in topics}
    names = ", ".join(sorted(topics))
    advice = "`hurnet topics --create` makes those that are missing"
    return Undeliverable(f"no such topic, or no right to see it: {names} ({advice})", suspects, topics)


def refusal(messages: Sequence[Outgoing], futures: Sequence[Any], cause: Exception) -> Undeliverable | None:
    """What of `messages` is refused for good, if that is the cause; `futures` are those of the first ones."""
    failed = {i: future.exception for i, future in enumerate(futures) if future.failed()}
    suspects = {i for i, error in failed.items() if _of_the_message(error, messages[i])}
    if not suspects and isinstance(cause, _OF_THE_MESSAGE):  # its future has yet to be told
        suspects = {i for i in range(len(messages)) if i >= len(futures) or not futures[i].succeeded()}
    if suspects:
        return Undeliverable(_text(messages, suspects, failed.get(min(suspects), cause)), suspects)
    topics = {messages[i].topic for i, error in failed.items() if isinstance(error, _OF_THE_TOPIC)}
    if isinstance(cause, _OF_THE_TOPIC):
        topics = (_named(cause) & {message.topic for message in messages}) or topics
    if not topics:
        return None
    suspects = {i for i, message in enumerate(messages) if message.topic in topics}
    return Undeliverable(_text(messages, suspects, cause), suspects, topics)


def _of_the_message(error: Exception, message: Outgoing) -> bool:
    """Of a timestamp only if it was given: else a broker finds our clock wrong, and that passes."""
    if isinstance(error, errors.InvalidTimestampError):
        return message.timestamp_ms is not None
    return isinstance(error, _OF_THE_MESSAGE)


def own_refusal(messages: Sequence[Outgoing], place: int, error: Exception) -> Undeliverable:
    """The client itself refuses one."""
    return Undeliverable(_text(messages, {place}, error), {place})


def stall(messages: Sequence[Outgoing], futures: Sequence[Any], cause: Exception) -> Stalled | None:
    """The topics that keep everything waiting."""
    if not isinstance(cause, _MAY_PASS):
        return None
    if len(futures) < len(messages):  # the next one's topic has no partitions to choose from
        waiting = {messages[len(futures)].topic}
    else:
        waiting = {m.topic for m, future in zip(messages, futures, strict=True) if not future.succeeded()}
    if not waiting:
        return None
    return Stalled(f"no acknowledgement in time from {', '.join(sorted(waiting))}", waiting)


def _named(error: Exception) -> set[str]:
    """Topics, which kafka-python gives as a set or as one name."""
    return {name for part in error.args for name in ([part] if isinstance(part, str) else part or ())}


def _text(messages: Sequence[Outgoing], suspects: Set[int], error: Exception) -> str:
    topics = ", ".join(sorted({messages[i].topic for i in suspects}))
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        size = max(len(messages[i].value or b"") for i in suspects)
        return f"sending to {topics}: the message is too large ({size:,} bytes)"
    said = str(error) if isinstance(error, ValueError) else type(error).__name__
    return f"sending to {topics}: {said}"
