"""Receipts asked again: the same to the bit, or a reason."""

from __future__ import annotations

from hurnet_schemas import Query
from tests.worlds.replaying import Replaying, what

PAIRS = [
    ("turn on the kitchen light", "on"),
    ("switch the lamp on please", "on"),
    ("turn off the kitchen light", "off"),
    ("what is the weather tomorrow", "weather"),
    ("will it rain tomorrow", "weather"),
]
QUERY = Query(id="q", text="please turn the kitchen lamp on", top_k=3)


def test_an_answer_is_the_same_to_the_bit_after_texts_and_weights_came() -> None:
    world = Replaying()
    world.teach(*PAIRS)
    world.learn()
    (then,) = world.ask(QUERY)
    assert then.receipt is not None
    assert then.receipt.weights is not None
    world.teach(("turn the kitchen lamp on now", "other"), ("light on", "other"))
    world.learn()
    replayed = world.replay(then)
    assert replayed.differences == []
    assert replayed.missing == []
    assert replayed.same
    assert replayed.now is not None
    assert replayed.now.encode() == then.encode()
    today = world.replay(then, today=True)
    assert not today.same
    assert today.between is not None
    assert (today.between.came, today.between.went) == (2, 0)
    assert today.between.weights == (1, 2)


def test_an_entry_that_was_forgotten_is_named() -> None:
    world = Replaying()
    world.teach(*PAIRS)
    world.learn()
    (then,) = world.ask(QUERY)
    world.forget(1)
    world.learn()
    replayed = world.replay(then)
    assert not replayed.same
    assert what(replayed.missing) == ["entry", "weights"]
    assert replayed.missing[0].entry == "texts/0/1"
    assert replayed.missing[0].deletion == "texts/0/5"
    assert all("forgotten" in d.why or "replaced" in d.why for d in replayed.differences)
