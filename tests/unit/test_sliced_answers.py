"""Answers from slices are those of one responder with everything, whatever becomes of slices."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import pytest

from hurnet_schemas import Answer, Query
from hurnet_schemas.reply import Reply
from hurnet_stream.operations.again.again import ask_again
from hurnet_stream.operations.again.asked import Asked, from_line
from hurnet_stream.operations.again.replayed import Replayed
from hurnet_stream.operations.again.replayed import World as Again
from hurnet_stream.operations.again.today import ask_today
from hurnet_stream.ports import NoReply
from hurnet_stream.responder.responder import Responder
from hurnet_stream.responder.slices import asking, gathered
from hurnet_stream.responder.slices import following as following_module
from hurnet_stream.settings.settings import ResponderSettings, Settings, SolveSettings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.responder import EMBEDDER, PAIRS, turn
from tests.worlds.slices import SlicedWorld

QUESTIONS = [
    "please turn the kitchen light on",
    "is it going to rain",
    "the lamp should go off",
    "kitchen",
    "nothing like it at all",
]
DIFFERS = {"query", "seconds", "trace_id"}
"""Of receipts: which record the question was, and how long it took."""


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LOOK_S", 0.0)
    monkeypatch.setattr(asking, "RETRY_FIRST_S", 0.0)
    monkeypatch.setattr(following_module, "STAND_S", 0.0)


@pytest.fixture
def world() -> SlicedWorld:
    made = SlicedWorld()
    for partition in range(4):
        made.teach(*PAIRS[partition:], partition=partition)
    made.teach(("the red door is in the east", None), ("la lampe du salon", "on"), partition=1)
    made.delete([1], partition=2)
    made.solve()
    return made


def asked(world: SlicedWorld, responder: Responder, *texts: str, **more: Any) -> list[Answer]:
    """The answers to these questions, in order."""
    begun = len(world.answers())
    world.ask(*(Query(id=str(i), text=text, top_k=5, **more) for i, text in enumerate(texts)))
    turn(responder, 12)
    return sorted(world.answers()[begun:], key=lambda answer: answer.id)


def compared(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """All that must be equal of them."""
    dumped = [answer.model_dump(mode="json") for answer in answers]
    for each in dumped:
        each["receipt"] = {k: v for k, v in (each["receipt"] or {}).items() if k not in DIFFERS}
    return dumped


def replay(world: SlicedWorld, answer: Answer, question: str, today: bool = False) -> Replayed:
    """Asked again by one process that loads everything."""
    asked_again = from_line(Reply.of(answer, question).encode())
    assert isinstance(asked_again, Asked)
    stores = MemoryEntryStore(world.redis), MemoryWeightsStore(world.redis)
    stores[0].open(EMBEDDER.identity)
    chosen = Settings(responder=ResponderSettings(threshold=0.3), solve=SolveSettings(device="cpu"))
    return (ask_today if today else ask_again)(asked_again, Again(*stores, EMBEDDER, chosen))


def with_everything(world: SlicedWorld, *texts: str, **more: Any) -> list[dict[str, Any]]:
    """As one responder answers that holds everything. It goes away again."""
    alone = world.responder("alone")
    answers = compared(asked(world, alone, *texts, **more))
    alone.close()
    return answers


def slices(world: SlicedWorld, count: int) -> None:
    for number in range(count):
        world.slice(f"{number}/{count}", number, count)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_slices_answer_as_one_responder_with_everything_to_the_last_bit(
    world: SlicedWorld, count: int
) -> None:
    expected = with_everything(world, *QUESTIONS)
    slices(world, count)
    answers = asked(world, world.coordinator(), *QUESTIONS)
    assert compared(answers) == expected
    assert {answer.outcome for answer in answers} >= {"answered"}


def test_filters_and_neighbours_too(world: SlicedWorld) -> None:
    more = {"filter": {"key": "n", "in": ["0", "1"]}, "neighbours": 3}
    expected = with_everything(world, *QUESTIONS, **more)
    slices(world, 3)
    assert compared(asked(world, world.coordinator(), *QUESTIONS, **more)) == expected


def test_while_a_slice_is_away_questions_wait_and_then_say_so(world: SlicedWorld) -> None:
    expected = with_everything(world, QUESTIONS[0])
    slices(world, 2)
    patient = world.coordinator(wait=60)
    turn(patient)
    world.gone["1/2"] = NoReply("killed")
    assert asked(world, patient, QUESTIONS[0]) == []
    assert any("1" in reason for reason in patient.unready())
    del world.gone["1/2"]
    world.settle()
    turn(patient)
    assert compared(world.answers()[1:]) == expected
    patient.close()
    hasty = world.coordinator(wait=0.01)
    turn(hasty)
    world.gone["1/2"] = NoReply("killed")
    asked(world, hasty, QUESTIONS[0])
    time.sleep(0.02)
    turn(hasty)
    answer = world.answers()[-1]
    assert (answer.outcome, answer.reason) == ("timed-out", "of 2 slices these are away: 1")


def test_if_a_setting_says_so_the_others_answer_and_the_receipt_says_what_is_missing(
    world: SlicedWorld,
) -> None:
    slices(world, 2)
    coordinator = world.coordinator(away="partial")
    (whole,) = asked(world, coordinator, QUESTIONS[0])
    assert whole.receipt is not None
    assert whole.receipt.missing is None
    world.gone["1/2"] = NoReply("killed", "broke")
    (partial,) = asked(world, coordinator, QUESTIONS[0])
    assert partial.receipt is not None
    assert partial.receipt.missing == [1, 3]
    assert partial.outcome == "answered"
    assert set(partial.receipt.watermarks) == {0, 2}
    for each in (whole, partial):
        replayed = replay(world, each, QUESTIONS[0])
        assert (replayed.same, replayed.missing) == (True, []), replayed.differences
    today = replay(world, partial, QUESTIONS[0], today=True)
    assert today.between is not None
    assert "what slices lacked was 1, 3, and is nothing" in today.between.settings
    lying = partial.receipt.model_copy(update={"missing": [0]})
    assert not replay(world, partial.model_copy(update={"receipt": lying}), QUESTIONS[0]).same
    assert b"hurnet_partial_answers_total 1.0" in coordinator._metrics.exposition()
    del world.gone["1/2"]
    world.settle()
    (again,) = asked(world, coordinator, QUESTIONS[0])
    assert compared([again]) == compared([whole])


def test_another_process_that_holds_the_slice_is_asked_if_one_dies_in_the_middle(world: SlicedWorld) -> None:
    expected = with_everything(world, *QUESTIONS)
    slices(world, 2)
    world.slice("second", 1, 2)
    for nth in range(1, 12):
        coordinator = world.coordinator(f"c{nth}")
        turn(coordinator)
        calls = itertools.count(1)
        world.gone.clear()

        def ask(sent: Any, timeout_s: float, nth: int = nth, calls: Any = calls) -> Any:
            if next(calls) == nth:
                world.gone["1/2"] = NoReply("killed")
            return world.ask_slices(sent, timeout_s)

        world.ask_all = ask
        assert compared(asked(world, coordinator, *QUESTIONS)) == expected
        coordinator.close()
    assert world.dead_letters() == []


def test_what_comes_in_while_slices_are_asked_is_seen_by_all_or_by_none(world: SlicedWorld) -> None:
    slices(world, 3)
    coordinator = world.coordinator()
    turn(coordinator)
    moments = itertools.count(1)

    def ask(sent: Any, timeout_s: float) -> Any:
        if (moment := next(moments)) in (3, 5, 8, 13):
            world.teach((f"text number {moment}", "on"), partition=moment % 3)
            for worker in world.slices.values():
                worker._still.moved()  # as if `hold` had passed
        return world.ask_slices(sent, timeout_s)

    world.ask_all = ask
    found = compared(asked(world, coordinator, *QUESTIONS))
    world.ask_all = world.ask_slices
    world.settle()
    assert len(found) == len(QUESTIONS)
    assert b'hurnet_conversations_total{outcome="moved"} 0.0' not in coordinator._metrics.exposition()
    answers = compared(asked(world, coordinator, *QUESTIONS))
    coordinator.close()
    assert answers == with_everything(world, *QUESTIONS)


def test_a_question_that_a_slice_can_not_answer_is_rejected_alone(world: SlicedWorld) -> None:
    expected = with_everything(world, *QUESTIONS)
    slices(world, 2)
    coordinator = world.coordinator()
    turn(coordinator)
    real = world.slices["0/2"]._answers.answer

    def failing(call: Any, number: int, request: Any) -> bool:
        if (
            any(getattr(part, "texts", None) == ("poison",) for part in request.asked)
            or b"poison" in call.payload
        ):
            call.refuse("a bug", failed=True)
            return False
        return real(call, number, request)

    world.slices["0/2"]._answers.answer = failing  # type: ignore[method-assign]
    assert compared(asked(world, coordinator, *QUESTIONS)) == expected


def test_a_question_that_kills_slices_is_given_up_and_the_others_are_answered(world: SlicedWorld) -> None:
    slices(world, 2)
    coordinator = world.coordinator(batch=4)
    turn(coordinator)
    poison = world.embedder.embed_questions(["poison"]).tobytes()

    def ask(sent: Any, timeout_s: float) -> Any:
        if any(poison in payload for _, payload in sent):
            return [NoReply("socket closed", "broke") for _ in sent]
        return world.ask_slices(sent, timeout_s)

    world.ask_all = ask
    world.ask(*(Query(id=text, text=text) for text in (*QUESTIONS, "poison")))
    for _ in range(60):
        turn(coordinator, 1)
        world.settle()
    assert {answer.id for answer in world.answers()} == {*QUESTIONS, "poison"}
    assert [letter.reason for letter in world.dead_letters()] == ["answer-undeliverable"]


def test_more_slices_beside_take_over_once_all_of_them_are_there(world: SlicedWorld) -> None:
    expected = with_everything(world, *QUESTIONS)
    slices(world, 2)
    coordinator = world.coordinator()
    assert compared(asked(world, coordinator, *QUESTIONS)) == expected
    for number in range(4):
        world.slice(f"{number}/4", number, 4)
        assert compared(asked(world, coordinator, *QUESTIONS)) == expected
    assert coordinator._memory.slices.chosen.count == 4  # type: ignore[attr-defined]
    for number in range(2):
        world.slices.pop(f"{number}/2").drain()
    assert compared(asked(world, coordinator, *QUESTIONS)) == expected


def test_a_question_that_wants_to_see_an_offset_waits_for_the_slice_that_will_have_it(
    world: SlicedWorld,
) -> None:
    slices(world, 2)
    coordinator = world.coordinator()
    turn(coordinator)
    world.ask(Query(id="w", text="a brand new text", min_watermarks={3: 2}))
    turn(coordinator)
    assert world.answers() == []
    world.teach(("a brand new text", "new"), partition=3)
    world.settle()
    turn(coordinator, 12)
    (answer,) = world.answers()
    assert answer.answer == "new"


def test_it_gives_up_a_turn_and_not_more_if_conversations_break_off_again_and_again(
    world: SlicedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathered, "TRIES", 2)
    slices(world, 2)
    coordinator = world.coordinator()
    turn(coordinator)
    restless = True

    def ask(sent: Any, timeout_s: float) -> Any:
        if restless:
            world.teach(("noise", "noise"), partition=0)
            for worker in world.slices.values():
                worker._still.moved()
        return world.ask_slices(sent, timeout_s)

    world.ask_all = ask
    assert asked(world, coordinator, QUESTIONS[0]) == []
    restless = False
    turn(coordinator, 12)
    assert len(world.answers()) == 1
