"""Scene: texts stream in, a worker is killed in the middle of it, and then everything is counted.

    texts ──▶ Kafka ──▶ two ingests, each with half of the partitions ──▶ store ──▶ responder
                        one gets kill -9; Kafka notices and gives its half to the other one

Meanwhile somebody goes on asking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hurnet_stream.demo.backstage import Killed, Stuck
from hurnet_stream.demo.data import Pair
from hurnet_stream.demo.stage import SUPPORT, Stage, chunks
from hurnet_stream.errors import HurnetError

WINDOW = 512
"""Most texts that are on the way. So the stream is as fast as the workers, and no queue builds up before
them."""
CHUNK = 64
"""Texts that are sent together."""
KILL_AFTER = 0.4
"""Of the stream."""
LINE_S, POLL_S, PAUSE_S = 1.0, 0.02, 0.05
PATIENCE_S = 120.0


def play(stage: Stage) -> None:
    texts = [pair for pair in stage.data.stream if pair.context != SUPPORT]
    teller = stage.teller
    teller.scene(f"{len(texts):,} texts stream in, and a worker is killed")
    teller.say(
        "What people say to a smart home, and small talk, both in English and Portuguese, each beside the"
        f" support in a context of its own. {stage.backstage.ingests()} ingest workers share the work."
        " Meanwhile somebody keeps asking the support."
    )
    with _meanwhile(stage) as answers:
        stream = _Stream(stage, texts)
        stream.run()
    if teller.expect(stream.stood_still_s > 0, "no worker was killed, or nobody took over from it"):
        teller.say(
            "Kafka missed the killed worker and gave its partitions to the other one, so they stood still"
            f" for {stream.stood_still_s:.1f} s. What the killed one may have had in hand was then taken in"
            f" one by one, in case a text had killed it. All the while {len(answers.took_s)} questions were"
            f" answered, the slowest after {1000 * max(answers.took_s, default=0):.0f} ms."
        )
    teller.expect(not answers.failed, f"a question was not answered: {answers.failed}")
    _count(stage)


class _Stream:
    """Sends texts as fast as the workers take them in, and kills one of these on the way."""

    def __init__(self, stage: Stage, texts: Sequence[Pair]) -> None:
        self._stage = stage
        self._total = len(texts)
        self._chunks = chunks(texts, CHUNK)
        self._sent = 0
        self._before = sum(stage.seen.values())
        self._killed: Killed | None = None
        self._killed_at = self._printed_at = 0.0
        self._stood_at: dict[int, int] = {}
        self.stood_still_s = 0.0

    def run(self) -> None:
        """Returns once all texts are in the store and can be answered with. Raises `Stuck`, `ProcessDied`."""
        backstage = self._stage.backstage
        self._stage.teller.line(f"{'sent':>7}{'answerable':>13}{'ingest workers':>17}")
        deadline = time.monotonic() + PATIENCE_S
        while (taken := self._taken()) < self._total:
            self._look()
            if not self._killed and taken > KILL_AFTER * self._total:
                self._kill()
            if self._sent - taken > WINDOW - CHUNK or not self._send():
                time.sleep(POLL_S)
            if time.monotonic() > deadline:
                raise Stuck(f"{self._total - taken:,} texts were not taken in within {PATIENCE_S:g} s")
        backstage.wait_answerable(self._stage.seen)
        self._line()

    def _taken(self) -> int:
        """How many of the texts are in the store."""
        return sum(self._stage.backstage.watermarks().values()) - self._before

    def _send(self) -> bool:
        """Send the next texts; returns whether there were any."""
        chunk = next(self._chunks, ())
        if chunk:
            self._stage.teach(chunk)
            self._sent += len(chunk)
        return bool(chunk)

    def _kill(self) -> None:
        self._line()
        self._killed = self._stage.backstage.kill_an_ingest()
        self._killed_at = time.monotonic()
        self._stood_at = self._marks()
        self._stage.teller.line(f"kill -9 {self._killed.pid}: one of them is gone, in the middle of its work")

    def _look(self) -> None:
        if time.monotonic() - self._printed_at > LINE_S:
            self._stage.backstage.check()
            self._line()
        if self._killed and not self.stood_still_s and self._marks() != self._stood_at:
            self.stood_still_s = time.monotonic() - self._killed_at

    def _marks(self) -> dict[int, int]:
        """Where the partitions of the killed worker stand in the store."""
        lost = self._killed.partitions if self._killed else frozenset()
        return {p: offset for p, offset in self._stage.backstage.watermarks().items() if p in lost}

    def _line(self) -> None:
        self._printed_at = time.monotonic()
        backstage = self._stage.backstage
        answerable, ingests = backstage.answerable(), backstage.ingests()
        self._stage.teller.line(f"{self._stage.sent:>7,}{answerable:>13,}{ingests:>17}")


@dataclass(slots=True)
class _Answers:
    """How many seconds each answer took that somebody got who kept asking; `failed` says why it ended
    early."""

    took_s: list[float] = field(default_factory=list)
    failed: str = ""


@contextmanager
def _meanwhile(stage: Stage) -> Iterator[_Answers]:
    """In the block somebody asks one question after the other."""
    answers, ended = _Answers(), threading.Event()
    questions = [pair.text for pair in stage.data.questions if pair.context == SUPPORT]

    def ask() -> None:
        while not ended.wait(PAUSE_S):
            began = time.monotonic()
            try:
                stage.client.ask(questions[len(answers.took_s) % len(questions)], context=SUPPORT)
            except HurnetError as error:
                answers.failed = str(error)
                return
            answers.took_s.append(time.monotonic() - began)

    thread = threading.Thread(target=ask, name="asking", daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()
        stage.asked += len(answers.took_s)


def _count(stage: Stage) -> None:
    """The books: what was sent, and what is there."""
    teller = stage.teller
    teller.line()
    teller.say("Now everything is counted, and `hurnet verify` reads it from Kafka and learns it once more:")
    books, replies = stage.backstage.books(stage.seen), stage.backstage.replies()
    lost = stage.sent - stage.forgotten - (books.stored - books.twice)
    teller.figure("texts sent", stage.sent)
    teller.figure("in the store", books.stored, f"and {books.deleted} that was forgotten")
    teller.figure("answerable", books.answerable)
    teller.figure("lost", lost)
    teller.figure("twice", books.twice)
    teller.figure("questions asked", stage.asked)
    teller.figure("answers", replies.answers, f"twice: {replies.twice}")
    wrong = {
        f"{lost} texts are lost": lost,
        f"{books.twice} texts are in the store twice": books.twice,
        f"{books.answerable} of {books.stored} entries are answerable": books.answerable - books.stored,
        f"{books.deleted} entries are deleted, not {stage.forgotten}": books.deleted - stage.forgotten,
        f"{stage.asked} questions have {replies.answers} answers": replies.answers - stage.asked,
        f"{replies.twice} questions were answered twice": replies.twice,
        f"`hurnet verify` found a difference: {books.difference}": not books.equal,
    }
    if all([teller.expect(not difference, otherwise) for otherwise, difference in wrong.items()]):
        teller.say(
            f"Nothing is lost and nothing counts twice. What the {books.contexts} contexts have learned is,"
            " to the byte, what they would have learned without a kill -9, and without the forgotten fact."
        )
