"""Which message or topic is to blame if sending several messages fails.

kafka-python gives a future for each message. If sending fails, some futures have failed with an error, and
the call itself raises one, the `cause`. From both follows one of four conclusions:

    Undeliverable, of messages    a message is too large (TooLarge), has a time that its topic forbids, or has
                                  no key although its topic needs one: all others can be sent without it
    Undeliverable, of topics      a topic does not exist, or we have no right to write to it
    Stalled                       a topic does not acknowledge now, but may later
    None                          no message and no topic: the brokers are away, or our settings are wrong

For example, three messages are sent, and `cause` says that one of them is too large:

    future    0 succeeded    1 failed: message too large    2 is open    ->  message 1 is to blame
    future    0 succeeded    1 is open                      2 is open    ->  messages 1 and 2 are suspects
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from kafka import errors

from hurnet_stream.adapters.kafka.client.errors import ADVICE, forbidden, reason
from hurnet_stream.errors import Stalled, TooLarge, Undeliverable
from hurnet_stream.ports import Outgoing

_OF_THE_MESSAGE = (
    errors.CorruptRecordError,  # also what a compacted topic says of a message without a key
    errors.InvalidRecordError,
    errors.InvalidTimestampError,
    errors.MessageSizeTooLargeError,
    errors.PolicyViolationError,
    errors.RecordListTooLargeError,
)
_OF_ITS_SIZE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_OF_THE_TOPIC = (
    errors.InvalidTopicError,
    errors.TopicAuthorizationFailedError,
    errors.UnknownTopicOrPartitionError,
)
_TRANSIENT = (
    errors.KafkaTimeoutError,
    errors.NotEnoughReplicasAfterAppendError,
    errors.NotEnoughReplicasError,
)


def final(error: Exception) -> bool:
    """Whether the same messages would be refused again, for what one of them is. Of those beside it
    kafka-python says only that they were in a batch with it."""
    return isinstance(error, _OF_THE_MESSAGE) or "it was part of a batch which had" in str(error)


def missing(topics: Set[str], messages: Sequence[Outgoing]) -> Undeliverable:
    """The error for `topics`, which do not exist, and to which some of the messages should go."""
    names = ", ".join(sorted(topics))
    advice = f"`hurnet topics --create` makes those that are missing, and {ADVICE}"
    text = f"no such topic, or no right to see it: {names} ({advice})"
    return Undeliverable(text, _going_to(topics, messages), topics)


def refusal(messages: Sequence[Outgoing], futures: Sequence[Any], cause: Exception) -> Undeliverable | None:
    """Which of `messages` are refused for good; None if sending failed for another reason.

    `futures` belong to the first messages. There are fewer futures than messages if the client had not
    accepted all messages when sending failed.
    """
    failed = {i: future.exception for i, future in enumerate(futures) if future.failed()}
    suspects = {i for i, error in failed.items() if _is_the_messages_fault(error, messages[i])}
    if not suspects and isinstance(cause, _OF_THE_MESSAGE):
        # The future of the refused message is not marked as failed yet, so suspect all that did not succeed.
        left = (i for i in range(len(messages)) if i >= len(futures) or not futures[i].succeeded())
        suspects = {i for i in left if _is_the_messages_fault(cause, messages[i])}
    if suspects:
        return _undeliverable(messages, suspects, failed.get(min(suspects), cause))
    topics = {messages[i].topic for i, error in failed.items() if isinstance(error, _OF_THE_TOPIC)}
    if isinstance(cause, _OF_THE_TOPIC):
        topics = (_topics_named_in(cause) & {message.topic for message in messages}) or topics
    if not topics:
        return None
    suspects = _going_to(topics, messages)
    return Undeliverable(_text(messages, suspects, cause), suspects, topics)


def own_refusal(messages: Sequence[Outgoing], index: int, error: Exception) -> Undeliverable:
    """The error for `messages[index]`, which the client itself refused."""
    return _undeliverable(messages, {index}, error)


def stall(messages: Sequence[Outgoing], futures: Sequence[Any], cause: Exception) -> Stalled | None:
    """The topics that keep all messages waiting; None if sending failed for another reason."""
    if not isinstance(cause, _TRANSIENT):
        return None
    if len(futures) < len(messages):
        # The client's `send` blocks while a topic has no known partition. So the topic of the first message
        # that the client did not accept is the one that has none.
        waiting = {messages[len(futures)].topic}
    else:
        waiting = {m.topic for m, future in zip(messages, futures, strict=True) if not future.succeeded()}
    if not waiting:
        return None
    return Stalled(f"no acknowledgement in time from {', '.join(sorted(waiting))}", waiting)


def _undeliverable(messages: Sequence[Outgoing], suspects: Set[int], error: Exception) -> Undeliverable:
    kind = TooLarge if isinstance(error, _OF_ITS_SIZE) else Undeliverable
    return kind(_text(messages, suspects, error), suspects)


def _is_the_messages_fault(error: Exception, message: Outgoing) -> bool:
    if isinstance(error, errors.InvalidTimestampError):
        # A message without a timestamp gets one from our clock, and a wrong clock is not the message's fault.
        return message.timestamp_ms is not None
    return isinstance(error, _OF_THE_MESSAGE)


def _going_to(topics: Set[str], messages: Sequence[Outgoing]) -> set[int]:
    return {i for i, message in enumerate(messages) if message.topic in topics}


def _topics_named_in(error: Exception) -> set[str]:
    """The topics that an error names: kafka-python puts them there as a set or as one name."""
    return {name for part in error.args for name in ([part] if isinstance(part, str) else part or ())}


def _text(messages: Sequence[Outgoing], suspects: Set[int], error: Exception) -> str:
    topics = ", ".join(sorted({messages[i].topic for i in suspects}))
    if isinstance(error, _OF_ITS_SIZE):
        size = max(len(messages[i].value or b"") for i in suspects)
        return f"sending to {topics}: the message is too large ({size:,} bytes)"
    doing = f"sending to {topics}"
    if isinstance(error, errors.AuthorizationError):
        return f"{doing}: {forbidden(error, doing)}"
    if isinstance(error, ValueError):
        return f"{doing}: {error}"
    return f"{doing}: the topic refuses the message: {reason(error)}"
