"""Feedback: taught once whatever fails, replaced by later feedback, and taken back exactly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import Feedback, InvalidMessage
from hurnet_schemas.base import MAX_TEXT
from hurnet_stream.core.rule.rule import nearest, ranked
from hurnet_stream.errors import ConfigurationError, Superseded
from hurnet_stream.feedback.lessons import WEIGHT, correction_key
from hurnet_stream.metrics.registry import CONTEXTS_SHOWN, OTHERS
from hurnet_stream.ports import Fault, Outgoing
from tests.worlds.correcting import World, fields, turn
from tests.worlds.deleting import EMBEDDER, Follower


def test_a_correction_is_a_pair_with_a_weight() -> None:
    world = World()
    world.say("where is my parcel", "wrong", "track-order", given="opening-hours")
    world.teach()
    assert world.pairs() == [("where is my parcel", "track-order", WEIGHT)]
    assert world.statistics()["default"].count == WEIGHT


def test_said_twice_it_counts_once_and_the_last_word_on_a_question_stands() -> None:
    world = World()
    for answer in ("track-order", "track-order", "returns"):
        world.say("where is my parcel", "wrong", answer)
    world.say("  Where is   MY parcel", "right", "refunds")  # the same question in other letters
    world.teach()
    assert world.pairs() == [("  Where is   MY parcel", "refunds", WEIGHT)]


def test_a_retraction_leaves_everything_as_if_nothing_had_been_said() -> None:
    world = World()
    world.send("turn on the light", "on", context="default")
    world.take_in()
    before = world.statistics()["default"].digest()
    world.say("lights pls", "wrong", "on")
    world.teach()
    assert world.statistics()["default"].digest() != before
    world.say("lights pls", "retracted")
    world.teach()
    assert world.statistics()["default"].digest() == before
    assert world.pairs() == [("turn on the light", "on", 1)]


def test_what_others_taught_on_the_same_question_stays() -> None:
    world = World()
    world.send("lights pls", "off", key="mine", context="default")
    world.say("lights pls", "wrong", "on")
    world.say("lights pls", "retracted")
    world.teach()
    assert world.pairs() == [("lights pls", "off", 1)]


def test_a_question_is_corrected_in_one_context() -> None:
    world = World()
    world.say("hi", "wrong", "hello", context="one")
    world.say("hi", "wrong", "oi", context="two")
    world.say("hi", "retracted", context="one")
    world.teach()
    assert world.pairs() == [("hi", "oi", WEIGHT)]


def test_a_correction_wins_over_what_was_wrongly_taught_for_the_same_text() -> None:
    world = World()
    for text, answer in (
        ("make it bright", "off"),
        ("turn the light off", "off"),
        ("turn the light on", "on"),
    ):
        world.send(text, answer, context="default")
    world.say("make it bright", "wrong", "on", given="off")
    world.teach()
    follower = Follower(world.redis)
    follower.step()
    index, question = follower.memory.index("default"), "make it bright"
    (ranking,) = ranked([question], nearest(EMBEDDER.embed([question]), index), index)
    assert ranking.best
    assert ranking.best.answer == "on"


def test_a_retraction_of_what_was_never_corrected_changes_nothing() -> None:
    world = World()
    world.send("turn on the light", "on", context="default")
    world.say("what is this", "retracted")
    world.say("what is this", "retracted", context="nowhere")
    world.teach()
    assert world.pairs() == [("turn on the light", "on", 1)]
    assert world.letters() == []


def test_a_correction_may_be_the_first_text_of_its_context() -> None:
    world = World()
    world.say("hi", "wrong", "hello", context="new")
    world.teach()
    assert world.statistics().keys() == {"new"}


def test_answers_of_any_allowed_length_are_taught_and_longer_ones_put_aside() -> None:
    world = World()
    longest = "\N{PILE OF POO}" * MAX_TEXT
    world.say(longest, "wrong", longest)
    world.say_raw(json.dumps(fields("hi", "right", longest + "!")).encode())
    world.teach()
    assert world.pairs() == [(longest, longest, WEIGHT)]
    assert [letter.reason for letter in world.letters()] == ["too-long"]


GARBAGE = [
    (None, "tombstone"),
    (b"\xff", "not-utf8"),
    (b"no", "not-json"),
    (b'{"v": 2}', "unknown-version"),
    (b'{"question": "hi", "verdict": "great", "answer": "hello"}', "invalid-message"),
    (b'{"question": "hi", "verdict": "right"}', "invalid-message"),
    (b'{"question": "hi", "verdict": "right", "given": "hello"}', "invalid-message"),
    (b'{"question": "hi", "verdict": "wrong"}', "invalid-message"),
    (b'{"question": "hi", "verdict": "wrong", "answer": "a", "given": "a"}', "invalid-message"),
    (b'{"question": "hi", "verdict": "retracted", "answer": "a"}', "invalid-message"),
    (b'{"question": " ", "verdict": "right", "answer": "a"}', "blank-text"),
]


def test_garbage_becomes_dead_letters_and_the_rest_is_taught() -> None:
    world = World()
    world.say_raw(*(raw for raw, _ in GARBAGE))
    world.kafka.damage("feedback", 0, 3, Fault("unreadable", "damaged", 0, 9, b"excerpt", "s"))
    world.say("hi", "wrong", "hello")
    world.teach()
    reasons = [*(reason for _, reason in GARBAGE), "unreadable"]
    assert sorted(letter.reason for letter in world.letters()) == sorted(reasons)
    assert {letter.worker for letter in world.letters()} == {"feedback"}
    assert world.pairs() == [("hi", "hello", WEIGHT)]


@pytest.mark.parametrize("raw", [raw for raw, _ in GARBAGE])
def test_garbage_says_what_is_wrong(raw: bytes | None) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Feedback.decode(raw)
    assert len(caught.value.detail) > 5


def test_a_delivery_that_fails_is_done_again_and_counts_once() -> None:
    world = World()
    world.say("hi", "wrong", "hello")
    world.kafka.fail(3)
    world.teach()
    assert len(world.kafka.records("texts")) == 2  # the tombstone and the text
    assert world.counted("wrong") == 1


def test_of_two_workers_with_one_name_the_older_one_ends() -> None:
    world = World()
    old = world.worker()
    turn(old, 2)
    new = world.worker()
    world.say("hi", "wrong", "hello")
    with pytest.raises(Superseded):
        turn(old, 3)
    old.close()
    turn(new, 3)
    assert len(world.kafka.records("texts")) == 2


def test_feedback_that_the_topic_of_texts_refuses_is_put_aside_alone() -> None:
    world = World()
    world.kafka.max_message_bytes["texts"] = 600
    world.say("one", "wrong", "a")
    world.say("two", "wrong", "b" * 600)
    world.say("three", "wrong", "c")
    turn(world.worker(), 12)
    assert [letter.reason for letter in world.letters()] == ["feedback-undeliverable"]
    world.take_in()
    assert world.pairs() == [("one", "a", WEIGHT), ("three", "c", WEIGHT)]


def test_a_topic_of_texts_that_we_may_not_write_ends_the_worker_with_a_clear_word() -> None:
    world = World()
    world.kafka.forbidden.add("texts")
    world.say("hi", "wrong", "hello")
    with pytest.raises(ConfigurationError, match="texts"):
        turn(world.worker(), 3)


def test_more_partitions_of_texts_lose_no_correction() -> None:
    world = World()
    world.say("hi", "wrong", "hello")
    world.teach()
    world.kafka.topics["texts"] += [type(world.kafka.topics["texts"][0])() for _ in range(9)]
    world.say("hi", "retracted")
    world.teach()
    assert world.pairs() == []


def test_accuracy_is_counted_by_context_and_a_query_once() -> None:
    world = World()
    world.say("hi", "right", "hello")
    world.say("hi", "wrong", "bye", query="queries/0/1")
    world.say("hi", "wrong", "bye", query="queries/0/1")
    world.say("hi", "wrong", "bye", query="queries/0/2")
    world.say("hi", "retracted", context="other")
    world.teach()
    assert (world.counted("right"), world.counted("wrong")) == (1, 2)
    assert world.counted("retracted", "other") == 1


def test_contexts_that_clients_invent_do_not_flood_the_metrics() -> None:
    world = World()
    for number in range(CONTEXTS_SHOWN + 5):
        world.say("hi", "right", "hello", context=f"c{number}")
    turn(world.worker(), 6)
    assert world.counted("right", "c0") == 1
    assert world.counted("right", OTHERS) == 5


def test_keys_differ_by_context_and_question() -> None:
    keys = {correction_key(c, q) for c in ("a", "b") for q in ("hi", "ho", "hi a")}
    assert len(keys) == 6
    assert correction_key("a", "Hi  there ") == correction_key("a", "hi there")


QUESTIONS = st.sampled_from(["hi", "hi there", "bye"])
SAID = st.one_of(
    st.tuples(QUESTIONS, st.just("retracted"), st.none()),
    st.tuples(QUESTIONS, st.sampled_from(["right", "wrong"]), st.sampled_from(["a", "b"])),
)
EVENTS = st.one_of(SAID, st.sampled_from(["turn", "crash", "fail", "send again", "ingest"]))


@settings(deadline=None, max_examples=20)
@given(st.lists(EVENTS, max_size=30), st.integers(1, 4))
def test_whatever_happens_the_last_word_on_each_question_is_taught_once(
    events: list[object], batch: int
) -> None:
    world = World()
    worker = world.worker(batch)
    last: dict[str, str | None] = {}
    for event in events:
        if isinstance(event, tuple):
            question, verdict, answer = event
            world.say(question, verdict, answer)
            last[question] = answer
        elif event == "turn":
            turn(worker)
        elif event == "crash":
            worker.close()
            worker = world.worker(batch)
        elif event == "fail":
            world.kafka.fail(1)
        elif event == "ingest":
            ingest = world.ingest()
            ingest.step()
            ingest.close()
        elif records := world.kafka.records("feedback"):  # a producer that did not hear of its success
            world.kafka.append([Outgoing("feedback", records[-1].value)])
    worker.close()
    world.kafka.fail(0)
    world.teach()
    taught = sorted((question, answer, WEIGHT) for question, answer in last.items() if answer is not None)
    assert sorted(world.corrections()) == taught
    counted = world.statistics()["default"].count if taught else 0
    assert counted == WEIGHT * len(taught)
