"""Corrections on real servers: right within a second, once whatever fails, and taken back exactly."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial

import pytest

from hurnet_schemas import Answer, Feedback, TextEvent
from hurnet_stream.client import Client
from hurnet_stream.client.over_kafka import OverKafka
from hurnet_stream.feedback.lessons import WEIGHT
from tests.acceptance.system import System, metric, system_is_busy, wait_for, weights_know

TAUGHT = {
    "where is my order": "track",
    "track my order please": "track",
    "how can I follow my order": "track",
    "how do I pay for an order": "pay",
    "can I pay an order by card": "pay",
    "how do I send an order back": "return",
    "I want to return my order": "return",
}
ASKED, PHRASED_AGAIN = "the courier left my order broken", "my order was left broken by the courier"
RIGHT = "damaged"
PATIENTLY = ("--wait", "35")
"""For the reply, for the effect and for the reply after it: on a busy machine each may take long."""


def all_workers(system: System, **settings: str) -> None:
    system.teach([TextEvent(text=text, answer=answer) for text, answer in TAUGHT.items()])
    settings = {"HURNET_RESPONDER_WAIT": "60", **settings}  # a busy machine
    for name in ("ingest", "solver", "responder", "feedback"):
        system.start(name, **settings)
    for worker in system.running:
        worker.wait_ready()
    wait_for(lambda: len(system.texts_in_store()) == len(TAUGHT), what="all taken in")
    wait_for(lambda: system.rows_folded() == len(TAUGHT), what="all are learned, and saved")
    with Client(OverKafka(system.settings.kafka)) as client:
        # Weights of the first few pairs may be in force before those of all.
        wait_for(lambda: pairs_in_weights(ask(client, ASKED)[0]) == len(TAUGHT), what="weights of all pairs")


def ask(client: Client, *texts: str) -> list[Answer]:
    return [client.ask(text, top_k=100, timeout=60) for text in texts]


def assert_as_before(answers: Sequence[Answer], before: Sequence[Answer]) -> None:
    """All but times, versions and the last bits of sums has come back."""
    for now, once in zip(answers, before, strict=True):
        assert now.answer == once.answer
        assert [(c.answer, c.entry) for c in now.candidates] == [(c.answer, c.entry) for c in once.candidates]
        scores = [c.scores.combined for c in once.candidates]
        assert [c.scores.combined for c in now.candidates] == pytest.approx(scores, abs=1e-5)


def test_one_correction_and_the_next_phrasing_is_right_and_a_retraction_restores_all(system: System) -> None:
    all_workers(system)
    questions = (ASKED, PHRASED_AGAIN, *TAUGHT)
    digest = system.checkpoint().statistics["default"].digest()
    kafka = system.settings.kafka
    with Client(OverKafka(kafka)) as client:
        responder = system.running[2]
        wait_for(lambda: metric(responder.get("/metrics")[1], "hurnet_weights_version"), what="weights")
        before = ask(client, *questions)
        assert before[0].answer != RIGHT
        began = time.monotonic()
        client.correct(
            Feedback(question=ASKED, verdict="wrong", answer=RIGHT, given=before[0].answer), wait=False
        )
        while ask(client, PHRASED_AGAIN)[0].answer != RIGHT:
            assert time.monotonic() - began < 120
        seconds = time.monotonic() - began
        after = ask(client, *questions)
        assert [a.answer for a in after[:2]] == [RIGHT, RIGHT]
        assert [a.answer for a in after[2:]] == list(TAUGHT.values())  # what was taught stays
        assert after[0].candidates[0].metadata["feedback"].endswith("-feedback/0/0")
        client.correct(Feedback(question=ASKED, verdict="retracted"), wait=False)
        restored = wait_for(lambda: given(ask(client, ASKED)[0], before[0].answer), what="the old answer")
        # Weights and saved sums are as before, too, as long as the correction itself is not learned.
        seen = restored.receipt.watermarks
        wait_for(lambda: weights_know(ask(client, ASKED)[0], seen), what="weights that know the retraction")
        wait_for(lambda: system.checkpoint().statistics["default"].digest() == digest, what="unlearned")
        assert_as_before(ask(client, *questions), before)
    counted = partial(system.running[3].get, "/metrics")
    wait_for(lambda: metric(counted()[1], "hurnet_verdicts_total") == 2, what="both verdicts are counted")
    assert seconds < 1.0 or system_is_busy(), f"{seconds:.2f} s from the correction to the right answer"


def given(answer: Answer, wanted: str | None) -> Answer | None:
    return answer if answer.answer == wanted else None


def pairs_in_weights(answer: Answer) -> int:
    return answer.receipt.weights.count if answer.receipt and answer.receipt.weights else 0


def pairs(system: System) -> list[tuple[str, str | None, int]]:
    return sorted((e.text, e.answer, e.copies) for batch in system.batches() for e in batch.entries)


def test_the_command_tells_what_was_answered_and_what_is_from_now_on(system: System) -> None:
    all_workers(system)
    corrected = system.run("correct", ASKED, RIGHT, *PATIENTLY)
    assert corrected.returncode == 0, corrected.stderr
    assert "answered until now: " in corrected.stdout
    assert f"answered from now on: {RIGHT}" in corrected.stdout
    confirmed = json.loads(system.run("correct", PHRASED_AGAIN, "--right", "--json", *PATIENTLY).stdout)
    assert confirmed["said"]["verdict"] == "right"
    assert confirmed["said"]["answer"] == confirmed["answer"]["answer"] == RIGHT
    for _ in range(2):
        assert system.run("ask", "xyzzy plugh", "--json", "--timeout", "60").returncode == 0
    listed = [json.loads(line) for line in system.run("unanswered", "--json").stdout.splitlines()]
    assert [(question["text"], question["asked"]) for question in listed] == [("xyzzy plugh", 2)]
    retracted = system.run("correct", ASKED, "--retract", *PATIENTLY)
    assert retracted.returncode == 0, retracted.stderr
    kept = sorted([*((t, a, 1) for t, a in TAUGHT.items()), (PHRASED_AGAIN, RIGHT, WEIGHT)])
    wait_for(lambda: pairs(system) == kept, what="what was retracted is erased")


def test_wrong_without_the_right_answer_lowers_it_and_can_be_taken_back(system: System) -> None:
    all_workers(system, HURNET_RESPONDER_THRESHOLD="0")  # whatever is best is answered
    with Client(OverKafka(system.settings.kafka)) as client:
        before = ask(client, ASKED, *TAUGHT)
        refuted = system.run("correct", ASKED, "--wrong", "--json", *PATIENTLY)
        assert refuted.returncode == 0, refuted.stderr
        now = json.loads(refuted.stdout)["answer"]
        assert now["outcome"] != "timed-out"
        assert now.get("answer") != before[0].answer
        after = ask(client, ASKED, *TAUGHT)
        assert [a.answer for a in after[1:]] == list(TAUGHT.values())  # what was taught stays
        assert system.run("correct", ASKED, "--retract", *PATIENTLY).returncode == 0
        assert_as_before(ask(client, ASKED, *TAUGHT), before)


def test_without_a_worker_the_command_says_so_and_nothing_is_lost(system: System) -> None:
    waited = system.run("correct", "hi", "hello", "--wait", "15")  # also the time for connecting to Kafka
    assert waited.returncode == 1
    assert "does a feedback worker run" in waited.stderr
    system.start("feedback").wait_ready()
    system.start("ingest").wait_ready()
    wait_for(lambda: pairs(system) == [("hi", "hello", WEIGHT)], what="it was taught")
