"""What the scenes share: somebody who asks and teaches, who tells, and what is known so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hurnet_schemas import Answer, TextEvent
from hurnet_stream.client.client import Client
from hurnet_stream.client.results import Watermarks
from hurnet_stream.demo.backstage import Backstage
from hurnet_stream.demo.data import DemoData, Pair
from hurnet_stream.demo.telling import Teller

SUPPORT, HOME = "support", "home"
"""Contexts: what is taught in one is no answer in the other."""


@dataclass(slots=True)
class Stage:
    """`seen` are the watermarks of all that was taught or deleted so far. `sent`, `forgotten` and `asked`
    count texts, deleted entries and questions. `fact` is where the fact of the first scene is."""

    client: Client
    backstage: Backstage
    teller: Teller
    data: DemoData
    seen: Watermarks = field(default_factory=Watermarks)
    sent: int = 0
    forgotten: int = 0
    asked: int = 0
    fact: tuple[int, int] | None = None

    def teach(self, pairs: Sequence[Pair]) -> None:
        """Returns once Kafka has acknowledged them."""
        events = [TextEvent(text=p.text, answer=p.answer, context=p.context) for p in pairs]
        self.saw(self.client.teach_many(events), len(pairs))

    def saw(self, watermarks: Watermarks, texts: int) -> None:
        """So many texts more were written, up to these offsets."""
        self.sent += texts
        self.seen |= watermarks

    def ask(self, question: str, context: str) -> Answer:
        """The answer of a responder that knows all that was taught so far."""
        self.asked += 1
        return self.client.ask(question, context=context, after=self.seen)

    def ask_all(self, questions: Sequence[str], context: str, top_k: int = 1) -> Sequence[Answer]:
        """The answers in the order of the questions."""
        self.asked += len(questions)
        return list(self.client.ask_many(questions, context=context, top_k=top_k))

    def tell(self, question: str, answer: Answer, label: str = "asked") -> None:
        """A question and what came of it."""
        self.teller.quote(label, question)
        told = answer.answer or f"none: {answer.reason}"
        self.teller.quote("answer", told, "bold" if answer.answer else "")


def chunks(pairs: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    return (pairs[first : first + size] for first in range(0, len(pairs), size))
