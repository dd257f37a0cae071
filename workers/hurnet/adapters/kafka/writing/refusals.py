"""Whom to blame when sending several messages fails.

kafka-python has a future for each message, and often one more for the whole. They say one of four things:

    Undeliverable, of messages    this one is too large, or damaged: all others can be sent without it
    Undeliverable, of topics      this topic does not exist, or we have no right to it
    Stalled                       this topic does not acknowledge now, but may later
    None                          nobody is to blame: the brokers are away, or our settings are wrong
"""

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
    """The error for `topics`, to which some of the messages are to go, and which do not exist."""
    names = ", ".join(sorted(topics))
    advice = "`hurnet topics --create` makes those that are missing"
    text = f"no such topic, or no right to see it: {names} ({advice})"
    return Undeliverable(text, _going_to(topics, messages), topics)


def refusal(messages: Sequence[Outgoing], futures: Sequence[Any], cause: Exception) -> Undeliverable | None:
    """Which of `messages` are refused for good, if that is why sending failed.

    `futures` are those of the first messages: there are fewer if not all were handed over.
    """
    failed = {i: future.exception for i, future in enumerate(futures) if future.failed()}
    suspects = {i for i, error in failed.items() if _is_of_the_message(error, messages[i])}
    if not suspects and isinstance(cause, _OF_THE_MESSAGE):
        # The future that it belongs to has yet to be told: it is one of those that have not succeeded.
        suspects = {i for i in range(len(messages)) if i >= len(futures) or not futures[i].succeeded()}
    if suspects:
        return Undeliverable(_text(messages, suspects, failed.get(min(suspects), cause)), suspects)
    topics = {messages[i].topic for i, error in failed.items() if isinstance(error, _OF_THE_TOPIC)}
    if isinstance(cause, _OF_THE_TOPIC):
        topics = (_named(cause) & {message.topic for message in messages}) or topics
    if not topics:
        return None
    suspects = _going_to(topics, messages)
    return Undeliverable(_text(messages, suspects, cause), suspects, topics)


def own_refusal(messages: Sequence[Outgoing], place: int, error: Exception) -> Undeliverable:
    """The error for the message at `place`, which the client itself refused."""
    return Undeliverable(_text(messages, {place}, error), {place})


def stall(messages: Sequence[Outgoing], futures: Sequence[Any], cause: Exception) -> Stalled | None:
    """The topics that keep everything waiting, if that is why sending failed."""
    if not isinstance(cause, _MAY_PASS):
        return None
    if len(futures) < len(messages):
        # Handing over waits until a topic has partitions to choose from: the next message's has none.
        waiting = {messages[len(futures)].topic}
    else:
        waiting = {m.topic for m, future in zip(messages, futures, strict=True) if not future.succeeded()}
    if not waiting:
        return None
    return Stalled(f"no acknowledgement in time from {', '.join(sorted(waiting))}", waiting)


def _is_of_the_message(error: Exception, message: Outgoing) -> bool:
    if isinstance(error, errors.InvalidTimestampError):
        # Without a timestamp in the message our clock gave it, and a wrong clock is no fault of the message.
        return message.timestamp_ms is not None
    return isinstance(error, _OF_THE_MESSAGE)


def _going_to(topics: Set[str], messages: Sequence[Outgoing]) -> set[int]:
    return {i for i, message in enumerate(messages) if message.topic in topics}


def _named(error: Exception) -> set[str]:
    """The topics in an error, which kafka-python gives as a set or as one name."""
    return {name for part in error.args for name in ([part] if isinstance(part, str) else part or ())}


def _text(messages: Sequence[Outgoing], suspects: Set[int], error: Exception) -> str:
    topics = ", ".join(sorted({messages[i].topic for i in suspects}))
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        size = max(len(messages[i].value or b"") for i in suspects)
        return f"sending to {topics}: the message is too large ({size:,} bytes)"
    said = str(error) if isinstance(error, ValueError) else type(error).__name__
    return f"sending to {topics}: {said}"
