"""The demo's third part: one wrong answer is corrected, and the next phrasing of the question is right.

The question is in a person's own words, which no template of the stream has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from hurnet_schemas import Answer, Feedback, Query
from hurnet_stream.demo.data import Pair
from hurnet_stream.local.system import LocalSystem
from hurnet_stream.terminal.client import Client
from hurnet_stream.terminal.correcting import Asker, correct

QUESTION, NEXT = "it is far too dark in here", "why is it so dark in this room"
INTENT = "HassTurnOn:"
"""How the right answer to both begins in the data."""
CONTEXT = "default"
PATIENCE_S = 20.0


def show(system: LocalSystem, client: Client, taught: Iterable[Pair], say: Callable[[str], None]) -> None:
    """Ask both, correct the first, and ask both again."""
    right = next((pair.answer for pair in taught if pair.answer.startswith(INTENT)), None)
    if right is None:  # the package names its intents otherwise now
        return
    asker = Asker(client, QUESTION, CONTEXT, PATIENCE_S)
    before = asker.ask()
    say("\none correction: somebody asks in words that nothing taught has, and then another does")
    say(f"{_told(QUESTION, before)}\n{_told(NEXT, client.ask(Query(text=NEXT), PATIENCE_S))}")
    feedback = Feedback(
        question=QUESTION,
        verdict="right" if before.answer == right else "wrong",
        answer=right,
        given=before.answer if before.answer != right else None,
        query=before.receipt.query if before.receipt else None,
    )
    began = time.monotonic()
    corrected = correct(system.kafka, feedback, asker, PATIENCE_S)
    seconds = time.monotonic() - began
    after = client.ask(Query(text=NEXT, min_watermarks=corrected.watermarks), PATIENCE_S)
    say(f"the first is corrected: {right}; {seconds:.2f} s later both are asked again")
    say(f"{_told(QUESTION, corrected.now)}\n{_told(NEXT, after)}")


def _told(question: str, answer: Answer | None) -> str:
    told = "no reply" if answer is None else answer.answer or f"no answer ({answer.outcome})"
    return f"? {question}\n  {told}"
