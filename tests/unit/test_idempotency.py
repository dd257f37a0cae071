"""A request that is sent again is not written again, whatever dies at whatever step."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.errors import KafkaFailing
from hurnet_stream.gateway.idempotency import MARK, STALE_S, OtherRequest, UnderWay, Wanted, digest
from hurnet_stream.ports import Claim, Outgoing
from tests.worlds.retrying import KEYS, TOPIC, World, until_told

ACTIONS = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 1), st.sampled_from(list(KEYS))),
    st.tuples(st.just("step"), st.integers(0, 7), st.integers(1, 8)),
    st.tuples(st.just("kill"), st.integers(0, 1), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1, 10, 30]), st.none()),
    st.tuples(st.just("lose"), st.integers(1, 2), st.none()),
    st.tuples(st.just("abort"), st.just(1), st.none()),
    st.tuples(st.just("forget"), st.none(), st.none()),
    st.tuples(st.just("away"), st.booleans(), st.none()),
)


def act(world: World, action: str, what: Any, more: Any) -> None:
    tries = world.tries()
    match action:
        case "begin" if len(tries) < 8:
            world.processes[what].begin(more)
        case "step" if tries:
            for _ in range(more):
                world.step(tries[what % len(tries)])
        case "kill":
            world.replace(what)
        case "forget":
            world.forget_places()
        case "abort":
            world.kafka.fail(1)
        case _:
            _set(world, action, what)


def _set(world: World, action: str, what: Any) -> None:
    if action == "wait":
        world.now_s += what
    elif action == "lose":
        world.losing = what
    elif action == "away":
        world.kafka.away = what


@settings(max_examples=300)
@given(st.lists(ACTIONS, max_size=40))
def test_under_any_schedule_each_request_is_written_once_and_told_alike(
    schedule: list[tuple[str, Any, Any]],
) -> None:
    world = World()
    for key in KEYS:
        world.processes[0].begin(key)
    for each in schedule:
        act(world, *each)
    world.kafka.away, world.losing = False, 0
    for key in KEYS:
        until_told(world, key)
    while tries := world.tries():  # the zombies go on
        world.step(tries[0])
    for key, count in KEYS.items():
        written = world.written(key)
        assert [mark for mark, _, _ in written] == [
            f"{key}/asks {key}/{n}/{count}".encode() for n in range(count)
        ]
        assert world.told[key] == {tuple((partition, offset) for _, partition, offset in written)}


def finished(world: World, process: int, key: str) -> Any:
    new = world.processes[process].begin(key)
    while not new.done:
        world.step(new)
    return new.result


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_gateway_that_is_killed_at_any_step_is_taken_over_once_its_claim_is_old(steps: int) -> None:
    world = World()
    first = world.processes[0].begin("two")
    for _ in range(steps):
        world.step(first)
    claimed = bool(world.redis.data.claims)
    world.replace(0)
    if claimed:
        assert isinstance(finished(world, 1, "two"), UnderWay)
        world.now_s += STALE_S
    assert finished(world, 1, "two") == finished(world, 0, "two")
    assert len(world.written("two")) == KEYS["two"]


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_gateway_that_was_taken_for_dead_writes_no_more(steps: int) -> None:
    world = World()
    zombie = world.processes[0].begin("two")
    for _ in range(steps):
        world.step(zombie)
    world.now_s += STALE_S
    answer = finished(world, 1, "two")
    while not zombie.done:
        world.step(zombie)
    assert len(world.written("two")) == KEYS["two"]
    assert finished(world, 0, "two") == answer
    assert isinstance(zombie.result, Exception) or zombie.result == answer


@pytest.mark.parametrize("steps", range(1, 9))
def test_of_two_that_take_over_at_once_one_does(steps: int) -> None:
    world = World()
    dead = world.processes[0].begin("two")
    for _ in range(4):
        world.step(dead)
    assert world.redis.data.claims
    assert not world.written("two")
    world.replace(0)
    world.now_s += STALE_S
    one, other = world.processes[0].begin("two"), world.processes[1].begin("two")
    for each in (one, other):
        for _ in range(steps):
            world.step(each)
    while left := [each for each in (one, other) if not each.done]:
        for each in left:
            world.step(each)
    until_told(world, "two")
    assert len(world.written("two")) == KEYS["two"]
    assert len(world.told["two"]) == 1


def test_a_reply_that_is_lost_after_the_commit_makes_the_next_try_look() -> None:
    world = World()
    first = world.processes[0].begin("two")
    while not world.written("two"):
        world.losing = int(len(world.redis.data.claims) > 0)
        world.step(first)
    while not first.done:
        world.step(first)
    assert isinstance(first.result, KafkaFailing)
    assert len(finished(world, 1, "two")) == KEYS["two"]  # at once: the claim says that its owner gave it up
    assert len(world.written("two")) == KEYS["two"]


def test_another_request_under_the_same_key_is_refused() -> None:
    world = World()
    finished(world, 0, "one")
    key, (claim, at) = next(iter(world.redis.data.claims.items()))
    world.redis.data.claims[key] = Claim(claim.owner, "asks something else", claim.since, claim.records), at
    assert isinstance(finished(world, 1, "one"), OtherRequest)


def test_fifty_at_once_are_written_once() -> None:
    world = World()
    tries = [world.processes[n % 2].begin("two") for n in range(50)]
    while left := [each for each in tries if not each.done]:
        for each in left:
            world.step(each)
    answers = {each.result for each in tries if not isinstance(each.result, Exception)}
    assert len(answers) <= 1
    assert all(isinstance(each.result, UnderWay | tuple | list) for each in tries)
    assert len(world.written("two")) == KEYS["two"]


def test_digests_tell_parts_apart() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
    assert digest(b"a") == digest(b"a")


def test_records_are_marked_by_request_and_number() -> None:
    wanted = Wanted("k", "r", TOPIC, 2)
    marked = wanted.marked([Outgoing(TOPIC, b"a", None, (("x", b"y"),)), Outgoing(TOPIC, b"b")])
    assert [dict(each.headers)[MARK] for each in marked] == [b"k/r/0/2", b"k/r/1/2"]
    assert dict(marked[0].headers)["x"] == b"y"
