"""What leaves a responder: where each answer goes, and what happens if it can't go there.

A query may name the topic of its answer in the header `reply-to`. If the answer can't go there, the query is
rejected: the topic of answers says so, and there is a dead letter. That is the client's mistake. If our own
topics refuse us, the configuration is wrong, and the worker ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from hurnet_stream.dead_letters import dead_letter
from hurnet_stream.embedding import Rejection
from hurnet_stream.errors import ConfigurationError, Stalled, TransientError, Undeliverable
from hurnet_stream.ports import CORRELATION_ID, Exchange, Headers, Outgoing
from hurnet_stream.responder.auditing import Auditing
from hurnet_stream.responder.faults import Faults
from hurnet_stream.responder.pending import MAX_CORRELATION_BYTES, Pending
from hurnet_stream.responder.replies import Reply
from hurnet_stream.settings.settings import KafkaSettings, PrivacySettings, ResponderSettings
from hurnet_stream.settings.types import is_topic, matches

log = structlog.get_logger()

WORKER = "responder"
MAX_KEY_BYTES = 1_024
"""Of a query's key, which its answer repeats."""


class Delivery:
    """Judges the headers of queries, delivers replies, and learns from deliveries that fail."""

    def __init__(
        self, exchange: Exchange, kafka: KafkaSettings, responder: ResponderSettings, privacy: PrivacySettings
    ) -> None:
        self._exchange = exchange
        self._kafka = kafka
        self._excerpts = privacy.excerpts
        self._auditing = Auditing(kafka.audit, privacy)
        self._allowed = responder.reply_topics
        self._faults = Faults(responder.batch, self._alive)

    @property
    def most(self) -> int:
        """How many queries to take at once. They are fewer while a query is looked for whose answer can't be
        delivered."""
        return self._faults.most

    def admitted(self, pending: Pending) -> Pending:
        """The query; rejected if its headers, its key or its reply topic are not allowed, or if it is known
        that its answer can't be delivered."""
        if pending.rejection:
            return pending
        why = _unfit_record(pending) or self._unfit_topic(pending.reply_to) or self._faults.of(pending)
        return pending.rejected(*why) if why else pending

    def deliver(
        self, replies: Sequence[Reply], next_offsets: Mapping[int, int], notes: Mapping[int, str]
    ) -> bool:
        """Deliver all answers and the offsets of their queries as one. False: nothing is delivered. The
        queries are to be read again, and one of them may be rejected then.

        Raises ConfigurationError if our own topics refuse a message."""
        messages: list[Outgoing] = []
        owners: list[Reply] = []  # of each message, the reply that it belongs to
        for reply in replies:
            reply_messages = self.messages(reply)
            messages += reply_messages
            owners += [reply] * len(reply_messages)
        try:
            delivered = self._exchange.deliver(messages, next_offsets, notes)
        except Undeliverable as error:
            self._refused(error, [owners[i] for i in sorted(error.suspects)])
            return False
        except Stalled as error:
            self._stalled(error)
            return False
        batch = [reply.pending for reply in replies]
        self._faults.delivered(batch) if delivered else self._faults.failed(batch)
        return delivered

    def failed(self, batch: Sequence[Pending]) -> None:
        """These could not be answered, and it is not known why."""
        self._faults.failed(batch)

    def messages(self, reply: Reply) -> list[Outgoing]:
        """The answer, the dead letter if the query was rejected, and what the audit says if there is one."""
        pending, record = reply.pending, reply.pending.record
        # What is repeated from the query is bounded, even in the answer to a query that is rejected for it.
        key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
        correlation = pending.correlation
        headers: Headers = ((CORRELATION_ID, correlation),) if correlation else ()
        if reply.trace:
            headers += (reply.trace.header,)
        topic = self._kafka.answers if pending.rejection else pending.reply_to or self._kafka.answers
        messages = [Outgoing(topic, reply.value, key=key, headers=headers)]
        if pending.rejection:
            why = *pending.rejection, self._excerpts
            messages.append(dead_letter(self._kafka.dead_letters, WORKER, record, *why))
        return messages + self._auditing.of(reply)

    def _unfit_topic(self, topic: str | None) -> Rejection | None:
        if topic is None:
            return None
        if not self._may_be_named(topic):
            return "reply-topic-refused", f"reply-to {topic[:100]!r} is not allowed"
        if not self._exchange.has_topic(topic):
            return "reply-topic-missing", f"reply-to {topic[:100]!r} does not exist"
        if why := self._exchange.unwritable(topic):
            return "reply-topic-unwritable", f"reply-to {topic[:100]!r} takes no messages: {why}"
        return None

    def _refused(self, error: Undeliverable, owners: Sequence[Reply]) -> None:
        """A broker refused one of the messages of `owners`, or everything for `error.topics`."""
        if self._ours(error.topics):
            raise ConfigurationError(str(error)) from error
        suspects = list({id(reply): reply.pending for reply in owners}.values())
        if not error.topics and len(suspects) == 1 and suspects[0].rejection:
            # A rejection is small. If not even that is taken, our own topic was made wrongly.
            raise ConfigurationError(f"a rejection can't be delivered: {error}") from error
        log.warning("an answer was refused", reason=str(error), queries=len(suspects))
        self._faults.refused(suspects, error)

    def _stalled(self, error: Stalled) -> None:
        if self._ours(error.topics):  # no query has caused that: it is tried again
            return
        log.warning("answers are not acknowledged", reason=str(error))
        self._faults.stalled(error)

    def _ours(self, topics: frozenset[str]) -> bool:
        """Whether a topic that every responder writes to is among them."""
        return bool(topics & {self._kafka.answers, self._kafka.dead_letters, self._kafka.audit})

    def _alive(self, pending: Pending) -> bool:
        """Whether the brokers are there: they are asked for the committed offset of the query's partition."""
        try:
            self._exchange.committed(frozenset({pending.record.partition}))
        except TransientError:
            return False
        return True

    def _may_be_named(self, topic: str) -> bool:
        """Whether a query may name `topic` for its answer. It must be a legal name, since Kafka is asked for
        it. It must not be the audit, nor a topic that we read ourselves: there an answer would be taken for
        input."""
        kafka = self._kafka
        ours = {kafka.texts, kafka.queries, kafka.feedback, kafka.dead_letters, kafka.audit}
        legal = is_topic(topic) and topic not in ours and not topic.startswith("__")
        return legal and matches(self._allowed, topic)


def _unfit_record(pending: Pending) -> Rejection | None:
    record = pending.record
    correlation = len(record.header(CORRELATION_ID) or b"")
    if correlation > MAX_CORRELATION_BYTES:
        detail = f"a correlation-id has at most {MAX_CORRELATION_BYTES} bytes, and this one has {correlation}"
        return "correlation-id-too-long", detail
    if (key := len(record.key or b"")) > MAX_KEY_BYTES:
        return "key-too-long", f"a query's key has at most {MAX_KEY_BYTES} bytes, and this one has {key}"
    return None
