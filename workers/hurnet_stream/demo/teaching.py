"""Scene: one fact is taught, and asked for at once."""

from __future__ import annotations

import time

from hurnet_stream.demo.data import Pair
from hurnet_stream.demo.stage import SUPPORT, Stage

FACT = Pair("May I take my pet along?", "Yes, in the basket, if it weighs less than 10 kilograms.", SUPPORT)
QUESTION = "can i bring my dog"


def play(stage: Stage) -> None:
    teller = stage.teller
    teller.scene("One fact, asked at once")
    taught = [pair for pair in stage.data.stream if pair.context == SUPPORT]
    answers = len({pair.answer for pair in taught})
    stage.teach(taught)
    teller.say(
        f"The support of a bike rental has {answers} answers. {len(taught)} ways to ask for them were just"
        " sent to Kafka. None of them is about animals:"
    )
    before = stage.ask(QUESTION, SUPPORT)
    stage.tell(QUESTION, before)
    began = time.monotonic()
    stage.teach([FACT])
    kept_ms = 1000 * (time.monotonic() - began)
    after = stage.ask(QUESTION, SUPPORT)
    answered_ms = 1000 * (time.monotonic() - began)
    teller.quote("taught", f"{FACT.text} {FACT.answer}")
    stage.tell(QUESTION, after)
    teller.expect(before.answer != FACT.answer, "the fact was known before it was taught")
    if teller.expect(after.answer == FACT.answer, f"the answer should be: {FACT.answer}"):
        entry = after.candidates[0].entry
        stage.fact = entry.partition, entry.offset
        teller.say(
            f"{answered_ms:.0f} ms from sending the fact to having the answer to a question in other"
            f" words; Kafka kept the fact safe after {kept_ms:.0f} of them. Nothing was trained, no index"
            " was rebuilt, and the answer names the entry that it comes from: texts"
            f" {entry.partition}/{entry.offset}."
        )
