"""An answer that can't be delivered costs its own query a rejection, and no other query anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hurnet_schemas import Query
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Outgoing
from hurnet_stream.responder import faults
from hurnet_stream.responder.replies import Reply
from hurnet_stream.responder.responder import Responder
from tests.worlds.responder import PAIRS, World, turn

Notes = Mapping[int, str] | None
TO_MINE = (("reply-to", b"answers-mine"),)


def asked(world: World, *bad: int, of: int = 20, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
    """Queries q0, q1, …; the bad ones ask for all candidates."""
    world.teach(*((f"rain {i} {'x' * 300}", f"{i} {'y' * 300}") for i in range(30)))
    for i in range(of):
        world.ask(Query(text="rain", id=f"q{i}", top_k=30 if i in bad else 1), headers=headers)


def outcomes(world: World) -> dict[str, str]:
    found = [a for topic in ("answers", "answers-mine") for a in world.answers(topic)]
    assert max(Counter(a.id for a in found).values(), default=0) <= 1
    return {a.id: a.outcome for a in found}


@pytest.mark.parametrize("bad", [(0,), (7,), (19,), (3, 4, 17), tuple(range(20))])
@pytest.mark.parametrize("topic", ["answers", "answers-mine"])
def test_an_answer_that_the_topic_finds_too_large_is_rejected_alone(bad: tuple[int, ...], topic: str) -> None:
    world = World()
    world.kafka.max_message_bytes[topic] = 6_000
    asked(world, *bad, headers=TO_MINE if topic == "answers-mine" else ())
    turn(world.responder(threshold=0, wait=0), 200)
    expected = {f"q{i}": "rejected" if i in bad else "answered" for i in range(20)}
    assert outcomes(world) == expected
    assert [letter.reason for letter in world.dead_letters()] == ["answer-undeliverable"] * len(bad)
    assert "too large" in world.dead_letters()[0].detail


def refusing(responder: Responder, marks: Sequence[bytes]) -> list[int]:
    """Deliveries that hold such a message fail without a word; returns where their sizes are noted."""
    exchange, sizes = responder._exchange, list[int]()
    delivered = exchange.deliver

    def deliver(messages: Sequence[Outgoing], next_offsets: Mapping[int, int], notes: Notes = None) -> bool:
        sizes.append(len(messages))
        if any(
            mark in (m.value or b"") and b'"answered"' in (m.value or b"") for m in messages for mark in marks
        ):
            exchange.rewind()
            return False
        return delivered(messages, next_offsets, notes)

    exchange.deliver = deliver  # type: ignore[method-assign]
    return sizes


@pytest.mark.parametrize("bad", [(0,), (11,), (5, 6), (19,)])
def test_a_batch_that_fails_again_and_again_is_halved_down_to_the_one(bad: tuple[int, ...]) -> None:
    world = World()
    asked(world, of=20)
    responder = world.responder(threshold=0)
    sizes = refusing(responder, [f'"q{i}"'.encode() for i in bad])
    turn(responder, 400)
    expected = {f"q{i}": "rejected" if i in bad else "answered" for i in range(20)}
    assert outcomes(world) == expected
    assert sizes[:4] == [20, 20, 20, 10]
    assert len(sizes) < 80 * len(bad)
    assert responder._delivery.most == 64, "full batches again"
    assert not responder._delivery._faults._given_up


def test_one_that_fails_while_the_brokers_are_away_is_not_given_up() -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(Query(text="rain", id="q"))
    responder = world.responder()
    turn(responder)
    world.ask(Query(text="rain", id="p"))
    deliver = responder._exchange.deliver

    def away(messages: Sequence[Outgoing], next_offsets: Mapping[int, int], notes: Notes = None) -> bool:
        world.kafka.away = True
        try:
            return deliver(messages, next_offsets, notes)
        finally:
            world.kafka.away = False

    responder._exchange.deliver = away  # type: ignore[method-assign]
    committed = responder._exchange.committed

    def asked_when_away(partitions: frozenset[int]) -> Mapping[int, int | None]:
        world.kafka.away = True
        try:
            return committed(partitions)
        finally:
            world.kafka.away = False

    responder._exchange.committed = asked_when_away  # type: ignore[method-assign]
    turn(responder, 50)
    assert outcomes(world) == {"q": "answered"}
    responder._exchange.deliver = deliver  # type: ignore[method-assign]
    responder._exchange.committed = committed  # type: ignore[method-assign]
    turn(responder, 5)
    assert outcomes(world) == {"q": "answered", "p": "answered"}


def test_a_reply_topic_without_the_right_to_write_costs_its_own_queries_only() -> None:
    world = World()
    world.kafka.forbidden.add("answers-mine")
    asked(world, of=3)
    world.ask(Query(text="rain", id="mine"), headers=TO_MINE)
    world.ask(Query(text="rain", id="other"), partition=1)
    turn(world.responder(threshold=0), 20)
    assert outcomes(world) == {"q0": "answered", "q1": "answered", "q2": "answered"} | {
        "mine": "rejected",
        "other": "answered",
    }
    assert [letter.reason for letter in world.dead_letters()] == ["reply-topic-unwritable"]


def test_a_reply_topic_that_vanishes_before_the_delivery_is_missing() -> None:
    world = World()
    world.teach(*PAIRS)
    responder = world.responder()
    world.ask(Query(text="rain", id="mine"), Query(text="rain", id="too"), headers=TO_MINE)
    admitted = responder._delivery.admitted

    def vanishing(pending: object) -> object:
        found = admitted(pending)  # type: ignore[arg-type]
        world.kafka.topics.pop("answers-mine", None)
        return found

    responder._delivery.admitted = vanishing  # type: ignore[method-assign, assignment]
    turn(responder, 10)
    assert {a.id: a.outcome for a in world.answers()} == {"mine": "rejected", "too": "rejected"}


def test_a_reply_topic_that_does_not_acknowledge_is_given_up_after_three_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.kafka.stalled.add("answers-mine")
    asked(world, of=3)
    world.ask(Query(text="rain", id="mine"), headers=TO_MINE)
    responder = world.responder(threshold=0)
    turn(responder, 2)
    world.kafka.stalled.clear()  # it was but a moment
    turn(responder, 10)
    assert outcomes(world)["mine"] == "answered"
    world.kafka.stalled.add("answers-mine")
    world.ask(Query(text="rain", id="again"), Query(text="rain", id="more"), headers=TO_MINE)
    world.ask(Query(text="rain", id="other"))
    turn(responder, 10)
    assert outcomes(world)["again"] == outcomes(world)["more"] == "rejected"
    assert outcomes(world)["other"] == "answered"
    world.kafka.stalled.clear()
    monkeypatch.setattr(faults, "CLOSED_S", -1.0)
    responder._delivery._faults._closed.clear()
    world.ask(Query(text="rain", id="well"), headers=TO_MINE)
    turn(responder, 10)
    assert outcomes(world)["well"] == "answered"


@pytest.mark.parametrize("topic", ["answers", "dead-letters"])
def test_our_own_topics_are_configuration(topic: str) -> None:
    world = World()
    world.kafka.forbidden.add(topic)
    world.ask(b"not json")
    with pytest.raises(ConfigurationError, match=topic):
        turn(world.responder(), 10)


def test_our_own_topic_that_does_not_acknowledge_is_waited_for() -> None:
    world = World()
    asked(world, of=5)
    world.kafka.stalled.add("answers")
    responder = world.responder(threshold=0)
    turn(responder, 50)
    world.kafka.stalled.clear()
    turn(responder, 10)
    assert set(outcomes(world).values()) == {"answered"}
    assert len(outcomes(world)) == 5


def test_one_whose_rejection_fails_too_was_not_at_fault() -> None:
    """As when the coordinator of transactions is away and nothing else."""
    world = World()
    world.teach(*PAIRS)
    responder = world.responder()
    turn(responder)
    world.ask(Query(text="rain", id="q"))
    for failures in (4 + 1, 7 + 1, 13 + 1):  # the rejection's one try, and then more patience with the answer
        world.kafka.fail(failures)
        turn(responder, failures)
        assert not responder._delivery._faults._given_up
    turn(responder)
    assert outcomes(world) == {"q": "answered"}


@pytest.mark.parametrize("bad", [(0,), (7,), (3, 4)])
def test_a_query_that_shows_a_bug_of_ours_costs_itself_only(bad: tuple[int, ...]) -> None:
    world = World()
    asked(world, of=8)
    responder = world.responder(threshold=0)
    messages = responder._delivery.messages

    def buggy(reply: Reply) -> list[Outgoing]:
        if reply.answer.outcome == "answered" and reply.pending.record.offset in bad:
            raise IndexError
        return messages(reply)

    responder._delivery.messages = buggy  # type: ignore[method-assign]
    with capture_logs():  # stacks take long to be written
        turn(responder, 100)
    expected = {f"q{i}": "rejected" if i in bad else "answered" for i in range(8)}
    assert outcomes(world) == expected


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 29)), st.integers(1, 9), st.integers(0, 3), st.booleans())
def test_whichever_are_bad_each_query_is_answered_once(
    bad: set[int], batch: int, aborts: int, silent: bool
) -> None:
    world = World()
    world.teach(*((f"rain {i} {'x' * 300}", f"{i} {'y' * 300}") for i in range(30)))
    for i in range(30):
        query = Query(text="rain", id=f"q{i}", top_k=30 if i in bad and not silent else 1)
        world.ask(query, partition=i % 2)
    responder = world.responder(threshold=0, batch=batch)
    if silent:
        refusing(responder, [f'"q{i}"'.encode() for i in bad])
    else:
        world.kafka.max_message_bytes["answers"] = 6_000
    world.kafka.fail(aborts)
    with capture_logs():
        for _ in range(50):
            turn(responder, 10)
            if len(outcomes(world)) == 30:
                break
    expected = {f"q{i}": "rejected" if i in bad else "answered" for i in range(30)}
    assert outcomes(world) == expected
