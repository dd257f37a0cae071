"""The doctor: each edge broken in turn is the one that it names, and it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest

from hurnet_schemas import Query
from hurnet_stream.commands.doctor import as_dict
from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.exit_codes import BROKEN_PART
from hurnet_stream.ingest import shards
from hurnet_stream.operations.diagnosis import EDGES, Group, Report
from hurnet_stream.operations.doctor import Doctor
from hurnet_stream.ports import News
from hurnet_stream.settings.settings import Settings
from tests.memory.courier import MemoryCourier
from tests.worlds.canary import Step, World


@pytest.fixture(autouse=True)
def _committing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "COMMIT_INTERVAL_S", 0.0)


class Working(MemoryCourier):
    """While somebody waits, the workers work."""

    def __init__(self, world: World, steps: tuple[Step, ...]) -> None:
        super().__init__(world.kafka, "answers", world.clock)
        self._steps = steps

    def receive(self, timeout_s: float) -> list[News]:
        for step in self._steps:
            with suppress(TransientError):
                step()
        return list(super().receive(timeout_s))


def examined(world: World, *steps: Step, groups: Callable[[], Mapping[str, Group]] | None = None) -> Report:
    courier = Working(world, steps)
    walk = Doctor(courier, Settings().kafka, "canary", groups or (lambda: seen(world)), 5.0, world.clock)
    return walk.examine()


def seen(world: World, **members: int) -> dict[str, Group]:
    """The groups; unless told otherwise, one is in each."""
    read = {"ingest": "texts", "responder": "queries"}
    return {
        role: Group(members.get(role, 1), dict(world.kafka.group(topic, role).committed))
        for role, topic in read.items()
    }


def broken(report: Report) -> str | None:
    return report.broken.part if report.broken else None


def test_a_system_that_works_is_well_on_every_edge_and_nothing_is_left_in_it() -> None:
    world = World()
    ingest = world.ingest()
    report = examined(world, ingest.step, world.responder().step)
    assert [check.well for check in report.checks] == [True] * 7
    assert [check.part for check in report.checks] == list(EDGES) == list(BROKEN_PART)
    assert (broken(report), report.advice) == (None, "")
    assert as_dict(report)["well"] is True
    ingest.close()
    world.take_in()
    assert world.left() == []


def test_without_kafka_there_is_one_finding() -> None:
    world = World()
    world.kafka.away = True
    report = examined(world)
    assert (broken(report), len(report.checks)) == ("kafka", 1)
    assert "HURNET_KAFKA_BOOTSTRAP" in report.advice


@pytest.mark.parametrize(("topic", "part"), [("queries", "queries"), ("texts", "texts")])
def test_a_topic_that_takes_nothing_is_named(topic: str, part: str) -> None:
    world = World()
    ingest, responder = world.ingest(), world.responder()
    world.kafka.forbidden.add(topic)
    report = examined(world, ingest.step, responder.step)
    assert broken(report) == part
    assert "hurnet topics" in report.advice


@pytest.mark.parametrize(
    ("members", "advice"), [(0, "start one: `hurnet responder`"), (1, "look at the responder's log")]
)
def test_a_responder_that_does_not_answer_is_told_from_one_that_is_not_there(
    members: int, advice: str
) -> None:
    world = World()
    report = examined(world, world.ingest().step, groups=lambda: seen(world, responder=members))
    assert broken(report) == "responder"
    assert report.advice.startswith(advice)


def test_a_store_that_is_away_is_what_both_workers_wait_for() -> None:
    world = World()
    report = examined(world)  # both are in their groups, and neither gets on
    assert broken(report) == "store"
    assert "Redis" in report.advice


def test_a_responder_that_does_not_follow_the_store_is_told_from_an_ingest_that_takes_nothing_in() -> None:
    def late(query: Query) -> bytes:
        outcome = "timed-out" if query.min_watermarks else "abstained"
        return f'{{"v":1,"id":"-","outcome":"{outcome}","reason":"not reached"}}'.encode()

    for ingest_works, part in ((True, "store"), (False, "ingest")):
        world = World()
        ingest = world.ingest().step if ingest_works else (lambda: None)
        report = examined(world, ingest, world.answering(lambda query, _: [late(query)], "answers"))
        assert broken(report) == part


def test_slices_that_are_away_are_what_to_start() -> None:
    def without_slices(_: Query) -> bytes:
        return b'{"v":1,"id":"-","outcome":"timed-out","reason":"of 2 slices these are away: 1"}'

    world = World()
    answering = world.answering(lambda query, _: [without_slices(query)], "answers")
    report = examined(world, world.ingest().step, answering)
    assert broken(report) == "responder"
    assert "hurnet slice" in report.advice


def test_an_ingest_that_is_not_running_is_to_be_started() -> None:
    world = World()
    responder = world.responder(wait=0)
    report = examined(world, responder.step, groups=lambda: seen(world, ingest=0))
    assert (broken(report), report.advice) == ("ingest", "start one: `hurnet ingest`")


def test_a_text_that_is_put_aside_leads_to_the_dead_letters() -> None:
    world = World()
    for number in range(64):
        world.send("a text", context=f"context-{number}")
    ingest = world.ingest(batch=100)
    while len(world.redis.data.contexts) < 64:
        ingest.step()
    report = examined(world, ingest.step, world.responder().step)
    assert broken(report) == "ingest"
    assert "hurnet dead-letters" in report.advice


def test_a_client_that_may_not_see_groups_is_told_less() -> None:
    def hidden() -> Mapping[str, Group]:
        raise ConfigurationError("GroupAuthorizationFailedError")

    world = World()
    report = examined(world, groups=hidden)
    assert broken(report) == "responder"
    assert "could not be seen: GroupAuthorizationFailedError" in report.advice
    told = as_dict(report)
    assert (told["broken"], told["well"]) == ("responder", False)
    assert [check["well"] for check in told["checks"]] == [True, True, True, False, None, None, True]


def test_an_answer_that_can_not_be_read_is_the_responders() -> None:
    world = World()
    report = examined(world, world.ingest().step, world.answering(lambda *_: [b"?"], "answers"))
    assert broken(report) == "responder"
