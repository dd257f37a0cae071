"""What leaves a responder: which queries may be answered, where their answers go, and what if they can't.

A query whose answer can't go where it should is rejected: it is told so on the topic of answers, and there is
a dead letter. Only where our own topics refuse us is it the configuration that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from hurnet.dead_letters import dead_letter
from hurnet.errors import ConfigurationError, Stalled, TransientError, Undeliverable
from hurnet.ports import Exchange, Outgoing
from hurnet.responder.faults import Faults
from hurnet.responder.pending import MAX_CORRELATION_BYTES, Pending
from hurnet.responder.replies import Reply
from hurnet.settings.settings import KafkaSettings, ResponderSettings
from hurnet.settings.types import is_topic, matches
from hurnet_schemas.dead_letter import Reason

log = structlog.get_logger()

WORKER = "responder"
MAX_KEY_BYTES = 1_024


class Delivery:
    """Judges the headers of queries, sends replies, and learns from what fails."""

    def __init__(self, exchange: Exchange, kafka: KafkaSettings, responder: ResponderSettings) -> None:
        self._exchange = exchange
        self._kafka = kafka
        self._allowed = responder.reply_topics
        self._faults = Faults(responder.batch, self._alive)

    @property
    def most(self) -> int:
        """How many queries to take at once: fewer while one is sought whose answer can't be delivered."""
        return self._faults.most

    def admitted(self, pending: Pending) -> Pending:
        """The query, rejected if its headers or its key are not what they may be."""
        if pending.rejection:
            return pending
        found = _unfit(pending) or self._unfit_topic(pending.reply_to) or self._faults.of(pending)
        return pending.rejected(*found) if found else pending

    def deliver(
        self, replies: Sequence[Reply], next_offsets: Mapping[int, int], notes: Mapping[int, str]
    ) -> bool:
        """All answers and their queries' offsets as one, as the exchange does. False: none of it, and the
        queries come again, maybe to be rejected then."""
        messages: list[Outgoing] = []
        owners: list[Reply] = []
        for reply in replies:
            mine = self.messages(reply)
            messages += mine
            owners += [reply] * len(mine)
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
        """These could not be answered, for reasons unknown."""
        self._faults.failed(batch)

    def messages(self, reply: Reply) -> list[Outgoing]:
        """The answer, and the dead letter if the query was rejected."""
        pending, record = reply.pending, reply.pending.record
        key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
        correlation = pending.correlation
        headers = (("correlation-id", correlation),) if correlation else ()
        topic = self._kafka.answers if pending.rejection else pending.reply_to or self._kafka.answers
        messages = [Outgoing(topic, reply.value, key=key, headers=headers)]
        if pending.rejection:
            messages.append(dead_letter(self._kafka.dead_letters, WORKER, record, *pending.rejection))
        return messages

    def _unfit_topic(self, topic: str | None) -> tuple[Reason, str] | None:
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
        if self._ours(error.topics):
            raise ConfigurationError(str(error)) from error
        suspects = list({id(reply): reply.pending for reply in owners}.values())
        if not error.topics and len(suspects) == 1 and suspects[0].rejection:
            # A rejection is small: a topic that does not even take that was made wrongly.
            raise ConfigurationError(f"a rejection can't be delivered: {error}") from error
        log.warning("an answer was refused", reason=str(error), queries=len(suspects))
        self._faults.refused(suspects, error)

    def _stalled(self, error: Stalled) -> None:
        if self._ours(error.topics):  # the brokers' trouble, which no query has made
            return
        log.warning("answers are not acknowledged", reason=str(error))
        self._faults.stalled(error)

    def _ours(self, topics: frozenset[str]) -> bool:
        return bool(topics & {self._kafka.answers, self._kafka.dead_letters})

    def _alive(self, pending: Pending) -> bool:
        try:
            self._exchange.committed(frozenset({pending.record.partition}))
        except TransientError:
            return False
        return True

    def _may_be_named(self, topic: str) -> bool:
        """What is no topic's name is not asked for, and our own inputs take no answers."""
        ours = {self._kafka.texts, self._kafka.queries, self._kafka.dead_letters}
        legal = is_topic(topic) and topic not in ours and not topic.startswith("__")
        return legal and matches(self._allowed, topic)


def _unfit(pending: Pending) -> tuple[Reason, str] | None:
    record = pending.record
    correlation = len(record.header("correlation-id") or b"")
    if correlation > MAX_CORRELATION_BYTES:
        detail = f"a correlation-id has at most {MAX_CORRELATION_BYTES} bytes, and this one has {correlation}"
        return "correlation-id-too-long", detail
    if (key := len(record.key or b"")) > MAX_KEY_BYTES:
        return "key-too-long", f"a query's key has at most {MAX_KEY_BYTES} bytes, and this one has {key}"
    return None
