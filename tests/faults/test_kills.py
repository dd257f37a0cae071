"""Workers killed (kill -9) at the worst moments: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import random
import subprocess
from collections import Counter

import pytest

from hurnet_schemas import Query, TextEvent
from tests.acceptance.system import System, metric, wait_for


def events(count: int) -> list[TextEvent]:
    return [TextEvent(text=f"question number {i}", answer=f"answer {i % 7}") for i in range(count)]


def assert_all_in_once(system: System, sent: list[TextEvent]) -> None:
    """ids in = ids in the store, in every shard in order."""
    assert Counter(system.texts_in_store()) == Counter(event.text for event in sent)
    for batch in system.batches():
        offsets = [entry.offset for entry in batch.entries]
        assert offsets == sorted(set(offsets))


def wait_all_in(system: System, count: int) -> None:
    wait_for(lambda: len(system.texts_in_store()) >= count, what=f"{count} texts in the store")


@pytest.mark.parametrize("point", ["before-append", "after-append"])
def test_ingest_killed_around_an_append(system: System, point: str) -> None:
    sent = events(600)
    system.teach(sent)
    for nth in (1, 3, 2):
        system.start_doomed("ingest", point, nth).wait_end()
    survivor = system.start("ingest").wait_ready()
    wait_all_in(system, len(sent))
    assert survivor.terminate() == 0
    assert_all_in_once(system, sent)


def test_ingest_killed_between_dead_letters_and_append(system: System) -> None:
    sent = events(90)
    system.teach([b"not json", *sent])
    assert system.start_doomed("ingest", "after-dead-letters", 1).wait_end() != 0
    survivor = system.start("ingest").wait_ready()
    wait_all_in(system, len(sent))
    assert survivor.terminate() == 0
    assert_all_in_once(system, sent)
    letters = system.dead_letters()
    assert {(letter.reason, letter.offset, letter.partition) for letter in letters} == {("not-json", 0, 0)}
    assert 1 <= len(letters) <= 2  # at least once


def test_two_ingests_killed_at_random_under_load(system: System) -> None:
    sent = events(3_000)
    settings = {"HURNET_INGEST_BATCH": "20"}
    workers = [system.start("ingest", **settings) for _ in range(2)]
    for first in range(0, len(sent), 500):
        system.teach(sent[first : first + 500])
        victim = random.randrange(2)
        workers[victim].kill()
        workers[victim] = system.start("ingest", **settings)
    wait_all_in(system, len(sent))
    # One that still starts while the other has done all would end as nothing but a process that starts.
    assert [worker.wait_ready().terminate() for worker in workers] == [0, 0]
    assert_all_in_once(system, sent)


@pytest.mark.parametrize("point", ["before-checkpoint", "in-checkpoint", "after-checkpoint"])
def test_solver_killed_around_a_checkpoint(system: System, point: str) -> None:
    sent = events(600)
    ingest = system.start("ingest").wait_ready()
    small = {"HURNET_SOLVE_CHECKPOINT_ROWS": "1"}
    for first in range(0, len(sent), 200):
        system.teach(sent[first : first + 100])
        wait_all_in(system, first + 100)
        doomed = system.start_doomed("solver", point, 1, **small)
        system.teach(sent[first + 100 : first + 200])
        doomed.wait_end()
    survivor = system.start("solver").wait_ready()
    wait_for(
        lambda: metric(survivor.get("/metrics")[1], "hurnet_context_rows") == len(sent), what="all folded"
    )
    assert survivor.terminate() == 0
    assert ingest.terminate() == 0
    left = system.checkpoint()
    assert left.statistics["default"].digest() == system.clean_statistics().digest()
    assert sum(shard.rows for shard in left.shards.values()) == len(sent)


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
def test_responder_killed_around_a_commit(system: System, point: str) -> None:
    sent = events(200)
    system.teach(sent)
    ingest = system.start("ingest").wait_ready()
    wait_all_in(system, len(sent))
    queries = [Query(text=f"question number {i}", id=f"q{i}") for i in range(300)]
    system.ask(queries)
    small = {"HURNET_RESPONDER_BATCH": "20"}
    for nth in (1, 4, 2):
        system.start_doomed("responder", point, nth, **small).wait_end()
    survivor = system.start("responder", **small).wait_ready()
    wait_for(lambda: len(system.answers()) >= len(queries), what="all queries answered")
    assert survivor.terminate() == 0
    assert ingest.terminate() == 0
    answers = system.answers()
    assert Counter(answer.id for answer in answers) == Counter(query.id for query in queries)
    right = {f"q{i}": f"answer {i % 7}" for i in range(200)}
    assert all(answer.answer == right[answer.id] for answer in answers if answer.id in right)


def test_everything_ends_in_time_on_sigterm_and_leaves_nothing_to_do_again(system: System) -> None:
    sent = events(300)
    workers = [system.start(name).wait_ready() for name in ("ingest",)]
    system.teach(sent)
    wait_all_in(system, len(sent))
    workers += [system.start("solver").wait_ready(), system.start("responder").wait_ready()]
    system.ask([Query(text="question number 5")])
    wait_for(system.answers, what="an answer")
    assert [worker.terminate() for worker in workers] == [0, 0, 0]
    for worker in workers:
        assert "forced" not in worker.said()
    again = system.start("ingest").wait_ready()
    assert metric(again.get("/metrics")[1], "hurnet_rows_total") == 0
    assert again.terminate() == 0
    assert_all_in_once(system, sent)


def test_a_second_signal_forces_the_end(system: System) -> None:
    worker = system.start("ingest", HURNET_INGEST_POLL="5").wait_ready()
    worker.process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(1)  # it is in a poll, within its deadline
    worker.process.terminate()
    assert worker.wait_end() == 130


def test_the_drain_deadline_forces_the_end(system: System) -> None:
    settings = {"HURNET_INGEST_POLL": "5", "HURNET_LIFECYCLE_DRAIN": "1"}
    worker = system.start("ingest", **settings).wait_ready()
    worker.process.terminate()
    assert worker.wait_end() == 130
    assert "the drain deadline passed" in worker.said()
