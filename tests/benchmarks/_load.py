"""Texts and questions for a system on a Bench, in a process of its own: flat out, or so many a second.

python -m tests.benchmarks._load BOOTSTRAP NAME flat-out|paced TEXTS_PER_S QUESTIONS_PER_S
"""

from __future__ import annotations

import sys
import time
from itertools import cycle, islice
from pathlib import Path

from hurnet_schemas import Answer, Query
from tests.benchmarks._asker import Asker
from tests.benchmarks._system import PARTITIONS, Bench, pairs, questions, text_event

OUTSTANDING = 64
"""Questions that are always under way if they are asked flat out."""
AHEAD = 2_000
"""Texts that are always under way if they are sent flat out, from the sending until they can be found. Kafka
would take many more than ingest does."""
TEXTS = 5_000
TURN_S = 0.002


class Load:
    """Sends, and hears the answers so that questions flat out wait for them."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._settings = Bench(bootstrap, "", Path()).kafka(name)
        self._asker = Asker(self._settings)
        self._texts = cycle([text_event(pair) for pair in pairs(TEXTS)])
        self._questions = cycle([Query(text=text).encode() for text in questions()])
        self._sent = 0
        self._open: set[str] = set()
        self._found_at_first: int | None = None
        self._found = 0

    def paced(self, texts_per_s: float, questions_per_s: float) -> None:
        """So many a second, evenly, for ever."""
        began, texts, asked = time.monotonic(), 0, 0
        while True:
            elapsed = time.monotonic() - began
            due_texts, due_asked = int(elapsed * texts_per_s), int(elapsed * questions_per_s)
            self._send_texts(due_texts - texts)
            self._ask(due_asked - asked)
            texts, asked = due_texts, due_asked
            self._hear(TURN_S)

    def flat_out(self) -> None:
        """As much as ingest takes of texts and the responder of questions, for ever."""
        while True:
            self._send_texts(AHEAD - (self._sent - self._found))
            self._ask(OUTSTANDING - len(self._open))
            self._hear(TURN_S)

    def _send_texts(self, count: int) -> None:
        for text in islice(self._texts, max(0, count)):
            self._sent += 1
            self._asker.send(self._settings.texts, text, self._sent % PARTITIONS)

    def _ask(self, count: int) -> None:
        for question in islice(self._questions, max(0, count)):
            self._open.add(self._asker.send(self._settings.queries, question)[0])

    def _hear(self, timeout_s: float) -> None:
        for correlation, value, _ in self._asker.replies(timeout_s):
            self._open.discard(correlation)
            if receipt := Answer.decode(value).receipt:
                there = sum(receipt.watermarks.values())
                if self._found_at_first is None:
                    self._found_at_first = there
                self._found = max(self._found, there - self._found_at_first)


def main(bootstrap: str, name: str, kind: str, texts: str, asked: str) -> None:
    """Never returns."""
    load = Load(bootstrap, name)
    if kind == "paced":
        load.paced(float(texts), float(asked))
    load.flat_out()


if __name__ == "__main__":
    main(*sys.argv[1:])
