"""Scene: a wrong answer is corrected, and the next person who asks in other words is answered right."""

from __future__ import annotations

import time

from hurnet_stream.demo.stage import SUPPORT, Stage

QUESTION, NEXT = "the brakes failed and i fell off", "my brakes did not work, so i had a fall"
RIGHT = "Call "
"""How the right answer to both begins: it is an accident, not only a fault of the bike."""


def play(stage: Stage) -> None:
    teller = stage.teller
    teller.scene("A wrong answer, corrected")
    right = next(pair.answer for pair in stage.data.stream if pair.answer.startswith(RIGHT))
    teller.say("Two people had an accident. They ask in words that nobody taught:")
    before, other = stage.ask(QUESTION, SUPPORT), stage.ask(NEXT, SUPPORT)
    stage.tell(QUESTION, before)
    stage.tell(NEXT, other)
    wrong = [answer for answer in (before, other) if answer.answer != right]
    teller.say(
        f"{('Neither is', 'One of them is', 'Both are')[len(wrong)]} wrong. Somebody says what is right for"
        " the first one, and both ask again:"
    )
    began = time.monotonic()
    stage.saw(stage.client.correct(QUESTION, right, given=before.answer, context=SUPPORT).watermarks, 1)
    now, after = stage.ask(QUESTION, SUPPORT), stage.ask(NEXT, SUPPORT)
    seconds = time.monotonic() - began
    stage.tell(QUESTION, now, "again")
    stage.tell(NEXT, after, "again")
    if teller.expect(now.answer == after.answer == right, f"both answers should be: {right}"):
        teller.say(
            f"{seconds:.2f} s from the correction to both answers. A correction is a text like any other: it"
            " goes through Kafka, counts once, and can be taken back."
        )
