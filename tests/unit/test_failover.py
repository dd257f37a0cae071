"""The store lost the tail of what it acknowledged, as after a failover: each role finds its way by itself."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from hurnet_schemas import Query
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.responder import weights_in_force
from hurnet_stream.solver import solver as solver_module
from tests.memory.redis import Data, MemoryRedis
from tests.worlds import ingest as ingesting
from tests.worlds import responder as responding
from tests.worlds import solver as solving


def fail_over(redis: MemoryRedis, held: Data) -> None:
    redis.data = copy.deepcopy(held)
    redis.incarnation = "another server's"


def test_ingest_refills_what_was_lost_without_waiting_for_the_next_text() -> None:
    world = ingesting.World()
    world.send(*ingesting.numbered(0, 4))
    worker = world.worker()
    ingesting.turn(worker)
    held = copy.deepcopy(world.redis.data)
    world.send(*ingesting.numbered(4, 8))
    ingesting.turn(worker)
    everything = world.texts()
    fail_over(world.redis, held)
    assert len(world.texts()) == 4
    ingesting.turn(worker)
    assert world.texts() == everything
    assert len(everything) == 8


def test_names_of_contexts_are_registered_anew_where_they_were_lost() -> None:
    world = ingesting.World()
    worker = world.worker()
    held = copy.deepcopy(world.redis.data)
    world.send(*ingesting.numbered(0, 4))
    ingesting.turn(worker)
    fail_over(world.redis, held)
    ingesting.turn(worker)
    assert world.redis.data.contexts == {"default"}


@pytest.mark.parametrize("restarted", [False, True])
def test_the_solver_waits_for_what_weights_in_force_know(
    restarted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)
    world = solving.World()
    world.append(*solving.pairs(0, 5))
    solver = world.solver()
    solver.step()
    held = copy.deepcopy(world.redis.data)
    world.append(*solving.pairs(5, 8))
    solver.step()
    fail_over(world.redis, replace(held, weights=world.redis.data.weights, versions={"default": 2}))
    if restarted:
        world.redis.data.leases.clear()
        solver = world.solver()
    for _ in range(3):
        solver.step()
    assert solver.unready() == [
        "shards [0] lost what weights in force know, and ingest has not refilled them"
    ]
    assert world.redis.data.versions == {"default": 2}
    world.append(*solving.pairs(5, 8))
    for _ in range(3):
        solver.step()
    assert solver.unready() == []
    assert world.redis.data.versions == {"default": 3}
    assert world.redis.data.checkpoint.statistics["default"].count == 8


def test_a_solver_saves_again_what_was_lost_of_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_module, "WAIT_S", 0.0)
    world = solving.World()
    world.append(*solving.pairs(0, 5))
    held = copy.deepcopy(world.redis.data)
    solver = world.solver()
    solver.step()
    fail_over(world.redis, held)
    assert world.redis.data.owner == ""
    for _ in range(3):
        solver.step()
    assert world.redis.data.checkpoint.statistics["default"].count == 5
    assert world.redis.data.versions == {"default": 1}


def test_a_responder_takes_other_weights_of_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_in_force, "WEIGHTS_INTERVAL_S", 0.0)
    world = responding.World()
    world.teach(*responding.PAIRS)
    world.solve()
    responder = world.responder()
    responding.turn(responder)
    published = world.redis.data.weights["default"]
    other = replace(published, published_ms=77, watermarks={0: NOTHING})
    fail_over(world.redis, replace(world.redis.data, weights={"default": other}))
    world.ask(Query(text="will it rain"))
    responding.turn(responder)
    in_force = responder._memory.weights("default")
    assert in_force is not None
    assert in_force.published_ms == 77
    assert responding.only(world.answers()).answer == "weather"
