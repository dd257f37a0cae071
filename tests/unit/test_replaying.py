"""Receipts asked again: the same to the bit, or a reason."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hurnet_schemas import Query
from hurnet_schemas.reply import Reply
from hurnet_stream.operations.again.asked import Missing
from hurnet_stream.operations.again.comparing import BUG
from hurnet_stream.operations.again.replayed import Replayed
from hurnet_stream.responder import following, rehearsing, weights_in_force
from hurnet_stream.responder.responder import Responder
from hurnet_stream.solver import solver as solver_module
from hurnet_stream.terminal.receipts import outcome
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


def said(replayed: Replayed) -> str:
    """What a person is shown."""
    out = io.StringIO()
    Console(file=out, width=160).print(outcome(replayed))
    return out.getvalue()


def test_a_person_is_told_what_differs_and_why() -> None:
    world = Replaying()
    world.teach(*PAIRS)
    world.learn()
    (then,) = world.ask(QUERY)
    assert said(world.replay(then)).strip() == "The same answer, to the bit"
    world.teach(("please turn the kitchen lamp on", "newer"))
    today = said(world.replay(then, today=True))
    assert today.startswith("Today another answer")
    assert "on then, newer now" in today
    assert "1 entries came since (texts/0/5 among today's candidates), and 0 went" in today
    world.forget(0)
    world.learn()
    lost = said(world.replay(then))
    assert "texts/0/0 was forgotten by texts/0/6 at 20" in lost
    assert "weights 1 were replaced since: of the 5 pairs that they had learned 4 are there" in lost
    gone = said(Replayed(None, None, missing=[Missing("record", "answers/0/1 is gone")]))
    assert gone.startswith("It can't be asked again")
    assert "answers/0/1 is gone" in gone


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


def rehearsed(world: Replaying, first: int, count: int = 80) -> Responder:
    """A responder that has taught pairs and published what it has learned of them."""
    topics = ("lamp kitchen light", "rain weather umbrella", "password login reset", "tea water cup")
    world.teach(*((f"{topics[i % 4]} number {i % 9} {i}", f"a{i % 4}") for i in range(first, first + count)))
    responder, before = world.responder(), world.mix_version()
    for _ in range(5_000):
        if world.mix_version() != before:
            break
        responder._serving.current.rehearsing._rest_until = 0.0
        responder.step()
    assert world.mix_version() == before + 1
    responder.step()  # takes what was published
    return responder


def test_the_mix_of_then_counts_and_if_it_is_gone_the_receipt_has_its_factors() -> None:
    world = Replaying()
    responder = rehearsed(world, 0)
    query = Query(id="q", text="is the umbrella for rain", top_k=3)
    (then,) = world.ask(query, responder=responder)
    responder.close()
    assert then.receipt is not None
    assert then.receipt.mix is not None
    assert (then.receipt.mix.version, then.receipt.probability is None) == (1, False)
    rehearsed(world, 80).close()
    assert world.replay(then).same
    today = world.replay(then, today=True)
    assert today.between is not None
    assert today.between.mix == (1, 2)
    world.redis.data.mixes_before.clear()
    gone = world.replay(then)
    assert what(gone.missing) == ["mix"]
    # What it said of this question is in the receipt, so no more is lost than the proof.
    assert all("mix 1 is gone" in difference.why for difference in gone.differences)
    assert {difference.field for difference in gone.differences} <= {"reason"}


def test_a_deletion_that_is_half_done_is_part_of_the_receipt() -> None:
    world = Replaying()
    world.teach(*((f"light number {i}", f"a{i % 5}") for i in range(400)))
    responder = world.responder()
    world.forget(*range(300))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(following, "TAKE_IN_S", 0.0)
        responder.step()
        (then,) = world.ask(QUERY, responder=responder)
    assert then.receipt is not None
    assert then.receipt.deleting == {0: 256}
    assert (then.receipt.rows, then.receipt.watermarks) == (144, {0: 399})
    assert world.replay(then).same
    world.learn()
    lost = world.replay(then)
    assert not lost.same
    assert (lost.missing[0].what, len(lost.missing)) == ("entry", 44)


def test_a_store_that_was_begun_anew_or_lost_its_tail_is_said() -> None:
    world = Replaying()
    world.teach(*PAIRS)
    (then,) = world.ask(QUERY)
    other = Replaying()
    other.teach(*PAIRS[:3])
    replayed = other.replay(then)
    assert what(replayed.missing)[0] == "entries"
    assert "partition 0 ends at 2, and was seen up to 4" in replayed.missing[0].why
    other.teach(*PAIRS[3:])
    refilled = other.replay(then)
    assert [difference.field for difference in refilled.differences] == ["receipt.store"]
    assert "begun anew" in refilled.differences[0].why


def test_another_embedder_arithmetic_and_settings_are_said() -> None:
    world = Replaying()
    world.teach(*PAIRS)
    (then,) = world.ask(QUERY)
    assert then.receipt is not None

    def with_receipt(**changed: Any) -> Reply:
        assert then.receipt is not None
        return then.model_copy(update={"receipt": then.receipt.model_copy(update=changed)})

    other = world.replay(with_receipt(fingerprint="other"))
    assert (other.now, what(other.missing)) == (None, ["embedder"])
    elsewhere = world.replay(with_receipt(arithmetic="kernels/0 abc"))
    assert [d.field for d in elsewhere.differences] == ["receipt.arithmetic"]
    strict = world.replay(with_receipt(threshold=0.99))
    assert strict.now is not None
    assert (strict.now.outcome, strict.missing) == ("abstained", [])
    for then_lacking in (with_receipt(store=None, arithmetic=None, vector=None, error_rate_set=None),):
        assert world.replay(then_lacking).same, "a receipt of an older hurnet"
    rounded = with_receipt(arithmetic=None, nearest=0.5)
    assert ["older hurnet" in difference.why for difference in world.replay(rounded).differences] == [True]
    damaged = world.replay(with_receipt(nearest=0.5))
    assert [difference.why for difference in damaged.differences] == [BUG]


WORDS = "turn switch the kitchen lamp light on off please weather rain password reset where".split()  # noqa: SIM905
ANSWERS = ("on", "off", "weather", "reset", None)
HALF_LIFE_S = 60.0

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
pairs = st.tuples(texts, st.sampled_from(ANSWERS))
partitions = st.integers(0, 1)
steps = st.one_of(
    st.tuples(
        st.just("teach"),
        partitions,
        st.lists(pairs, min_size=1, max_size=40),
        st.sampled_from([1, 1, 1, 3, -2]),
        st.integers(0, 6),
        st.sampled_from(["default", "default", "default", "other"]),
        st.sampled_from(["en", "pt"]),
    ),
    st.tuples(st.just("forget"), partitions, st.lists(st.integers(0, 120), min_size=1, max_size=4)),
    st.tuples(st.just("learn")),
)
questions = st.lists(texts, min_size=1, max_size=3)


@pytest.fixture(autouse=True, scope="module")
def _nobody_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(solver_module, "WAIT_S", 0.0)
        patched.setattr(weights_in_force, "WEIGHTS_INTERVAL_S", 0.0)
        patched.setattr(rehearsing, "MIX_INTERVAL_S", 0.0)
        yield


def do(world: Replaying, step: tuple[Any, ...]) -> None:
    if step[0] == "teach":
        _, partition, taught, copies, pane, context, lang = step
        if copies < 0:  # what refutes has an answer
            taught = [(text, answer or "on") for text, answer in taught]
        more: dict[str, Any] = {"copies": copies, "context": context, "metadata": {"lang": lang}}
        more["timestamp_ms"] = int(pane * HALF_LIFE_S * 1000)
        world.teach(*taught, partition=partition, **more)
    elif step[0] == "forget":
        _, partition, offsets = step
        below = [offset for offset in offsets if offset <= world.store.state(partition).watermark]
        if below:
            world.forget(*below, partition=partition)
    else:
        world.learn()


def ask_all(world: Replaying, asked: list[str], responder: Responder) -> list[Reply]:
    filters: list[Any] = [None, {"key": "lang", "is": "en"}, {"not": {"key": "lang", "in": ["en", "de"]}}]
    queries = [
        Query(id=str(i), text=text, top_k=1 + 4 * i, neighbours=3 * i, filter=filters[i])
        for i, text in enumerate(asked)
    ]
    return world.ask(*queries, responder=responder)


def bare(reply: Reply) -> bytes:
    """Without what each question has of its own."""
    assert reply.receipt is not None
    receipt = reply.receipt.model_copy(update={"seconds": 0.0, "query": ""})
    return reply.model_copy(update={"receipt": receipt}).encode()


@settings(max_examples=20, deadline=None)
@given(
    before=st.lists(steps, min_size=1, max_size=8),
    asked=questions,
    after=st.lists(steps, max_size=4),
    half_life=st.sampled_from([0.0, HALF_LIFE_S]),
)
def test_what_is_known_settles_each_bit_whatever_way_it_came(
    before: list[tuple[Any, ...]], asked: list[str], after: list[tuple[Any, ...]], half_life: float
) -> None:
    world = Replaying(half_life)
    world.clock = 6 * HALF_LIFE_S
    followed = world.responder()
    world.teach(("turn the lamp on", "on"))
    for step in before:
        do(world, step)
        for _ in range(3):
            followed.step()
    for _ in range(6):
        followed.step()
    fresh = world.responder()
    thens = ask_all(world, asked, followed)
    assert [*map(bare, thens)] == [*map(bare, ask_all(world, asked, fresh))]
    alone = [world.ask(Query(id="0", text=asked[0]), responder=fresh)[0]]
    assert bare(alone[0]) == bare(thens[0])
    world.clock += HALF_LIFE_S
    for step in after:
        do(world, step)
    for then in thens:
        replayed = world.replay(then)
        lost = {*what(replayed.missing)}
        assert replayed.same or lost, replayed.differences
        if not any(step[0] == "forget" for step in after):
            assert lost <= ({"weights"} if any(step[0] == "forget" for step in before) else set())
