"""People judge answers while all workers run: the feedback worker beside those of `deleting`."""

from __future__ import annotations

from dataclasses import dataclass

from hurnet_schemas import DeadLetter, Feedback
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.errors import TransientError
from hurnet_stream.feedback.feedback import FeedbackWorker
from hurnet_stream.feedback.lessons import PARTITION
from hurnet_stream.metrics.feedback import FeedbackMetrics
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.feedback import FeedbackSettings
from hurnet_stream.settings.settings import Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.worlds import deleting


@dataclass
class World(deleting.World):
    """A broker and a store, and the topic of feedback."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kafka.create("feedback")
        self.metrics = FeedbackMetrics()

    def worker(self, batch: int = 64) -> FeedbackWorker:
        chosen = Settings(feedback=FeedbackSettings(poll=0, batch=batch))
        exchange = MemoryExchange(self.kafka, "feedback", "feedback", "one")
        return FeedbackWorker(exchange, chosen, self.metrics)

    def say(self, question: str, verdict: str, answer: str | None = None, **other: str) -> None:
        self.say_raw(Feedback.model_validate({**fields(question, verdict, answer), **other}).encode())

    def say_raw(self, *values: bytes | None) -> None:
        self.kafka.append([Outgoing("feedback", value) for value in values])

    def teach(self) -> None:
        """Let feedback reach the store, and be learned."""
        worker = self.worker()
        turn(worker, 6)
        worker.close()
        self.take_in()

    def pairs(self) -> list[tuple[str, str | None, int]]:
        """Text, answer and copies of all entries, in order."""
        batches = MemoryEntryStore(self.redis).tail({}, 10_000).batches
        return [(entry.text, entry.answer, entry.copies) for batch in batches for entry in batch.entries]

    def corrections(self) -> list[tuple[str, str | None, int]]:
        """Those that feedback has taught."""
        store, read, more = MemoryEntryStore(self.redis), {PARTITION + 1: 10**6}, True
        entries: list[Entry] = []
        while more:  # a reply has so many batches, and each deletion is one
            batches = store.tail(read, 10_000).batches
            read |= {batch.partition: batch.watermark for batch in batches}
            entries += [entry for batch in batches for entry in batch.entries]
            more = len(batches) > 0
        return [(entry.text, entry.answer, entry.copies) for entry in entries if "feedback" in entry.metadata]

    def letters(self) -> list[DeadLetter]:
        return [DeadLetter.decode(record.value) for record in self.kafka.records("dead-letters")]

    def counted(self, verdict: str, context: str = "default") -> float:
        labels = {"context": context, "verdict": verdict}
        return self.metrics.registry.get_sample_value("hurnet_verdicts_total", labels) or 0.0


def fields(question: str, verdict: str, answer: str | None) -> dict[str, str]:
    given = {"question": question, "verdict": verdict, "answer": answer}
    return {name: value for name, value in given.items() if value is not None}


def turn(worker: FeedbackWorker, times: int = 1) -> None:
    for _ in range(times):
        try:
            worker.step()
        except TransientError:
            continue
