"""Answers from several topics: their names in receipts, what is waited for, asked again, and shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hurnet_schemas import Query
from hurnet_schemas.places import place
from hurnet_stream.core.places import SPAN, NumberedTopic, last_position, shard_of
from hurnet_stream.core.stored.batch import Batch, Deletion, Entry, Expiry
from hurnet_stream.metrics.store import StoreMetrics
from hurnet_stream.places import Places
from hurnet_stream.ports import Embedder, EntryStore, Outgoing
from hurnet_stream.responder import responder as responder_module
from tests.worlds import replaying
from tests.worlds.replaying import Replaying, what
from tests.worlds.responder import EMBEDDER, World, only, turn

PAIRS = (("turn on the lamp", "on"), ("turn off the lamp", "off"), ("what is the weather", "weather"))
NUMBERS = {"tickets": 1, "faq": 2}
NUMBERED = {name: NumberedTopic(number, "") for name, number in NUMBERS.items()}
TICKETS = shard_of(1, 3)


def add(store: EntryStore, embedder: Embedder, shard: int, offset: int, *texts: str, answer: str) -> None:
    """A record of another topic, which became so many entries."""
    first, before = offset * SPAN, store.state(shard).watermark
    entries = [Entry(first + i, 1_000, "default", text, answer) for i, text in enumerate(texts)]
    batch = Batch(shard, last_position(shard, offset), entries, embedder.embed(list(texts)))
    store.append(batch, before)


@pytest.fixture
def world() -> World:
    made = World()
    made.redis.data.topics = {**NUMBERED}
    for topic in ("texts", *NUMBERS):
        made.kafka.create(topic, partitions=4)
    made.teach(*PAIRS)
    add(made.store, EMBEDDER, TICKETS, 41, "the printer is on fire", "it burns and smokes", answer="call 112")
    add(made.store, EMBEDDER, shard_of(2, 0), 7, "where is the coffee machine", answer="second floor")
    return made


def test_an_answer_names_the_topic_of_its_entry(world: World) -> None:
    responder = world.responder()
    world.ask(Query(text="it burns and smokes", neighbours=1), Query(text="turn on the lamp"))
    turn(responder)
    chunk, texts = world.answers()
    assert (chunk.answer, str(chunk.candidates[0].entry.place)) == ("call 112", "tickets/3/41#1")
    assert str(chunk.neighbours[0].entry.place) == "tickets/3/41#1"
    assert str(texts.candidates[0].entry.place) == "0/0"
    assert chunk.receipt is not None
    assert chunk.receipt.watermarks == {0: 2, "faq/0": 7, "tickets/3": 41}
    raw = json.loads(world.kafka.records("answers")[0].value or b"")
    assert raw["candidates"][0]["entry"] == {"topic": "tickets", "partition": 3, "offset": 41, "chunk": 1}
    assert list(raw["receipt"]["watermarks"]) == ["0", "faq/0", "tickets/3"]


def test_an_entry_of_another_topic_is_excluded_by_its_name(world: World) -> None:
    responder = world.responder()
    own = {"topic": "tickets", "partition": 3, "offset": 41, "chunk": 1}
    world.ask(Query.model_validate({"text": "it burns and smokes", "exclude": own, "top_k": 5}))
    turn(responder)
    answer = only(world.answers())
    assert "tickets/3/41#1" not in {str(each.entry.place) for each in answer.candidates}
    assert answer.receipt is not None
    assert answer.receipt.exclude is not None


@pytest.mark.parametrize(
    ("exclude", "why"),
    [
        ({"topic": "ticket", "partition": 0, "offset": 1}, "reads no topic 'ticket' here"),
        ({"partition": 0, "offset": 1, "chunk": 3}, "has no entry 3"),
        ({"topic": "faq", "partition": 0, "offset": 2**62}, "no record has so high an offset"),
    ],
)
def test_an_entry_that_can_not_be_is_refused(world: World, exclude: dict[str, Any], why: str) -> None:
    responder = world.responder()
    world.ask(Query.model_validate({"text": "hi", "exclude": exclude}), Query(text="turn on the lamp"))
    turn(responder)
    by_outcome = {answer.outcome: answer for answer in world.answers()}
    assert why in (by_outcome["rejected"].reason or "")
    assert by_outcome["answered"].answer == "on"
    assert [letter.reason for letter in world.dead_letters()] == ["invalid-message"]


def test_a_question_waits_for_a_record_of_another_topic(world: World) -> None:
    world.kafka.append([Outgoing("tickets", b"{}", b"k", (), 3)] * 43)
    responder = world.responder(wait=60)
    world.ask(
        Query(text="my keys are gone", min_watermarks={"tickets/3": 42, "texts/0": 1}, timeout_ms=60_000),
        Query(text="it burns", min_watermarks={"tickets/3": 41}),
    )
    turn(responder)
    assert [answer.answer for answer in world.answers()] == ["call 112"]
    add(world.store, EMBEDDER, TICKETS, 42, "my keys are gone", answer="front desk")
    turn(responder)
    assert world.answers()[-1].answer == "front desk"


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"ticket/3": 1}, "hurnet reads no topic 'ticket' here"),
        ({"tickets/9": 1}, "there is no partition 9 of tickets"),
        ({"tickets/3": 99}, "partition 3 of tickets ends before offset 0: there is no 99"),
        ({"tickets/70000": 1}, "there is no partition 70000 of tickets"),
    ],
)
def test_what_can_not_come_is_told_at_once(
    world: World, wanted: dict[str, int], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder_module, "LOOK_UP_AGE_S", 0.0)
    responder = world.responder(wait=60)
    world.ask(Query.model_validate({"text": "hi", "min_watermarks": wanted, "timeout_ms": 60_000}))
    turn(responder, 12)
    answer = only(world.answers())
    assert (answer.outcome, answer.reason) == ("timed-out", why)


def test_a_topic_with_a_table_is_waited_for_before_it_has_a_number(world: World) -> None:
    world.redis.data.topics.pop("faq")
    world.kafka.append([Outgoing("faq", b"{}", b"k", (), 0)] * 9)
    responder = world.responder(wait=60)
    responder._tables = frozenset({"faq"})
    world.ask(Query(text="where is the tea", min_watermarks={"faq/0": 8}, timeout_ms=60_000))
    turn(responder)
    assert world.answers() == []
    world.redis.data.topics["faq"] = NUMBERED["faq"]
    add(world.store, EMBEDDER, shard_of(2, 0), 8, "where is the tea", answer="third floor")
    turn(responder)
    assert only(world.answers()).answer == "third floor"


def test_a_topic_that_was_added_meanwhile_is_known(world: World) -> None:
    responder = world.responder()
    turn(responder)
    world.redis.data.topics["new"] = NumberedTopic(3, "")
    add(world.store, EMBEDDER, shard_of(3, 0), 0, "brand new topic here", answer="new")
    world.ask(Query(text="brand new topic here"))
    turn(responder)
    assert str(only(world.answers()).candidates[0].entry.place) == "new/0/0"


def test_metrics_name_shards_as_people_do(world: World) -> None:
    metrics = StoreMetrics()
    metrics.name_by(Places.of(world.store.topics(), "texts"))
    metrics.show_watermarks({0: 2, TICKETS: last_position(TICKETS, 41), 1: -1})
    shown = metrics.exposition().decode()
    assert 'hurnet_watermark_offset{partition="0"} 2.0' in shown
    assert 'hurnet_watermark_offset{partition="tickets/3"} 41.0' in shown
    assert 'partition="1"' not in shown


def test_a_receipt_of_several_topics_is_asked_again_to_the_bit() -> None:
    world = Replaying()
    world.redis.data.topics = {**NUMBERED}
    world.teach(*PAIRS)
    add(world.store, replaying.EMBEDDER, TICKETS, 41, "printer on fire", "it smokes", answer="call 112")
    world.learn()
    (then,) = world.ask(Query(text="it smokes", id="q", top_k=3))
    assert then.receipt is not None
    assert then.receipt.weights is not None
    assert then.receipt.weights.watermarks == {0: 2, "tickets/3": 41}
    add(world.store, replaying.EMBEDDER, TICKETS, 42, "it smokes a lot", answer="other")
    world.learn()
    replayed = world.replay(then)
    assert (replayed.same, replayed.missing) == (True, [])
    today = world.replay(then, today=True)
    assert today.between is not None
    assert today.between.new == ["tickets/3/42"]


def test_deletions_that_no_record_says_are_part_of_a_receipt() -> None:
    world = Replaying()
    world.redis.data.topics = {**NUMBERED}
    world.teach(*PAIRS)
    add(world.store, replaying.EMBEDDER, TICKETS, 41, "printer on fire", "it smokes", answer="call 112")
    (before,) = world.ask(Query(text="it smokes", id="q"))
    mark = world.store.state(TICKETS).watermark
    expiry = Expiry(before_ms=5_000, through=41 * SPAN + 1)
    world.store.delete(TICKETS, Deletion(mark + 1, 0, context="default", expiry=expiry), mark)
    (after,) = world.ask(Query(text="it smokes", id="q"))
    assert before.receipt is not None
    assert after.receipt is not None
    assert (before.receipt.beyond, after.receipt.beyond) == (None, {"tickets/3": 1})
    assert before.receipt.watermarks == after.receipt.watermarks
    assert world.replay(before).same
    assert world.replay(after).same


def test_a_receipt_of_a_topic_that_is_not_read_is_told() -> None:
    world = Replaying()
    world.redis.data.topics = {**NUMBERED}
    world.teach(*PAIRS)
    add(world.store, replaying.EMBEDDER, TICKETS, 41, "printer on fire", answer="call 112")
    (then,) = world.ask(Query(text="printer on fire", id="q"))
    world.redis.data.topics = {}
    for today in (False, True):
        replayed = world.replay(then, today=today)
        assert what(replayed.missing) == ["topics"]
        assert "reads no topic 'tickets' here" in replayed.missing[0].why


def test_with_the_answer_alone_nothing_of_other_entries_is_shown(world: World) -> None:
    responder = world.responder()
    asked = Query(text="it burns and smokes", detail="answer", top_k=5, neighbours=5)
    world.ask(
        asked, asked.model_copy(update={"detail": "scores"}), asked.model_copy(update={"detail": "texts"})
    )
    turn(responder)
    raw = [record.value or b"" for record in world.kafka.records("answers")]
    alone, scores, texts = world.answers()
    assert alone.answer == scores.answer == texts.answer == "call 112"
    assert b"fire" not in raw[0]
    assert b"lamp" not in raw[0]
    assert b"second floor" not in raw[0]
    assert (alone.candidates, alone.neighbours) == ([], [])
    assert alone.receipt is not None
    assert alone.receipt.entry is not None
    assert (str(alone.receipt.entry.place), alone.receipt.runner_up) == ("tickets/3/41#1", None)
    assert b"printer" not in raw[1]
    assert b"lamp" not in raw[1]
    assert b'"n":' not in raw[1]
    assert [each.answer for each in scores.candidates] == [each.answer for each in texts.candidates]
    assert [each.scores for each in scores.candidates] == [each.scores for each in texts.candidates]
    assert [each.similarity for each in scores.neighbours] == [each.similarity for each in texts.neighbours]
    assert texts.receipt is not None
    assert texts.receipt.detail is None
    assert texts.limited("answer").receipt == texts.receipt.model_copy(
        update={"detail": "answer", "entry": alone.receipt.entry, "runner_up": None}
    )
    assert texts.limited("scores").candidates == scores.candidates


@pytest.mark.parametrize(
    ("allowed", "asked", "shown"),
    [("answer", "texts", "answer"), ("scores", "answer", "answer"), ("scores", "texts", "scores")],
)
def test_a_responder_shows_no_more_than_its_setting(
    world: World, allowed: str, asked: Any, shown: str
) -> None:
    responder = world.responder(detail=allowed)
    world.ask(Query(text="it burns and smokes", detail=asked))
    turn(responder)
    answer = only(world.answers())
    assert answer.receipt is not None
    assert answer.receipt.detail == shown
    assert bool(answer.candidates) == (shown == "scores")


def test_an_abstention_without_texts_offers_nothing_to_choose_from(world: World) -> None:
    responder = world.responder()
    nothing = {"key": "colour", "is": "red"}
    world.ask(
        Query(text="quite something else", detail="answer"),
        Query.model_validate({"text": "it burns", "detail": "answer", "filter": nothing}),
    )
    turn(responder)
    for answer in world.answers():
        assert (answer.outcome, answer.candidates) == ("abstained", [])
        assert answer.receipt is not None
        assert answer.receipt.entry is None
        assert "colour" not in (answer.reason or "")


def test_a_receipt_with_less_detail_is_asked_again_to_the_bit() -> None:
    world = Replaying()
    world.teach(*PAIRS)
    for detail in ("answer", "scores"):
        (then,) = world.ask(Query.model_validate({"text": "turn the lamp on", "id": "q", "detail": detail}))
        assert world.replay(then).same


def test_detail_is_not_on_the_wire_unless_it_says_something() -> None:
    assert b"detail" not in Query(text="hi", detail="texts").encode()
    assert Query.decode(Query(text="hi", detail="scores").encode()).detail == "scores"
    assert place("tickets/3/41").shard == "tickets/3"
