"""Entries that refute: they lower their answer near their text, and neither answer nor teach anything."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import InvalidMessage, TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.rule.rule import RankedAnswer, nearest, ranked
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.core.stored.codec import decode_batch, encode_batch
from hurnet_stream.core.stored.entries import Entries
from hurnet_stream.feedback.lessons import WEIGHT
from hurnet_stream.solver.learning import pairs
from tests.worlds.correcting import World

EMBEDDER = HashedText(64)
D = EMBEDDER.identity.dimension
TAUGHT = [("turn on the light", "on", 1), ("turn off the light", "off", 1), ("will it rain today", "rain", 1)]
QUESTION = "please turn the light on"

Pairs = list[tuple[str, str, int]]


def index_of(taught: Pairs) -> ContextIndex:
    index = ContextIndex(D)
    if taught:
        entries = [
            Entry(i, 0, "c", text, answer, {}, copies) for i, (text, answer, copies) in enumerate(taught)
        ]
        index.append(0, entries, EMBEDDER.embed([text for text, _, _ in taught]))
    return index


def candidates(index: ContextIndex, question: str = QUESTION) -> dict[str, RankedAnswer]:
    projection = np.eye(D)  # some weights, so that there is a prediction
    found = nearest(EMBEDDER.embed([question]), index, projection)
    (ranking,) = ranked([question], found, index)
    return {candidate.answer: candidate for candidate in ranking.candidates}


def test_a_refuted_answer_has_next_to_no_evidence_left_for_the_refuted_question() -> None:
    before = candidates(index_of(TAUGHT))
    refuted = candidates(index_of([*TAUGHT, (QUESTION, "on", -2)]))
    assert refuted.keys() == before.keys()
    assert refuted["on"].scores.refuted == pytest.approx(0.93, abs=0.03)
    assert refuted["on"].evidence < 0.1 * before["on"].evidence
    assert refuted["off"].scores.refuted is None
    for name in ("memory", "words", "weights"):  # it is never an entry that speaks for the answer
        assert getattr(refuted["on"].scores, name) == getattr(before["on"].scores, name)
    assert refuted["on"].row == before["on"].row


def test_it_weighs_as_much_as_its_copies_and_only_near_its_text() -> None:
    shares = [
        candidates(index_of([*TAUGHT, (QUESTION, "off", -n)]))["off"].scores.refuted for n in (1, 2, 50)
    ]
    assert shares == sorted(shares, key=lambda share: share or 0)
    far = "will it rain today"
    refuted = candidates(index_of([*TAUGHT, (QUESTION, "rain", -9)]), far)
    assert refuted["rain"].combined == pytest.approx(
        candidates(index_of(TAUGHT), far)["rain"].combined, abs=0.01
    )


def test_what_is_only_refuted_is_no_candidate() -> None:
    assert candidates(index_of([(QUESTION, "on", -1)])) == {}
    assert candidates(index_of([*TAUGHT, (QUESTION, "never heard of", -1)])).keys() == {"on", "off", "rain"}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["on", "off"]), st.sampled_from([-3, -1, 1, 2])), max_size=90),
    st.data(),
)
def test_with_refuting_entries_coming_and_going_the_weights_predict_what_the_others_teach(
    drawn: list[tuple[str, int]], data: st.DataObject
) -> None:
    taught = [(f"text {i} about {answer}", answer, copies) for i, (answer, copies) in enumerate(drawn)]
    index = index_of(taught)
    gone = data.draw(st.sets(st.integers(0, max(0, len(taught) - 1)))) if taught else set()
    for offset in gone:
        index.remove(0, offset)
    kept = [pair for offset, pair in enumerate(taught) if offset not in gone]
    teaching = [pair for pair in kept if pair[2] > 0]
    found, wanted = candidates(index), candidates(index_of(teaching))
    assert found.keys() == wanted.keys()
    for answer, candidate in found.items():
        assert candidate.scores.weights == pytest.approx(wanted[answer].scores.weights, abs=1e-9)
        assert candidate.scores.memory == wanted[answer].scores.memory


def test_it_is_held_with_its_answer_and_never_rehearsed() -> None:
    index = index_of([(QUESTION, "on", -9), *TAUGHT])
    assert [index.entry(row).answer for row in range(4)] == ["on", "on", "off", "rain"]
    assert sorted(index.lowest_pairs(10).tolist()) == [1, 2, 3]
    assert index.described(np.arange(4)).supports.tolist() == [False, True, True, True]
    for offset in range(4):
        index.remove(0, offset)
    assert len(index) == 0


def test_it_survives_the_store_and_teaches_nothing() -> None:
    entries = [Entry(1, 0, "c", "a", "x", {}, -3), Entry(2, 0, "c", "b", "x", {}, 2), Entry(3, 0, "c", "c")]
    batch = Batch(0, 3, entries, EMBEDDER.embed(["a", "b", "c"]))
    again = decode_batch(0, 3, encode_batch(batch), D)
    assert list(again.entries) == entries
    assert [entry.refutes for entry in again.entries] == [True, False, False]
    assert again.columns.teaches.tolist() == [False, True, False]
    assert [p.answers for p in pairs([again]).values()] == [["x"]]


@pytest.mark.parametrize("entry", [Entry(1, 0, "c", "a", None, {}, -1), Entry(1, 0, "c", "a", "x", {}, 0)])
def test_the_store_gives_back_no_entry_that_refutes_nothing(entry: Entry) -> None:
    encoded = encode_batch(Batch(0, 1, Entries.of([entry]), EMBEDDER.embed(["a"])))
    with pytest.raises(ValueError, match="0 copies, or one that refutes nothing"):
        decode_batch(0, 1, encoded, D)


def test_on_the_wire_it_needs_the_answer_that_is_wrong() -> None:
    assert "refutes" not in json.loads(TextEvent(text="a").encode())
    with pytest.raises(InvalidMessage, match="needs the answer"):
        TextEvent.decode(b'{"text": "a", "refutes": true}')


def test_wrong_without_the_right_answer_refutes_and_is_taken_back_exactly() -> None:
    world = World()
    world.send("turn on the light", "on", context="default")
    world.take_in()
    before = world.statistics()["default"].digest()
    world.say("lights pls", "wrong", given="on")
    world.teach()
    assert world.pairs()[-1] == ("lights pls", "on", -WEIGHT)
    assert world.statistics()["default"].digest() == before  # it teaches the weights nothing
    world.say("lights pls", "wrong", "off", given="on")  # now the right answer is known
    world.teach()
    assert world.pairs()[-1] == ("lights pls", "off", WEIGHT)
    world.say("lights pls", "retracted")
    world.teach()
    assert world.pairs() == [("turn on the light", "on", 1)]
    assert world.statistics()["default"].digest() == before
