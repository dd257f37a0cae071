"""Scene: the fact of the first scene is deleted, and nothing answers with it any more."""

from __future__ import annotations

import time

from hurnet_stream.demo.stage import SUPPORT, Stage
from hurnet_stream.demo.teaching import FACT, QUESTION


def play(stage: Stage) -> None:
    teller = stage.teller
    teller.scene("Forgotten")
    if stage.fact is None:
        teller.expect(False, "there is no fact to forget")
        return
    teller.say("The fact about pets was a mistake. It is deleted, and the same question is asked again:")
    began = time.monotonic()
    stage.saw(stage.client.forget(entry=stage.fact).watermarks, 0)
    stage.forgotten += 1
    after = stage.ask(QUESTION, SUPPORT)
    ms = 1000 * (time.monotonic() - began)
    teller.quote("deleted", "texts {}/{}".format(*stage.fact))
    stage.tell(QUESTION, after)
    if teller.expect(after.answer != FACT.answer, "the fact is still known"):
        teller.say(
            f"{ms:.0f} ms until no answer comes from it. What was learned from it is subtracted again, in"
            " whole numbers, so that nothing of it remains. The next scene ends with the proof."
        )
