"""Answers are bounded, no question takes a responder down, and none that was taken is lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import Coordinates, Query
from hurnet_schemas.answer import MAX_ANSWER_BYTES
from hurnet_schemas.base import MAX_REASON, MAX_TEXT
from hurnet_stream.core.rule import encoded_words
from hurnet_stream.core.rule import parts as parts_module
from hurnet_stream.core.rule import rule as answering
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.errors import TransientError
from hurnet_stream.ports import Headers, Outgoing
from hurnet_stream.responder import replies
from hurnet_stream.responder.responder import Responder
from tests.worlds.responder import EMBEDDER, PAIRS, World, only, turn

LARGE = b"x" * 1_000_000
MESSAGE = 1_000_000


class Poisoned:
    """Fails on texts that hold the word."""

    identity: EmbedderIdentity = EMBEDDER.identity

    def __init__(self, word: str = "poison", error: type[Exception] = RuntimeError) -> None:
        self._word = word
        self._error = error

    def embed(self, texts: Sequence[str]) -> Vectors:
        if any(self._word in text for text in texts):
            raise self._error(f"can't embed \udcff {self._word}" + "!" * 10_000)
        return EMBEDDER.embed(texts)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)


def sizes(world: World) -> list[int]:
    """Of all messages sent: value, key and headers."""
    return [
        len(r.value or b"") + len(r.key or b"") + sum(len(name) + len(v or b"") for name, v in r.headers)
        for topic in ("answers", "answers-mine", "dead-letters")
        for r in world.kafka.records(topic)
    ]


@pytest.mark.parametrize(("letter", "size"), [("a", 6_000), ("\\", MAX_TEXT - 9), ("字", MAX_TEXT - 9)])
def test_an_answer_fits_into_a_message_and_says_what_was_left_out(letter: str, size: int) -> None:
    world = World()
    world.teach(*((f"{i} rain {letter * size}", None) for i in range(120)))
    world.ask(Query(text="rain", id="large", top_k=100), Query(text="rain", id="innocent"))
    turn(world.responder(threshold=0))
    large, innocent = world.answers()
    assert [a.outcome for a in (large, innocent)] == ["answered", "answered"]
    assert max(sizes(world)) <= MESSAGE
    assert len(large.candidates) + (large.candidates_dropped or 0) == 100
    assert large.candidates_dropped
    assert large.candidates
    assert len(large.encode()) > MAX_ANSWER_BYTES / 2, "no more is left out than must be"
    assert innocent.candidates_dropped is None


def test_an_answer_fits_when_one_candidate_is_as_large_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.teach(*((chr(0x10000 + i) * MAX_TEXT, chr(0x20000 + i) * MAX_TEXT) for i in range(20)))
    responder = world.responder(threshold=0)
    turn(responder)
    watermarks = {p: 2**62 for p in range(30_000)}
    monkeypatch.setattr(responder._memory, "watermarks", lambda: watermarks)
    world.ask(Query(text=chr(0x10000) * MAX_TEXT, top_k=100))
    responder._read()
    responder._answer()
    answer = only(world.answers())
    assert answer.outcome == "answered"
    assert answer.receipt is None, "it would not fit"
    assert max(sizes(world)) <= MESSAGE


@pytest.mark.parametrize(
    ("headers", "key", "reason"),
    [
        ((("correlation-id", LARGE),), b"key", "correlation-id-too-long"),
        ((("correlation-id", b"x" * 257),), b"key", "correlation-id-too-long"),
        ((), LARGE, "key-too-long"),
        ((), b"k" * 1_025, "key-too-long"),
        ((("reply-to", LARGE),), b"key", "reply-topic-refused"),
        ((("reply-to", b"answers-" + LARGE),), b"key", "reply-topic-refused"),
        ((("reply-to", b"answers-\xc3\xa9"),), b"key", "reply-topic-refused"),
        ((("reply-to", b"answers-\x00"),), b"key", "reply-topic-refused"),
        ((("reply-to", None),), b"key", "reply-topic-refused"),
        ((("reply-to", b"queries"),), b"key", "reply-topic-refused"),
        ((("reply-to", b"__consumer_offsets"),), b"key", "reply-topic-refused"),
    ],
)
def test_what_is_echoed_is_bounded(headers: Headers, key: bytes, reason: str) -> None:
    world = World()
    world.teach(*PAIRS)
    world.kafka.append([sent(Query(text="rain").encode(), headers, key)])
    world.ask(Query(text="rain", id="innocent"))
    turn(world.responder(reply_topics=".*"))
    bad = next(answer for answer in world.answers() if answer.id != "innocent")
    assert bad.outcome == "rejected"
    assert (bad.reason or "").startswith(f"{reason}: ")
    assert [letter.reason for letter in world.dead_letters()] == [reason]
    assert bad.id == "queries/0/0"
    assert max(sizes(world)) < 20_000
    assert len(world.answers()) == 2


@pytest.mark.parametrize("headers", [(("correlation-id", None),), (("correlation-id", b""),)])
def test_an_empty_correlation_id_is_none(headers: Headers) -> None:
    world = World()
    world.kafka.append([sent(Query(text="rain").encode(), headers, None)])
    turn(world.responder())
    assert only(world.answers()).id == "queries/0/0"
    assert world.kafka.records("answers")[0].headers == ()


@pytest.mark.parametrize(
    "value",
    [
        b'{"text":"a","' + LARGE + b'":1}',
        b'{"text":"a","min_watermarks":{"' + LARGE + b'":1}}',
        b'{"text":"a","exclude":{"' + LARGE + b'":1}}',
        b'{"text":"a",' + b",".join(b'"%d":1' % i for i in range(50_000)) + b"}",
        json.dumps({"text": "a", "min_watermarks": {f"{i}x": 1 for i in range(40_000)}}).encode(),
        LARGE,
    ],
)
def test_a_reason_is_bounded_whatever_is_wrong(value: bytes) -> None:
    world = World()
    world.kafka.append([sent(value, (), None)])
    turn(world.responder())
    answer = only(world.answers())
    assert answer.outcome == "rejected"
    assert len(answer.reason or "") <= MAX_REASON
    assert len(world.dead_letters()[0].detail) <= MAX_REASON
    assert max(sizes(world)) < 20_000


def test_the_reason_of_one_that_waited_in_vain_is_bounded() -> None:
    world = World()
    world.ask(Query(text="rain", timeout_ms=1, min_watermarks={p: 2**62 for p in range(4_096)}))
    turn(world.responder(wait=0))
    answer = only(world.answers())
    assert answer.outcome == "timed-out"
    assert len(answer.reason or "") <= MAX_REASON


def test_a_question_that_the_embedder_fails_on_is_rejected_and_the_others_are_answered() -> None:
    world = World(embedder=Poisoned())
    world.teach(*PAIRS)
    world.ask(*[Query(text="rain", id=f"q{i}") for i in range(3)], Query(text="poison", id="bad"))
    world.ask(*[Query(text="rain", id=f"r{i}") for i in range(3)])
    turn(world.responder())
    outcomes = {answer.id: answer.outcome for answer in world.answers()}
    assert outcomes.pop("bad") == "rejected"
    assert set(outcomes.values()) == {"answered"}
    assert len(outcomes) == 6
    (letter,) = world.dead_letters()
    assert (letter.reason, letter.offset) == ("embedder-failed", 3)
    assert letter.detail.startswith("RuntimeError: can't embed ? poison!")


def test_an_embedder_that_is_away_for_a_moment_rejects_nothing() -> None:
    world = World(embedder=Poisoned(error=TransientError))
    world.ask(Query(text="poison", id="q"))
    responder = world.responder()
    turn(responder)
    assert not world.answers()
    assert not world.dead_letters()
    responder._serving.current.replies._embedder = EMBEDDER
    turn(responder)
    assert only(world.answers()).outcome == "abstained"


def test_a_question_that_can_not_be_scored_is_rejected_and_the_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranked = answering.ranked

    def poisoned(texts: Sequence[str], *rest: Any) -> Any:
        if "poison" in texts:
            raise ZeroDivisionError
        return ranked(texts, *rest)

    monkeypatch.setattr(answering, "ranked", poisoned)
    world = World()
    world.teach(*PAIRS)
    world.ask(*[Query(text=text, id=text) for text in ("rain", "poison", "light")])
    turn(world.responder())
    assert [(a.id, a.outcome) for a in world.answers()] == [
        ("rain", "answered"),
        ("poison", "rejected"),
        ("light", "answered"),
    ]
    assert [letter.reason for letter in world.dead_letters()] == ["scoring-failed"]


def failing(call: Callable[..., Any], error: Callable[[], Exception], when: Callable[[], bool]) -> Any:
    def called(*arguments: Any) -> Any:
        if when():
            raise error()
        return call(*arguments)

    return called


def test_queries_taken_are_not_lost_when_the_look_for_a_reply_topic_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(Query(text="rain", id="first"))
    world.ask(Query(text="rain", id="second"), headers=(("reply-to", b"answers-mine"),))
    responder = world.responder()
    fails = iter([True, False])
    look = responder._exchange.has_topic
    monkeypatch.setattr(
        responder._exchange, "has_topic", failing(look, TransientError, lambda: next(fails, False))
    )
    turn(responder)
    world.ask(Query(text="rain", id="third"))
    turn(responder)
    assert sorted(a.id for a in world.answers()) == ["first", "third"]
    assert [a.id for a in world.answers("answers-mine")] == ["second"]


PLACES = ["admitted", "answer", "messages", "deliver", "has_topic", "tail"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_fails_in_between_each_query_is_answered_once(
    data: st.DataObject,
) -> None:
    world = World()
    world.teach(*PAIRS)
    responder = world.responder(batch=data.draw(st.integers(1, 5)))
    broken: set[str] = set()
    for name in PLACES:
        break_at(responder, name, broken)
    asked = 0
    for _ in range(data.draw(st.integers(1, 20))):
        act = data.draw(st.sampled_from(["ask", "reply-to", "fail", "mend", "abort", "step", "step"]))
        if act in ("ask", "reply-to"):
            to = (("reply-to", b"answers-mine"),) if act == "reply-to" else ()
            world.ask(Query(text="rain", id=f"q{asked}"), headers=to, partition=asked % 2)
            asked += 1
        elif act == "fail":
            broken.add(data.draw(st.sampled_from(PLACES)))
        elif act == "abort":
            world.kafka.fail(1)
        elif act == "mend":
            broken.clear()
        else:
            turn(responder, 1)
    broken.clear()
    turn(responder, 40)
    found = Counter(a.id for topic in ("answers", "answers-mine") for a in world.answers(topic))
    assert found == Counter(f"q{i}" for i in range(asked))


def break_at(responder: Responder, name: str, broken: set[str]) -> None:
    owners = {
        "admitted": responder._delivery,
        "answer": responder._serving.current.replies,
        "messages": responder._delivery,
        "tail": responder._serving.current.store,
    }
    owner = owners.get(name, responder._exchange)
    setattr(owner, name, failing(getattr(owner, name), TransientError, lambda: name in broken))


def sent(value: bytes, headers: Headers, key: bytes | None) -> Outgoing:
    return Outgoing("queries", value, key, headers, 0)


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The words of each query take so long."""
    alike = encoded_words.similarities

    def similarities(*arguments: Any) -> Any:
        time.sleep(seconds)
        return alike(*arguments)

    monkeypatch.setattr(parts_module, "similarities", similarities)


def test_a_turn_is_bounded_in_time_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.teach(*PAIRS)
    world.teach(*PAIRS, context="b", partition=1)
    responder = world.responder()
    turn(responder)
    slow(monkeypatch, 0.02)
    monkeypatch.setattr("hurnet_stream.responder.responder.TURN_S", 0.1)
    for i in range(40):
        world.ask(Query(text="rain", id=f"q{i}", context="b" if i % 3 else "default"), partition=i % 2)
    most, turns = 0, 0
    while (answered := len(world.answers())) < 40:
        responder.step()
        most, turns = max(most, len(world.answers()) - answered), turns + 1
        assert turns < 45
    assert most < 20, "of which each takes a fifth of a turn"
    assert Counter(a.id for a in world.answers()) == Counter(f"q{i}" for i in range(40))


def test_one_query_is_answered_however_little_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.teach(*PAIRS)
    responder = world.responder()
    turn(responder)
    monkeypatch.setattr("hurnet_stream.responder.responder.TURN_S", -1.0)
    world.ask(*[Query(text="rain", id=f"q{i}") for i in range(5)])
    turn(responder, 5)
    assert [a.id for a in world.answers()] == [f"q{i}" for i in range(5)]


def test_long_questions_are_embedded_a_few_at_a_time() -> None:
    embedded: list[int] = []

    class Counting(Poisoned):
        def embed(self, texts: Sequence[str]) -> Vectors:
            embedded.append(sum(map(len, texts)))
            return EMBEDDER.embed(texts)

    world = World(embedder=Counting())
    world.ask(*[Query(text="rain " * 3_000, id=f"q{i}") for i in range(20)])
    turn(world.responder())
    assert len(world.answers()) == 20
    assert max(embedded) <= replies.PORTION_LETTERS


def test_a_turn_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.teach(*((f"{i} rain {'a' * 9_000}", None) for i in range(120)))
    monkeypatch.setattr(replies, "TURN_BYTES", 2_000_000)
    responder = world.responder(threshold=0)
    turn(responder)
    world.ask(*[Query(text="rain", id=f"q{i}", top_k=100) for i in range(9)])
    delivered: list[int] = []
    deliver = responder._exchange.deliver

    def weighed(messages: Sequence[Outgoing], *rest: Any) -> bool:
        delivered.append(sum(len(m.value or b"") for m in messages))
        return deliver(messages, *rest)

    responder._exchange.deliver = weighed  # type: ignore[method-assign, assignment]
    turn(responder, 9)
    assert [a.id for a in world.answers()] == [f"q{i}" for i in range(9)]
    assert max(delivered) < 2_000_000 + MAX_ANSWER_BYTES
    assert len(delivered) == 3


def test_of_slow_queries_fewer_are_searched_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[int] = []
    ranked = answering.ranked

    def counted(texts: Sequence[str], *rest: Any) -> Any:
        parts.append(len(texts))
        return ranked(texts, *rest)

    monkeypatch.setattr(answering, "ranked", counted)
    monkeypatch.setattr(replies, "PORTION_S", 0.05)
    world = World()
    world.teach(*PAIRS)
    responder = world.responder()
    turn(responder)
    with monkeypatch.context() as patched:
        slow(patched, 0.01)
        for round_ in range(3):
            world.ask(*[Query(text="rain", id=f"q{round_} {i}") for i in range(20)])
            turn(responder, 2)
    assert max(parts[3:]) <= 5, "the first ones showed that a query takes 10 ms"
    monkeypatch.setattr(replies, "PORTION_S", 10.0)  # on a busy machine, too, a query is quick against that
    world.ask(*[Query(text="rain", id=f"r{i}") for i in range(60)])
    turn(responder)
    assert max(parts) > 20, "quick ones again"
    assert len(world.answers()) == 120


@pytest.mark.parametrize(
    "query",
    [
        Query(text="rain", exclude=Coordinates(partition=2**31 - 1, offset=2**63 - 1)),
        Query(text="rain", exclude=Coordinates(partition=0, offset=0), top_k=100),
        Query(text="rain", min_watermarks={p: 2**63 - 1 for p in range(4_096)}),
        Query(text="\u202e\u0301" * 2_000, id="\u2028" * 256),
        Query(text="rain", context="a" * 64),
        Query(text="rain", timeout_ms=60_000, min_watermarks={2**31 - 1: 0}),
    ],
)
@pytest.mark.parametrize("p", [2.0, 1.1, 8.0])
def test_queries_at_their_bounds_are_answered(query: Query, p: float) -> None:
    world = World()
    world.teach(*PAIRS)
    world.ask(query)
    turn(world.responder(p=p, wait=0))
    answer = only(world.answers())
    assert answer.outcome in ("answered", "abstained", "timed-out")
