"""What the demo says to the system, over Kafka."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from hurnet_schemas import Answer, Feedback, Query, TextEvent
from hurnet_stream.adapters.kafka import KafkaSink
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.terminal.client import Client, NoReply, end_offsets
from hurnet_stream.terminal.correcting import taught
from hurnet_stream.terminal.deleting import entry_request, send

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Written:
    """The watermarks of `texts` that hold the effect of a correction or a deletion."""

    watermarks: dict[int, int]


class Voice:
    """Teaches, asks, corrects and deletes. What is written is there when a method returns."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._stack = ExitStack()
        self._client = self._stack.enter_context(Client(kafka))
        self._sink = KafkaSink(kafka)
        self._stack.callback(self._sink.close)

    def close(self) -> None:
        self._stack.close()

    def teach_many(self, texts: Iterable[TextEvent]) -> dict[int, int]:
        """Returns the last offset in each partition."""
        watermarks: dict[int, int] = {}
        messages = [Outgoing(self._kafka.texts, text.encode()) for text in texts]
        for partition, offset in self._sink.send(messages):
            watermarks[partition] = max(offset, watermarks.get(partition, -1))
        return watermarks

    def ask(self, question: str, *, context: str, after: Mapping[int, int] | None = None) -> Answer:
        """The answer, with the texts up to these offsets taken in. Raises `NoReply`."""
        query = Query(text=question, context=context, min_watermarks=dict(after or {}), timeout_ms=18_000)
        return self._client.ask(query, PATIENCE_S)

    def ask_many(self, questions: Sequence[str], *, context: str, top_k: int) -> list[Answer]:
        """The answers in the order of the questions. Raises `NoReply`."""
        sent = {uuid.uuid4().hex: Query(text=text, context=context, top_k=top_k) for text in questions}
        self._client.send(sent)
        answers: dict[str, Answer] = {}
        deadline = time.monotonic() + PATIENCE_S
        while len(answers) < len(sent):
            replies = self._client.replies(1.0)
            answers |= {reply.correlation: reply.answer for reply in replies if reply.correlation in sent}
            if time.monotonic() > deadline:
                raise NoReply(f"{len(sent) - len(answers)} of {len(sent)} questions got no answer")
        return [answers[correlation] for correlation in sent]

    def correct(self, question: str, answer: str, *, given: str | None, context: str) -> Written:
        """Returns once the right answer is written to the texts. Raises `NotTaught`."""
        feedback = Feedback(question=question, verdict="wrong", answer=answer, given=given, context=context)
        return Written(taught(self._kafka, feedback, PATIENCE_S)[1])

    def forget(self, *, entry: tuple[int, int]) -> Written:
        """Returns once the deletion is written to the texts."""
        ends = end_offsets(self._kafka, self._kafka.texts)
        return Written(send(self._kafka, [entry_request(self._kafka.texts, ends, entry)]))
