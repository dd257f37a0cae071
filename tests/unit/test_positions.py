"""Where responders go on reading: what was answered is not answered again, what was not is not passed over
in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hurnet_schemas import Query
from hurnet_stream.core.offsets import Done
from hurnet_stream.errors import TransientError
from hurnet_stream.responder.responder import Responder
from tests.worlds.responder import PAIRS, World, turn


def ids(world: World) -> Counter[str]:
    return Counter(answer.id for answer in world.answers())


def asked(first: int, end: int) -> Counter[str]:
    return Counter(f"q{i}" for i in range(first, end))


def ask(world: World, first: int, end: int) -> None:
    world.ask(*[Query(text="rain", id=f"q{i}") for i in range(first, end)])


@pytest.fixture
def world() -> World:
    """Thirty queries that were asked and answered by a responder that is gone."""
    world = World()
    world.teach(*PAIRS)
    ask(world, 0, 30)
    first = world.responder()
    turn(first, 10)
    first.drain()
    first.close()
    assert ids(world) == asked(0, 30)
    return world


def go_on(world: World) -> tuple[Responder, list[str]]:
    """A responder that starts now, after some turns, and the reasons of its warnings."""
    responder = world.responder()
    with capture_logs() as logs:
        turn(responder, 10)
    return responder, [str(log.get("reason")) for log in logs if log["log_level"] == "warning"]


def counted(responder: Responder, name: str, reason: str) -> float:
    value = responder._metrics.registry.get_sample_value(f"hurnet_{name}_total", {"reason": reason})
    return value or 0.0


def test_where_nothing_happened_nothing_is_said(world: World) -> None:
    ask(world, 30, 40)
    _, warnings = go_on(world)
    assert ids(world) == asked(0, 40)
    assert warnings == []


def test_a_log_that_lost_its_tail_is_read_on_at_its_end(world: World) -> None:
    del world.kafka.partition("queries", 0).records[25:]
    responder, warnings = go_on(world)
    assert warnings == ["lost-tail"]
    assert counted(responder, "positions_moved", "lost-tail") == 1
    ask(world, 40, 50)
    turn(responder, 10)
    assert ids(world) == asked(0, 30) + asked(40, 50)
    responder.close()
    assert go_on(world)[1] == [], "it is said once"


@pytest.mark.parametrize("grown", [3, 30])
def test_a_log_that_was_cut_is_read_on_from_there_however_far_it_has_grown(world: World, grown: int) -> None:
    world.kafka.truncate("queries", 0, 20)
    ask(world, 100, 100 + grown)
    responder, warnings = go_on(world)
    assert warnings == ["lost-tail"]
    assert ids(world) == asked(0, 30) + asked(100, 100 + grown)
    world.kafka.truncate("queries", 0, 22)  # and under a running one
    ask(world, 200, 205)
    turn(responder, 10)
    assert ids(world) == asked(0, 30) + asked(100, 100 + grown) + asked(200, 205)


def test_a_log_that_was_cut_below_what_is_done_beyond_the_committed_offset() -> None:
    world = World()
    world.teach(*PAIRS)
    wait(world, "parked", len(PAIRS))
    ask(world, 0, 20)
    first = world.responder(wait=1_000)
    turn(first, 8)
    first.close()
    world.kafka.truncate("queries", 0, 10)
    ask(world, 100, 105)
    second = world.responder("two", wait=1_000)
    turn(second, 8)
    assert ids(world) == asked(0, 20) + asked(100, 105)
    world.teach(("brand new", "seen"))
    turn(second, 8)
    assert ids(world) == asked(0, 20) + asked(100, 105) + Counter({"parked": 1})


def test_a_topic_made_anew_under_a_running_responder_is_noticed(world: World) -> None:
    responder, _ = go_on(world)
    world.kafka.create("queries", 2)
    ask(world, 100, 160)
    turn(responder, 10)
    assert ids(world) == asked(0, 30) + asked(100, 160)


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(world: World) -> None:
    for count in (5, 60):  # shorter, and longer, than where the group was
        world.kafka.create("queries", 2)
        before = ids(world)
        ask(world, 100, 100 + count)
        responder, warnings = go_on(world)
        assert warnings == ["recreated"] * 2, "in both partitions"
        assert ids(world) == before + asked(100, 100 + count)
        responder.close()


def test_what_retention_took_is_counted(world: World) -> None:
    ask(world, 30, 50)
    world.kafka.delete_before("queries", 0, 42)
    responder, warnings = go_on(world)
    assert warnings == ["retention"]
    assert counted(responder, "queries_skipped", "retention") == 12
    assert ids(world) == asked(0, 30) + asked(42, 50)


def test_a_group_that_expired_goes_on_where_it_was(world: World) -> None:
    ask(world, 30, 40)
    world.kafka.group("queries", "responders").committed.clear()
    responder, warnings = go_on(world)
    assert warnings == ["expired"] * 2
    assert counted(responder, "positions_moved", "expired") == 2
    assert ids(world) == asked(0, 40)


def test_a_group_that_expired_knows_a_topic_that_was_made_anew(world: World) -> None:
    world.kafka.create("queries", 2)
    ask(world, 100, 110)
    world.kafka.group("queries", "responders").committed.clear()
    go_on(world)
    assert ids(world) == asked(0, 30) + asked(100, 110)


def test_a_new_group_begins_at_the_beginning_and_commits_that() -> None:
    world = World()
    world.teach(*PAIRS)
    ask(world, 0, 5)
    world.kafka.delete_before("queries", 0, 2)
    responder = world.responder()
    turn(responder, 10)
    assert world.kafka.group("queries", "responders").committed == {0: 5, 1: 0}
    assert ids(world) == asked(2, 5)


@pytest.mark.parametrize("note", ["of another tool", Done(99, (3,)).note(), "hurnet1 x ////", "\x00"])
def test_a_note_of_another_tool_does_no_harm(world: World, note: str) -> None:
    world.kafka.group("queries", "responders").notes[0] = note
    ask(world, 30, 40)
    _, warnings = go_on(world)
    assert len(warnings) == 1
    assert ids(world) == asked(0, 40)


def test_a_position_that_is_lost_while_reading_is_found_by_the_same_rules(world: World) -> None:
    responder, _ = go_on(world)
    del world.kafka.partition("queries", 0).records[20:]
    with capture_logs() as logs:
        turn(responder, 5)
    assert [log["reason"] for log in logs if log["log_level"] == "warning"] == ["lost-tail"]
    ask(world, 40, 45)
    turn(responder, 5)
    assert ids(world) == asked(0, 30) + asked(40, 45)


def test_nothing_is_read_before_it_is_known_where(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise what is done beyond the committed offset would be answered again."""
    ask(world, 30, 35)
    responder = world.responder()
    turn(responder, 1)

    def away(_: object) -> None:
        raise TransientError("the coordinator is away")

    with monkeypatch.context() as patched:
        patched.setattr(responder._exchange, "progress", away)
        for _ in range(5):
            with pytest.raises(TransientError):
                responder.step()
    assert ids(world) == asked(0, 30)
    turn(responder, 5)
    assert ids(world) == asked(0, 35)


def test_a_store_that_takes_no_note_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    responder, _ = go_on(world)

    def refused(*_: object) -> None:
        raise TransientError("READONLY")

    monkeypatch.setattr(responder._serving.current.store, "remember_progress", refused)
    monkeypatch.setattr("hurnet_stream.responder.positions.REMEMBER_INTERVAL_S", 0.0)
    ask(world, 30, 40)
    responder.step()
    responder.step()
    assert ids(world) == asked(0, 40)


def wait(world: World, name: str, offset: int, partition: int = 0) -> None:
    query = Query(text="rain", id=name, min_watermarks={0: offset}, timeout_ms=60_000)
    world.ask(query, partition=partition)


def test_a_parked_query_is_answered_once_by_whoever_goes_on() -> None:
    world = World()
    world.teach(*PAIRS)
    wait(world, "parked", len(PAIRS))
    ask(world, 0, 5)
    first = world.responder()
    turn(first, 8)
    assert ids(world) == asked(0, 5), "those behind it are answered"
    assert world.kafka.group("queries", "responders").committed[0] == 0
    first.close()
    second = world.responder("two")
    ask(world, 5, 8)
    turn(second, 8)
    assert ids(world) == asked(0, 8)
    world.kafka.fail(2)
    world.teach(("brand new", "seen"))
    turn(second, 8)
    assert ids(world) == asked(0, 8) + Counter({"parked": 1})
    second.close()
    turn(world.responder("three"), 8)
    assert ids(world) == asked(0, 8) + Counter({"parked": 1})


def test_hundreds_that_wait_in_vain_hold_up_nobody() -> None:
    world = World()
    world.kafka.create("texts", 2)
    world.teach(*PAIRS)
    for i in range(300):
        wait(world, f"vain{i}", 10**6 + i)
    ask(world, 0, 5)
    responder = world.responder(wait=60)
    turn(responder, 10)
    assert ids(world) == asked(0, 5) + Counter({f"vain{i}": 1 for i in range(300)})
    assert {a.outcome for a in world.answers() if a.id.startswith("vain")} == {"timed-out"}


def test_a_client_that_brings_nothing_any_more_is_unready(world: World) -> None:
    responder, _ = go_on(world)
    assert responder.unready() == []
    world.kafka.silent = True
    ask(world, 30, 35)
    turn(responder, 3)
    assert responder.unready() == [], "it may be about to"
    for partition in responder._progress._partitions.values():
        partition.moved_at -= 31
    assert "partition 0: 5 behind and not moving for 31 s" in responder.unready()
    world.kafka.silent = False
    turn(responder, 3)
    assert responder.unready() == []


@dataclass
class Storm:
    """Whatever may happen between clients, texts and responders; names of acts are those of methods."""

    data: st.DataObject
    world: World = field(default_factory=World)
    running: list[Responder] = field(default_factory=list)
    asked: int = 0
    born: int = 0
    texts: int = len(PAIRS)

    def ask(self) -> None:
        self.world.ask(Query(text="rain", id=f"q{self.asked}"), partition=self.asked % 2)
        self.asked += 1

    def wait(self) -> None:
        beyond = self.data.draw(st.integers(-1, 3))
        wait(self.world, f"q{self.asked}", self.texts + beyond, self.asked % 2)
        self.asked += 1

    def teach(self) -> None:
        self.world.teach(("more", "texts"))
        self.texts += 1

    def start(self) -> None:
        if len(self.running) < 3:
            batch = self.data.draw(st.integers(1, 4))
            self.running.append(self.world.responder(f"r{self.born}", batch=batch, wait=1_000))
            self.born += 1

    def crash(self) -> None:
        if self.running:
            self.running.pop(self.data.draw(st.integers(0, len(self.running) - 1))).close()

    def abort(self) -> None:
        self.world.kafka.fail(1)

    def step(self) -> None:
        if self.running:
            turn(self.data.draw(st.sampled_from(self.running)), 1)
        assert max(ids(self.world).values(), default=0) <= 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_interleaving_of_waits_kills_rebalances_and_aborts_answers_each_query_once(
    data: st.DataObject,
) -> None:
    storm = Storm(data)
    storm.world.teach(*PAIRS)
    acts = ["ask", "ask", "wait", "wait", "teach", "start", "crash", "abort", *["step"] * 6]
    for act in data.draw(st.lists(st.sampled_from(acts), min_size=1, max_size=40)):
        getattr(storm, act)()
    for responder in storm.running:
        responder.close()
    for _ in range(5):
        storm.teach()
    turn(storm.world.responder("last", wait=1_000), 60)
    assert ids(storm.world) == asked(0, storm.asked)
