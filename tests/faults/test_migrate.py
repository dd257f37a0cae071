"""Another embedder under load: follower and responder are killed, and nobody waits or is answered twice."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from hurnet_schemas import Answer, Query
from hurnet_stream.adapters.redis import RedisEntryStore, connect_to
from tests.acceptance.system import System, wait_for
from tests.acceptance.test_forget import events
from tests.background import again_and_again
from tests.worlds.generations import held

OLD, NEW = "hash128", "hash256"
KILLS = 4
PAUSE_S = 2.0
"""No more than a turn of a busy machine. A responder that loads a store anew takes longer."""


@contextmanager
def asked(system: System) -> Iterator[list[str]]:
    """A question every 50 ms; gives the ids of those that were sent."""
    sent: list[str] = []

    def ask() -> None:
        name = f"q{len(sent)}"
        system.ask([Query(id=name, text=f"question number {len(sent) % 50}")])
        sent.append(name)

    with again_and_again(ask, 0.05):
        yield sent


def rows_of(system: System, number: int) -> dict[tuple[int, int], str]:
    with closing(RedisEntryStore(connect_to(system.settings.redis, number))) as store:
        return {at: entry.text for at, (entry, _) in held(store).items()}


def embedders(answers: list[Answer]) -> list[str]:
    return [answer.receipt.embedder for answer in answers if answer.receipt]


def step(system: System, *options: str) -> dict[str, object]:
    done = system.run("migrate", *options, "--wait", "200", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.mark.timeout(600)
def test_another_embedder_without_a_pause(system: System) -> None:
    system.teach(events(0, 300))
    ingest, _, responder = [system.start(name).wait_ready() for name in ("ingest", "solver", "responder")]
    wait_for(lambda: len(rows_of(system, 0)) == 300, what="texts")
    with asked(system) as sent:
        for kill in range(KILLS):
            follower = system.start("migrate", "--to", NEW)
            time.sleep(1.0 + 0.4 * kill)
            system.teach(events(300 + 10 * kill, 10))
            follower.kill()
        follower = system.start("migrate", "--to", NEW).wait_ready()
        begun = len(sent)
        assert step(system, "--cut-over")["serving"] == NEW
        wait_for(lambda: len(sent) > begun + 30)
        step(system, "--back")
        wait_for(lambda: len(sent) > begun + 60)
        step(system, "--cut-over")
        wait_for(lambda: len(sent) > begun + 90)
        responder.kill()
        system.start("responder").wait_ready()
        wait_for(lambda: len(sent) > begun + 130)
    wait_for(lambda: len(system.read(system.settings.kafka.answers)) >= len(sent), what="answers")

    records = sorted(system.read(system.settings.kafka.answers), key=lambda record: record.timestamp)
    answers = [Answer.decode(record.value) for record in records]
    counts = Counter(answer.id for answer in answers)
    assert counts == Counter(sent), "each question once"
    assert set(embedders(answers)) == {OLD, NEW}
    assert embedders(answers)[-1] == NEW
    wait_for(lambda: rows_of(system, 1) == rows_of(system, 0), what="both hold the same")
    assert len(rows_of(system, 1)) == 300 + 10 * KILLS

    assert step(system, "--finish")["filling"] == NEW
    refused = system.run("ingest")
    assert refused.returncode == 2
    assert NEW in refused.stdout + refused.stderr
    ingest.terminate()
    follower.terminate()
    system.start("ingest", HURNET_EMBEDDER_NAME=NEW).wait_ready()
    system.teach(events(1_000, 20))
    wait_for(lambda: len(rows_of(system, 1)) == 320 + 10 * KILLS, what="texts after the finish")
    assert system.run("migrate", "--drop", NEW, "--anyway").returncode == 2, "it answers"
    assert system.run("migrate", "--drop", OLD, "--anyway").returncode == 0
    known = len(sent)
    system.ask([Query(id=f"q{known}", text="question number 3")])
    wait_for(
        lambda: f"q{known}" in {answer.id for answer in system.answers()}, what="an answer after the drop"
    )
