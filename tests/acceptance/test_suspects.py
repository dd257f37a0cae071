"""Records that end the process which handles them, and a supervisor that starts it again each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from hurnet_schemas import Query, TextEvent
from hurnet_stream.exit_codes import STUCK
from hurnet_stream.suspects import NOTED_DEATHS
from tests.acceptance.system import Running, System, wait_for


def _ended_or(running: Running, done: Callable[[], bool]) -> bool:
    return running.process.poll() is not None or done()


def supervised(
    system: System, worker: str, how: str, done: Callable[[], bool], **settings: str
) -> tuple[Running, list[int]]:
    """Started again whenever it ends, until it is done; the last one, and how the others ended."""
    ends: list[int] = []
    while len(ends) <= NOTED_DEATHS + 1:
        running = system.start_poisoned(worker, how, **settings)
        ended = partial(_ended_or, running, done)
        wait_for(ended, what=f"{worker} done, or at its end")
        if running.process.poll() is None:
            return running, ends
        ends.append(running.process.returncode)
    raise AssertionError(f"ended too often: {ends}")


@pytest.mark.parametrize(
    ("how", "settings", "end"), [("kill", {}, -9), ("hang", {"HURNET_LIFECYCLE_HANG": "15"}, STUCK)]
)
def test_a_text_that_ends_ingest(system: System, how: str, settings: dict[str, str], end: int) -> None:
    good = [f"question number {i}" for i in range(150)]
    texts = [*good[:70], "it is poison", *good[70:]]
    system.teach([TextEvent(text=text) for text in texts])
    ingest, ends = supervised(
        system, "ingest", how, lambda: len(system.texts_in_store()) >= len(good), **settings
    )
    assert ends == [end] * (NOTED_DEATHS + 1)
    assert ingest.terminate() == 0
    assert Counter(system.texts_in_store()) == Counter(good)
    (letter,) = system.dead_letters()
    assert (letter.reason, letter.partition, letter.offset) == ("ends-the-worker", 70 % 3, 70 // 3)


def test_a_query_that_ends_the_responder(system: System) -> None:
    system.teach([TextEvent(text=f"question number {i}") for i in range(30)])
    ingest = system.start("ingest").wait_ready()
    wait_for(lambda: len(system.texts_in_store()) == 30, what="the texts")
    good = [f"question number {i}" for i in range(12)]
    queries = [*good[:5], "it is poison", *good[5:]]
    system.ask([Query(text=text, id=text) for text in queries])
    responder, ends = supervised(system, "responder", "kill", lambda: len(system.answers()) >= len(queries))
    assert ends == [-9] * (NOTED_DEATHS + 1)
    assert [responder.terminate(), ingest.terminate()] == [0, 0]
    outcomes = {answer.id: answer.outcome for answer in system.answers()}
    assert outcomes == dict.fromkeys(good, "answered") | {"it is poison": "rejected"}
    assert Counter(answer.id for answer in system.answers()) == Counter(queries)
    (letter,) = system.dead_letters()
    assert (letter.reason, letter.worker, letter.partition) == ("ends-the-worker", "responder", 5 % 3)
