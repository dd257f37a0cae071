"""Importance and age on a real system: through the commands, a killed solver and `hurnet verify`."""

from __future__ import annotations

import json
import time
from itertools import cycle, islice

import pytest

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.redis import RedisWeightsStore, connect
from hurnet_stream.core.solve.window import context_of, identity
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import PARTITIONS, System, wait_for

HOUR = 3_600
HOURS = ("when is the office open", "at what time does the office open", "office opening hours please")


def teach_long_ago(system: System, texts: list[str], answer: str, hours: float) -> None:
    stamp = int((time.time() - hours * HOUR) * 1000)
    with system.sink() as sink:
        sink.send(
            [
                Outgoing(
                    system.settings.kafka.texts,
                    TextEvent(text=text, answer=answer).encode(),
                    partition=i % PARTITIONS,
                    timestamp_ms=stamp,
                )
                for i, text in enumerate(texts)
            ]
        )


def by_weights(answer: Answer) -> str:
    return max(answer.candidates, key=lambda c: c.scores.weights or 0.0).answer


@pytest.mark.parametrize(("half_life", "right"), [(0, "eight to five"), (HOUR, "nine to six")])
def test_what_changed_is_answered_anew_where_pairs_age(system: System, half_life: int, right: str) -> None:
    system.variables["HURNET_SOLVE_HALF_LIFE"] = str(half_life)
    teach_long_ago(system, list(islice(cycle(HOURS), 20)), "eight to five", hours=5)
    teach_long_ago(system, ["who founded the office"], "a forgotten man", hours=20)
    lines = "".join(
        json.dumps({"text": text, "answer": "nine to six", "weight": 2}) + "\n" for text in HOURS[1:]
    )
    assert system.run("produce", "-", stdin=lines).returncode == 0
    ingest, solver = (system.start(name).wait_ready() for name in ("ingest", "solver"))
    wait_for(lambda: len(system.texts_in_store()) == 23, what="all texts in")
    solver.kill()
    solver = system.start("solver").wait_ready()
    wait_for(lambda: learned(system) == 23, what="all of them learned")
    system.start("responder").wait_ready()
    system.ask([Query(text="office opening hours", top_k=9)])
    (answer,) = wait_for(system.answers, what="an answer")
    assert answer.answer == by_weights(answer) == right
    assert answer.receipt.half_life == (half_life or None)
    assert [worker.terminate() for worker in (ingest, solver)] == [0, 0]

    connection = connect(system.patient_redis)
    checkpoint = RedisWeightsStore(connection).load_checkpoint(128, identity("none", half_life * 1000))
    connection.client.close()
    assert set(map(context_of, checkpoint.statistics)) == {"default"}
    ages = sorted(checkpoint.pane - int(key.partition("@")[2]) for key in checkpoint.statistics if half_life)
    assert ages in (([0, 5], [0, 6], [1, 6]) if half_life else ([],))  # an hour may have turned meanwhile
    counts = [statistics.count for statistics in checkpoint.statistics.values()]
    assert sum(counts) == 20 + 2 * 2 + (0 if half_life else 1)  # what is 20 hours old lies beyond 8
    proof = system.run("verify")
    assert (proof.returncode, proof.stdout.splitlines()[-1]) == (0, "equal"), proof.stdout + proof.stderr
    assert system.run("verify", HURNET_SOLVE_HALF_LIFE="7200").returncode == 2


def learned(system: System) -> int:
    """The offsets that the weights in force have learned from."""
    connection = connect(system.patient_redis)
    try:
        weights = RedisWeightsStore(connection).weights("default")
        return sum(watermark + 1 for watermark in weights.watermarks.values()) if weights else 0
    finally:
        connection.client.close()
