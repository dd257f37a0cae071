"""What the scenes share: somebody who asks and teaches, who tells, and what is known so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hurnet_schemas import Answer, TextEvent
from hurnet_stream.demo.backstage import Backstage
from hurnet_stream.demo.data import DemoData, Pair
from hurnet_stream.demo.telling import Teller
from hurnet_stream.demo.voice import Voice

SUPPORT, HOME = "support", "home"
"""Contexts: what is taught in one is no answer in the other."""


@dataclass(slots=True)
class Stage:
    """`seen` are the watermarks of all that was taught or deleted so far. `sent`, `forgotten` and `asked`
    count texts, deleted entries and questions. `fact` is where the fact of the first scene is."""

    voice: Voice
    backstage: Backstage
    teller: Teller
    data: DemoData
    seen: dict[int, int] = field(default_factory=dict)
    sent: int = 0
    forgotten: int = 0
    asked: int = 0
    fact: tuple[int, int] | None = None

    def teach(self, pairs: Sequence[Pair]) -> None:
        """Returns once Kafka has acknowledged them."""
        events = [TextEvent(text=p.text, answer=p.answer, context=p.context) for p in pairs]
        self.saw(self.voice.teach_many(events), len(pairs))

    def saw(self, watermarks: Mapping[int, int], texts: int) -> None:
        """So many texts more were written, up to these offsets."""
        self.sent += texts
        for partition, offset in watermarks.items():
            self.seen[partition] = max(offset, self.seen.get(partition, -1))

    def ask(self, question: str, context: str) -> Answer:
        """The answer of a responder that knows all that was taught so far."""
        self.asked += 1
        return self.voice.ask(question, context=context, after=self.seen)

    def ask_all(self, questions: Sequence[str], context: str, top_k: int = 1) -> list[Answer]:
        """The answers in the order of the questions."""
        self.asked += len(questions)
        return self.voice.ask_many(questions, context=context, top_k=top_k)

    def tell(self, question: str, answer: Answer, label: str = "asked") -> None:
        """A question and what came of it."""
        self.teller.quote(label, question)
        told = answer.answer or f"none: {answer.reason}"
        self.teller.quote("answer", told, "bold" if answer.answer else "")


def chunks(pairs: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    return (pairs[first : first + size] for first in range(0, len(pairs), size))
