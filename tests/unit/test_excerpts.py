"""Excerpts of filters that are asked again and again: answers stay those of a loop over all rows, whatever
comes and goes meanwhile, and memory stays bounded."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.index.conditions import AnyOf, Between, Condition, Not, OneOf
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.search import excerpts
from hurnet_stream.core.stored.batch import Entry, Vectors
from tests.unit.test_filters import SETTINGS, World, meets, small
from tests.unit.test_index import LEVELS, reference

__all__ = ["small"]

pytestmark = pytest.mark.skipif(not kernels.available(), reason="there are no kernels")

D = 16
TENTH, HALF, MOST = OneOf("n", ("3",)), Between("n", below=5.0), Not(OneOf("n", ("0",)))


@pytest.fixture
def eager(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 32 rows, and excerpts from the second search on of whatever there is."""
    for name, value in {"SEARCHES": 1, "LEAST_ROWS": 1, "MOST_OF_BLOCK": 1, "SHARE": 8}.items():
        monkeypatch.setattr(excerpts, name, value)


def filled(rows: int, threads: int = 1, seed: int = 0) -> tuple[ContextIndex, Vectors]:
    random = np.random.default_rng(seed)
    vectors = random.integers(-400, 400, (rows, D)).astype(np.int16)
    index = ContextIndex(D, threads=threads)
    entries = [Entry(i, 0, "c", "t", f"{i % 7}", {"n": str(digit)}) for i, digit in digits(rows)]
    index.append(0, entries, vectors)
    return index, vectors


def digits(rows: int) -> list[tuple[int, int]]:
    return list(enumerate(np.random.default_rng(1).integers(0, 10, rows).tolist()))


def best(query: Vectors, vectors: Vectors, offsets: list[int], k: int) -> list[int]:
    wide = vectors[offsets].astype(np.float64)
    cosines = wide @ query.astype(np.float64) / np.sqrt(np.vecdot(wide, wide))
    return [offsets[i] for i in np.argsort(-cosines, kind="stable")[:k].tolist()]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_filter_that_is_asked_again_and_again_is_answered_the_same(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows come and go between the questions: removed ones that excerpts still have, too."""
    monkeypatch.setattr("hurnet_stream.core.search.search._SHARE", 1)
    monkeypatch.setattr(excerpts, "SEARCHES", 2)
    index, vectors = filled(20_000, threads)
    held, random = dict(digits(20_000)), np.random.default_rng(2)
    for turn in range(6):
        queries = random.integers(-400, 400, (3, D)).astype(np.int16)
        for condition in (TENTH, HALF, MOST):
            may = [offset for offset, digit in held.items() if meets({"n": str(digit)}, condition)]
            passing = index.passing(condition)
            found = index.search(queries, 20, within=[passing, None, passing])
            assert [index.offsets(each.rows).tolist() for each in found] == [
                best(queries[0], vectors, may, 20),
                best(queries[1], vectors, list(held), 20),
                best(queries[2], vectors, may, 20),
            ]
            gone = index.offsets(found[0].rows[:2]).tolist()  # the best of all, so that this would be seen
            index.remove_all(0, np.array(gone))
            held = {offset: digit for offset, digit in held.items() if offset not in gone}
        assert (index._blocks.excerpts.nbytes > 0) == (turn >= excerpts.SEARCHES)


@pytest.mark.usefixtures("eager")
@SETTINGS
@given(
    rows=st.integers(33, 300),
    k=st.integers(1, 60),
    turns=st.lists(
        st.tuples(st.sampled_from([0.03, 0.2, 0.5, 0.9, 1.0]), st.integers(0, 40), st.integers(0, 40)),
        min_size=3,
        max_size=9,
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_excerpts_agree_with_a_loop_over_all_rows(
    rows: int, k: int, turns: list[tuple[float, int, int]], seed: int
) -> None:
    """Every instruction set; ties, removals that give blocks up, and new rows at their numbers."""
    world, random = World(seed, 5), Random(seed)
    index, held, vectors = ContextIndex(5), dict[int, dict[str, str]](), dict[int, Vectors]()

    def append(n: int) -> None:
        metadata = [{"n": str(random.randrange(100))} for _ in range(n)]
        first, new = world.offset, world.vectors(n)
        world.offset += n
        index.append(0, [Entry(first + i, 0, "c", "t", "a", own) for i, own in enumerate(metadata)], new)
        held.update(enumerate(metadata, first))
        vectors.update(enumerate(new, first))

    append(rows)
    for share, coming, going in turns:
        condition: Condition = Between("n", below=100.0 * share)
        may = [offset for offset, own in held.items() if meets(own, condition)]
        query = world.vectors(1)
        expected = [
            may[i]
            for i in reference(
                query[0], np.array([vectors[o] for o in may]).reshape(-1, 5), [(0, o) for o in may], k
            )
        ]
        for level in LEVELS:
            passing = index.passing(condition)
            usable = index._blocks.excerpts.of(passing, index._blocks.blocks)
            left_out = kernels.LeftOut(None, None, [passing.bits], [usable and usable.structs])
            ((found, _),) = kernels.search(index._blocks.table(), query, k, left_out, level).nearest
            assert index.offsets(found).tolist() == expected
        gone = random.sample(list(held), min(going, len(held) - 1))
        index.remove_all(0, np.array(gone, np.int64))
        for offset in gone:
            del held[offset]
        append(coming)


def test_excerpts_take_no_more_memory_than_their_share() -> None:
    index, vectors = filled(40_000)
    before = index.nbytes
    most = excerpts.SHARE * 3 * 16_384 * kernels.plane_bytes(D)
    for i in range(40):
        condition = AnyOf((Between("n", below=float(1 + i % 9)), OneOf("n", (f"x{i}",))))
        for _ in range(excerpts.SEARCHES + 3):
            index.search(vectors[:1], 5, within=[index.passing(condition)])
        assert 0 <= index._blocks.excerpts.nbytes <= most
        assert index.nbytes == before + index._blocks.excerpts.nbytes
    for i in range(2 * excerpts.FILTERS):
        index.search(vectors[:1], 5, within=[index.passing(OneOf("n", (f"y{i}",)))])
    assert len(index._blocks.excerpts._filters) == excerpts.FILTERS


def test_what_is_made_before_one_search_is_bounded() -> None:
    index, vectors = filled(5 * 16_384)
    for turn in range(excerpts.SEARCHES + 4):
        index.search(vectors[:1], 5, within=[index.passing(TENTH)])
        made = len(index._blocks.excerpts._filters[TENTH].excerpts)
        assert made == min(5, excerpts.BLOCKS_AT_ONCE * max(0, turn + 1 - excerpts.SEARCHES))


def test_excerpts_are_read_instead_of_the_block() -> None:
    """Rows that the upper four bits leave are as few as before, and those that pass are all looked at."""
    index, vectors = filled(32_768)
    passing = index.passing(TENTH)
    left_out = kernels.LeftOut(None, None, [passing.bits])
    plain = kernels.search(index._blocks.table(), vectors[:1], 5, left_out)
    usable = None
    for _ in range(excerpts.SEARCHES + 1):
        usable = index._blocks.excerpts.of(passing, index._blocks.blocks)
    assert usable is not None
    index._blocks.blocks[0].plane[0] = 0  # whoever reads the upper plane of the block now finds other rows
    index._blocks.blocks[1].plane[0] = 0
    again = kernels.search(
        index._blocks.table(), vectors[:1], 5, left_out._replace(excerpts=[usable.structs])
    )
    assert again.nearest[0][0].tolist() == plain.nearest[0][0].tolist()
