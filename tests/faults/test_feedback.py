"""A feedback worker is killed around and within a transaction, and what it teaches is taught once."""

from __future__ import annotations

import pytest

from hurnet_schemas import Feedback
from hurnet_stream.feedback.lessons import WEIGHT, correction_key
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import System, wait_for
from tests.acceptance.test_feedback import pairs


@pytest.mark.parametrize("point", ["before-teaching", "in-teaching", "after-teaching"])
def test_a_worker_killed_in_the_middle_teaches_each_once(system: System, point: str) -> None:
    said = [Feedback(question=f"question {i % 40}", verdict="wrong", answer=f"answer {i}") for i in range(90)]
    with system.sink() as sink:
        keyed = [(correction_key("default", each.question), each.encode()) for each in said]
        sink.send([Outgoing(system.settings.kafka.feedback, value, key) for key, value in keyed])
        sink.send([Outgoing(system.settings.kafka.feedback, b"garbage")])
    small = {"HURNET_FEEDBACK_BATCH": "7"}
    for nth in (1, 4, 2):
        system.start_doomed("feedback", point, nth, **small).wait_end()
    survivor = system.start("feedback", **small).wait_ready()
    others = [system.start(name).wait_ready() for name in ("ingest", "solver")]
    wait_for(system.dead_letters, what="the last record, which is garbage, was handled")
    assert survivor.terminate() == 0
    texts = system.settings.kafka.texts
    records = [record for record in system.read(texts) if record.partition == 0]
    assert len(records) == 2 * len(said)  # a tombstone and a text for each, each once
    last = {each.question: each.answer for each in said}
    wait_for(lambda: pairs(system) == sorted((q, a, WEIGHT) for q, a in last.items()), what="the last words")
    assert [letter.reason for letter in system.dead_letters()] == ["not-json"]
    assert [worker.terminate() for worker in others] == [0, 0]
