"""A record for each question that was asked, if somebody keeps an audit (HURNET_KAFKA_AUDIT)."""

from __future__ import annotations

from typing import Final

from hurnet_schemas.asked import Asked
from hurnet_stream.asker import question_digest, who_asked
from hurnet_stream.ports import Outgoing
from hurnet_stream.responder.replies import Reply
from hurnet_stream.settings.privacy import PrivacySettings

_TELLING: Final = ("filter", "vector", "runner_up")
"""Fields of a receipt that quote the question or an entry, or by which guesses of it can be tried."""


class Auditing:
    """Makes the records of an audit. Without a topic it makes none."""

    def __init__(self, topic: str, privacy: PrivacySettings) -> None:
        self._topic = topic
        self._questions = privacy.audit_questions
        self._secret = privacy.current("audit_secret") or ""

    def of(self, reply: Reply) -> list[Outgoing]:
        """The record about this question, if there is an audit."""
        if not self._topic:
            return []
        pending, answer = reply.pending, reply.answer
        receipt = answer.receipt and answer.receipt.model_copy(update=dict.fromkeys(_TELLING))
        asked = Asked(
            query=pending.record.coordinates,
            id=answer.id,
            who=who_asked(self._secret, pending.record),
            asked_ms=pending.record.timestamp_ms,
            outcome=answer.outcome,
            context=pending.query.context if pending.query else None,
            receipt=receipt,
            question=self._question(pending.query.text) if pending.query else None,
        )
        return [Outgoing(self._topic, asked.encode(), key=pending.record.coordinates.encode())]

    def _question(self, text: str) -> str | None:
        if self._questions == "digest":
            return question_digest(self._secret, text)
        return text if self._questions == "text" else None
