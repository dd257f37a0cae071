"""`hurnet weights` on a real system: what it prints scores as the responder does."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.redis import RedisWeightsStore, connect
from hurnet_stream.core.grid import SCALE
from tests.acceptance.system import WITH_TORCH, Running, System, metric, wait_for
from tests.acceptance.test_ageing import learned
from tests.acceptance.test_forget import events, teach

TEXT = "what was question number 12"


def answers_by_the_newest(system: System, responder: Running) -> bool:
    """Whether the published weights are in force: responders look for new ones twice a second."""
    with closing(connect(system.patient_redis)) as connection:
        version = RedisWeightsStore(connection).versions()["default"]
    return metric(responder.get("/metrics")[1], "hurnet_weights_version") == version


@pytest.mark.parametrize("variables", [WITH_TORCH, {"HURNET_SOLVE_HALF_LIFE": "3600"}])
def test_printed_weights_score_as_the_responder_does(system: System, variables: dict[str, str]) -> None:
    system.variables |= variables
    teach(system, events(0, 90))
    workers = [system.start(name).wait_ready() for name in ("ingest", "solver", "responder")]
    wait_for(lambda: learned(system) == 90, what="all of them learned")
    wait_for(lambda: answers_by_the_newest(system, workers[2]), what="the responder has taken these weights")
    system.ask([Query(text=TEXT, top_k=10)])
    (answer,) = wait_for(system.answers, what="an answer")
    assert [worker.terminate() for worker in workers] == [0, 0, 0]  # the solver leaves a checkpoint

    printed = system.run("weights")
    assert printed.returncode == 0, printed.stderr
    assert "7 answers from 90 pairs" in printed.stderr
    lines = {line["answer"]: line for line in map(json.loads, printed.stdout.splitlines())}
    (vector,) = load("hash128").embed([TEXT]) / SCALE
    for candidate in answer.candidates:
        line = lines[candidate.answer]
        score = np.dot(line["weights"], vector)
        assert candidate.scores.weights == pytest.approx(min(1.0, max(0.0, score)), abs=1e-9)

    one = system.run("weights", "--answer", "answer 5")
    assert [json.loads(line) for line in one.stdout.splitlines()] == [lines["answer 5"]]
    unknown = system.run("weights", "--answer", "never taught")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "no pair has the answer 'never taught'" in unknown.stderr
    nowhere = system.run("weights", "--context", "nowhere")
    assert (nowhere.returncode, "no pairs have been learned" in nowhere.stderr) == (3, True)
    if "HURNET_SOLVE_HALF_LIFE" not in variables:
        chosen = system.run("weights", HURNET_SOLVE_RIDGE="gcv")
        assert (chosen.returncode, "ridge 0.1," in chosen.stderr) == (0, False), chosen.stderr
