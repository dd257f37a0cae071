"""What leaves a responder: which queries may be answered, where their answers go, and what goes with them."""

from __future__ import annotations

from schemas.dead_letter import Reason
from workers.dead_letters import dead_letter
from workers.pending import MAX_CORRELATION_BYTES, Pending
from workers.ports import Exchange, Outgoing
from workers.replies import Reply
from workers.setting_types import is_topic, matches
from workers.settings import KafkaSettings, ResponderSettings

WORKER = "responder"
MAX_KEY_BYTES = 1_024


class Delivery:
    """Judges the headers of queries, and turns replies into messages."""

    def __init__(self, exchange: Exchange, kafka: KafkaSettings, responder: ResponderSettings) -> None:
        self._exchange = exchange
        self._kafka = kafka
        self._allowed = responder.reply_topics

    def admitted(self, pending: Pending) -> Pending:
        """The query, rejected if its headers or its key are not what they may be."""
        if pending.rejection:
            return pending
        found = _unfit(pending) or self._unfit_topic(pending.reply_to)
        return pending.rejected(*found) if found else pending

    def messages(self, reply: Reply) -> list[Outgoing]:
        """The answer, and the dead letter if the query was rejected."""
        pending, record = reply.pending, reply.pending.record
        key = record.key if len(record.key or b"") <= MAX_KEY_BYTES else None
        correlation = pending.correlation
        headers = (("correlation-id", correlation),) if correlation else ()
        topic = self._kafka.answers if pending.rejection else pending.reply_to or self._kafka.answers
        messages = [Outgoing(topic, reply.answer.encode(), key=key, headers=headers)]
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
        return None

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
