"""A context in slices gives what one index with everything gives, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.core import native
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.index.conditions import AnyOf, Condition, Has, Not, OneOf
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.index.readable import Index
from hurnet_stream.core.rule.gathering import Question, gathered
from hurnet_stream.core.rule.halves import Halves, undivided
from hurnet_stream.core.rule.rehearsal import Rehearsal, sample
from hurnet_stream.core.rule.rule import nearest, ranked
from hurnet_stream.core.slices.gathered import GatheredIndex
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import Entry, EntryId
from tests.slices import Slices

DIMENSION, HALF_LIFE_MS, SHARDS = 16, 60_000, 6
HALVES = Halves(slice(0, 8), slice(8, DIMENSION))
WORDS = ("turn", "the", "lamp", "on", "off", "weather", "rain", "password", "reset", "ação", "開燈")
FILTERS: Sequence[Condition | None] = (
    None,
    OneOf("lang", ("en",)),
    AnyOf((OneOf("lang", ("pt",)), Has("draft"))),
    OneOf("lang", ("none",)),
    Not(Has("draft")),
)


def grid_rows(random: np.random.Generator, rows: int) -> Vectors:
    drawn = random.normal(size=(rows, DIMENSION)) + 1.0
    drawn *= SCALE / np.linalg.norm(drawn, axis=1, keepdims=True)
    snapped = np.rint(drawn).astype(np.int16)
    # Ties in every shard: some rows are the same vector, and some point the same way.
    for row in range(1, rows, 5):
        snapped[row] = snapped[random.integers(0, row)] // int(random.choice([1, 2]))
    snapped[~snapped.any(axis=1), 0] = 1
    return snapped


def entry(offset: int, random: np.random.Generator, copies: Sequence[int]) -> Entry:
    text = " ".join(random.choice(WORDS, int(random.integers(0, 5))).tolist())
    # Some answers are taught once, some a few times, one so often that its sum is kept, and some by no one.
    answer = None if offset % 11 == 3 else f"a{int(random.integers(0, 40)) if offset % 2 else 0}"
    count = 1 if answer is None else int(random.choice(copies))
    metadata = {"lang": str(random.choice(["en", "pt"]))} if offset % 3 else {"draft": ""}
    return Entry(offset, int(random.integers(0, 4)) * HALF_LIFE_MS, "c", text, answer, metadata, count)


Questions = tuple[list[str], Vectors, list[EntryId | None], list[Condition | None]]


class World:
    """The same entries in one index and in slices: each shard is in one slice."""

    def __init__(self, seed: int, entries: int, slices: int, copies: Sequence[int], window: Window) -> None:
        self.random = random = np.random.default_rng(seed)
        self.one = ContextIndex(DIMENSION, window)
        self.slices = Slices([ContextIndex(DIMENSION, window) for _ in range(slices)])
        self.vectors = grid_rows(random, entries + 4)
        slice_of = random.integers(0, slices, SHARDS).tolist()
        self.ids: list[EntryId] = []
        for first in range(0, entries, 50):
            shard = int(random.integers(0, SHARDS))
            rows = slice(first, min(first + 50, entries))
            batch = [entry(offset, random, copies) for offset in range(rows.start, rows.stop)]
            for index in (self.one, self.slices.indexes[slice_of[shard]]):
                index.append(shard, batch, self.vectors[rows])
            self.ids += [(shard, each.offset) for each in batch]
        for place in random.permutation(len(self.ids))[: len(self.ids) // 5].tolist():
            for index in (self.one, *self.slices.indexes):
                index.remove(*self.ids[place])
        self.window = Window(HALF_LIFE_MS, 3) if window.half_life_ms else window
        self.one.age_to(self.window)

    def asked_late(self) -> GatheredIndex:
        """That knows nothing before it is asked."""
        return GatheredIndex(self.slices.conversation(), DIMENSION, self.window)

    def gathered(self, questions: Questions, projection: Any, halves: Halves | None) -> GatheredIndex:
        asked = [Question(*each) for each in zip(*questions, strict=True)]
        conversation, of = self.slices.conversation(), halves or undivided(DIMENSION)
        return gathered(conversation, asked, of, projection, self.window)

    def questions(self) -> Questions:
        """Of which one knows nothing, and two are those of entries that must not answer them."""
        texts = ["turn the lamp on", "reset password please", "rain ação", "", "lamp lamp"]
        vectors = np.concatenate([self.vectors[-4:], np.zeros((1, DIMENSION), np.int16)])
        if self.random.integers(0, 2):  # asked twice at once
            texts[3], vectors[3] = texts[0], vectors[0]
        own: list[EntryId | None] = [None, None, None, (0, 7), None]
        for question in (1, 2) if self.ids else ():
            place = int(self.random.integers(0, len(self.ids)))
            own[question], vectors[question] = self.ids[place], self.vectors[place]
        filters = self.random.integers(0, len(FILTERS), len(texts)).tolist()
        return texts, vectors, own, [FILTERS[i] for i in filters]


def seen(index: Index, questions: Questions, projection: Any, halves: Halves | None) -> list[object]:
    """All that the rule says, and all that an answer shows of it."""
    texts, vectors, own, filters = questions
    within = [None if each is None else index.passing(each) for each in filters]
    near = nearest(vectors, index, projection, own, halves, within if any(filters) else None)
    said: list[object] = [len(index), [each and each.count for each in within]]
    for ranking, of in zip(ranked(texts, near, index, halves), near, strict=True):
        top = ranking.top(45)
        said += [ranking.factors, ranking.nearest, ranking.margin]
        said += [(c.answer, c.scores, c.evidence, c.combined, index.entry(c.row)) for c in top]
        said += [(index.entry_id(c.row), index.text(c.row)) for c in top]
        said += [
            (index.entry_id(row), of.nearest.cosines[i]) for i, row in enumerate(of.nearest.rows.tolist())
        ]
        said.append(index.lacking(["lang", "draft", "none"]))
    return said


@pytest.mark.parametrize("kernels", [True, False])
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    entries=st.sampled_from([0, 1, 30, 240, 420, 700]),
    slices=st.integers(1, 5),
    copies=st.sampled_from([[1], [1, 1, 2, -1], [3, -2]]),
    ageing=st.booleans(),
    weights=st.booleans(),
    halves=st.sampled_from([HALVES, None]),
)
def test_slices_give_what_one_index_gives_in_every_bit(
    kernels: bool,
    seed: int,
    entries: int,
    slices: int,
    copies: list[int],
    ageing: bool,
    weights: bool,
    halves: Halves | None,
) -> None:
    with nullcontext() if kernels else native.disabled():
        world = World(seed, entries, slices, copies, Window(HALF_LIFE_MS if ageing else 0))
        questions = world.questions()
        projection = world.random.normal(size=(DIMENSION, DIMENSION)) if weights else None
        expected = seen(world.one, questions, projection, halves)
        assert repr(
            seen(world.gathered(questions, projection, halves), questions, projection, halves)
        ) == repr(expected)
        if len(world.one):  # asked for when it is looked at, it is the same
            assert repr(seen(world.asked_late(), questions, projection, halves)) == repr(expected)


def test_a_rehearsal_over_slices_learns_what_one_over_one_index_learns() -> None:
    world = World(3, 100, 3, [1, 1, 2, -1], Window(0))
    projection = world.random.normal(size=(DIMENSION, DIMENSION))

    def learned(index_of: Callable[[], Index]) -> Rehearsal:
        rehearsal = Rehearsal(index_of(), HALVES)
        index = index_of()
        while rehearsal.step(index, lambda v, own, index=index: nearest(v, index, projection, own, HALVES)):  # type: ignore[misc]
            index = index_of()  # each pair may be asked in a conversation of its own
        return rehearsal

    one, several = learned(lambda: world.one), learned(world.asked_late)
    assert repr(several.mix) == repr(one.mix)
    assert len(one.rehearsed) > 40
    assert sample(world.asked_late(), 50) == sample(world.one, 50)
