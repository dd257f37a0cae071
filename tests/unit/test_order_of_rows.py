"""The same entries give the same bits, in whatever order, batches and company they came, and whoever went."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.core import native
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.group_sums import sums_by_group
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.rule.rule import PARTS, nearest, ranked
from hurnet_stream.core.solve.solve import solve
from hurnet_stream.core.solve.window import Window
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import Entry

DIMENSION, HALF_LIFE_MS = 24, 60_000
WORDS = ("turn", "the", "lamp", "on", "off", "weather", "rain", "password", "reset")


def grid_rows(random: np.random.Generator, rows: int) -> Vectors:
    drawn = random.normal(size=(rows, DIMENSION)) + 1.0
    drawn *= SCALE / np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.rint(drawn).astype(np.int16)


def entry(offset: int, random: np.random.Generator) -> Entry:
    text = " ".join(random.choice(WORDS, 4).tolist())
    # Some answers are taught once, some a few times, and the first so often that its sum is kept.
    answer = f"a{int(random.integers(0, 40)) if offset % 2 else 0}"
    copies = int(random.choice([1, 1, 1, 2, -1]))
    return Entry(offset, int(random.integers(0, 4)) * HALF_LIFE_MS, "default", text, answer, {}, copies)


def index_of(
    entries: dict[tuple[int, int], tuple[Entry, Vectors]], kept: set[tuple[int, int]], seed: int, pane: int
) -> ContextIndex:
    """All entries come, the shards in turns and by batches of any size, and those that are not kept go."""
    random = np.random.default_rng(seed)
    index = ContextIndex(DIMENSION, Window(HALF_LIFE_MS, 0))
    left = {shard: sorted(o for p, o in entries if p == shard) for shard in (0, 1)}
    gone = [id for id in entries if id not in kept]
    while any(left.values()):
        shard = int(random.integers(0, 2))
        batch = left[shard][: int(random.integers(1, 60))]
        left[shard] = left[shard][len(batch) :]
        if batch:
            index.append(
                shard,
                [entries[shard, offset][0] for offset in batch],
                np.stack([entries[shard, offset][1] for offset in batch]),
            )
        if random.random() < 0.3:
            index.age_to(Window(HALF_LIFE_MS, int(random.integers(0, 12))))
    for place in random.permutation(len(gone)).tolist():
        index.remove(*gone[place])
    index.age_to(Window(HALF_LIFE_MS, pane))
    return index


def scores(index: ContextIndex, questions: Vectors, projection: np.ndarray) -> list[list[object]]:
    near = nearest(questions, index, projection)
    texts = ["turn the lamp on", "reset password please", "rain"][: len(questions)]
    return [
        [
            (index.entry_id(c.row), c.answer, c.combined, *(getattr(c.scores, part) for part in PARTS))
            for c in ranking.top(60)
        ]
        for ranking in ranked(texts, near, index)
    ]


@pytest.mark.parametrize("kernels", [True, False])
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 8))
def test_which_way_a_context_came_about_is_not_seen_in_a_single_bit(
    kernels: bool, seed: int, pane: int
) -> None:
    random = np.random.default_rng(seed)
    ids = [(int(shard), offset) for offset, shard in enumerate(random.integers(0, 2, 420))]
    vectors = grid_rows(random, len(ids) + 3)
    entries = {id: (entry(id[1], random), vector) for id, vector in zip(ids, vectors, strict=False)}
    kept = {id for id in ids if random.random() < 0.7}
    statistics = Statistics(DIMENSION)
    statistics.add(vectors[:50], [f"a{i % 7}" for i in range(50)])
    projection = solve(statistics, 0.1, "cpu").projection
    with nullcontext() if kernels else native.disabled():
        one, other = (index_of(entries, kept, seed + i, pane) for i in (1, 2))
        expected = scores(one, vectors[-3:], projection)
        assert repr(scores(other, vectors[-3:], projection)) == repr(expected)
        only_kept = {id: entries[id] for id in kept}
        assert repr(scores(index_of(only_kept, kept, seed, pane), vectors[-3:], projection)) == repr(expected)
        # A question gives the same bits alone and beside others.
        assert repr(scores(one, vectors[-3:-2], projection)) == repr(expected[:1])


def test_a_group_is_summed_in_one_order() -> None:
    random = np.random.default_rng(1)
    groups, numbers = random.integers(0, 5, 300), random.normal(size=300)
    expected = sums_by_group(groups, numbers, 6)
    assert expected[5] == 0
    np.testing.assert_allclose(expected[:5], [numbers[groups == g].sum() for g in range(5)])
    for _ in range(20):
        order = random.permutation(300)
        assert sums_by_group(groups[order], numbers[order], 6).tobytes() == expected.tobytes()
