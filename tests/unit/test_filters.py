"""Filters in the core: which rows pass, and that a search within them is that of an index without the others.
All of it against loops over all entries, with the kernels, without them, and on a torch device."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.index import arena, attributes, tidying
from hurnet_stream.core.index.attributes import TooCostly
from hurnet_stream.core.index.conditions import (
    All,
    AnyOf,
    Between,
    Condition,
    Has,
    Not,
    OneOf,
    keys_of,
    number_in,
)
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.lexical import lexicon
from hurnet_stream.core.native import disabled
from hurnet_stream.core.rule.halves import Halves, undivided
from hurnet_stream.core.rule.rule import nearest, ranked
from hurnet_stream.core.search import block, blocks, passing
from hurnet_stream.core.search import device as device_scan
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.search.device import Device
from hurnet_stream.core.search.passing import Passing
from hurnet_stream.core.stored.batch import Entry, Vectors
from tests.unit.test_index import reference

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEYS = ("lang", "price", "since", "k")
VALUES = (
    *(
        "",
        "en",
        "pt",
        "EN",
        "10",
        "9",
        "-0.0",
        "0",
        "1e3",
        "1_000",
        " 5",
        "٣",
        "nan",
        "inf",
        "1e999",
        "+7",
        ".5",
        "5.",
    ),
    *(
        "2026-11-28",
        "2026-11-28T10:11:12.123456+00:00",
        "2026-11-28T10:11:12.123456+00:01",
        "\u202eabc",
        "é",
        "e\u0301",
    ),
    *("\U0001f600", "\uffff", "x" * 40, "x" * 40 + "y", "x" * 32, "a=b", "lang=en"),
)


def unexpected(reason: str) -> None:
    raise AssertionError(reason)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 32 rows and little chunks, so that rows and texts move; bitmaps for three rows."""
    for module in (block, blocks, scan, tidying, device_scan, passing):
        monkeypatch.setattr(module, "BLOCK_ROWS", 32)
    monkeypatch.setattr(device_scan, "CHUNK_ROWS", 64)
    monkeypatch.setattr(arena, "FIRST_CHUNK", 64)
    monkeypatch.setattr(arena, "LARGEST_CHUNK", 512)
    monkeypatch.setattr(attributes, "MANY", 3)
    monkeypatch.setattr(attributes, "OWN_COLUMNS", 2)
    monkeypatch.setattr(lexicon, "FEW", 4)


# ---- the reference: one entry at a time ----


def meets(metadata: dict[str, str], condition: Condition) -> bool:
    match condition:
        case All(conditions):
            return all(meets(metadata, inner) for inner in conditions)
        case AnyOf(conditions):
            return any(meets(metadata, inner) for inner in conditions)
        case Not(inner):
            return not meets(metadata, inner)
        case Has(key):
            return key in metadata
        case OneOf(key, values):
            return metadata.get(key) in values
        case Between(key):
            return key in metadata and lies_within(metadata[key], condition)


def lies_within(value: str, bounds: Between) -> bool:
    given_bounds = [bound for bound in bounds.bounds if bound is not None]
    compared: float | str = value
    if not isinstance(given_bounds[0], str):
        if not re.fullmatch(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?", value):
            return False
        if not math.isfinite(compared := float(value)):
            return False
    return (
        (bounds.at_least is None or compared >= bounds.at_least)  # type: ignore[operator]
        and (bounds.above is None or compared > bounds.above)  # type: ignore[operator]
        and (bounds.at_most is None or compared <= bounds.at_most)  # type: ignore[operator]
        and (bounds.below is None or compared < bounds.below)  # type: ignore[operator]
    )


values = st.sampled_from(VALUES)
keys = st.sampled_from((*KEYS, "never"))
metadatas = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)


def between(bounds: st.SearchStrategy[float] | st.SearchStrategy[str]) -> st.SearchStrategy[Between]:
    some = st.dictionaries(
        st.sampled_from(("at_least", "above", "at_most", "below")), bounds, min_size=1, max_size=3
    )
    return st.builds(lambda key, given_bounds: Between(key, **given_bounds), keys, some)


leaves: st.SearchStrategy[Condition] = st.one_of(
    st.builds(OneOf, keys, st.lists(values, min_size=1, max_size=4).map(tuple)),
    st.builds(Has, keys),
    between(st.sampled_from((0.0, 5.0, 7.0, 9.5, 10.0, 1000.0, -1e300, 1e300))),
    between(values),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)


class World:
    """The same entries in indexes that are searched in each way there is."""

    def __init__(self, seed: int, d: int = 3) -> None:
        self.random, self.d = np.random.default_rng(seed), d
        self.host = ContextIndex(d)
        with disabled():
            self.portable = ContextIndex(d)
        self.on_device = ContextIndex(d, device=Device(torch.device("cpu"), unexpected))
        self.offset = 0

    @property
    def all(self) -> tuple[ContextIndex, ...]:
        return self.host, self.portable, self.on_device

    def append(self, metadata: Sequence[dict[str, str]]) -> None:
        vectors = self.vectors(len(metadata))
        words = ["lamp", "tea", "the", "on", "off"]
        entries = [
            Entry(self.offset + i, 0, "c", f"the {words[i % 5]} {words[i % 3]}", f"a{i % 4}", own)
            for i, own in enumerate(metadata)
        ]
        self.offset += len(metadata)
        for index in self.all:
            index.append(0, entries, vectors)

    def vectors(self, n: int) -> Vectors:
        drawn = self.random.choice(np.array([-SCALE, -3, 0, 1, 3, SCALE], np.int16), (n, self.d))
        drawn[~drawn.any(axis=1), 0] = 1
        return drawn

    def remove(self, offsets: Sequence[int]) -> None:
        for index in self.all:
            index.remove_all(0, np.array(offsets, np.int64))


def expected(index: ContextIndex, held: dict[int, dict[str, str]], condition: Condition) -> list[int | None]:
    """The rows of the entries, by offset with their metadata, that meet it."""
    return sorted(index.find((0, offset)) for offset, own in held.items() if meets(own, condition))  # type: ignore[type-var]


@pytest.mark.usefixtures("small")
@settings(SETTINGS, max_examples=60)
@given(st.lists(st.lists(metadatas, min_size=1, max_size=50), min_size=1, max_size=4), st.data())
def test_a_filter_passes_exactly_the_rows_that_meet_it(
    batches: list[list[dict[str, str]]], data: st.DataObject
) -> None:
    world, held = World(0), dict[int, dict[str, str]]()
    for metadata in batches:
        held |= dict(enumerate(metadata, world.offset))
        world.append(metadata)
        gone = data.draw(st.lists(st.sampled_from(list(held)), unique=True))
        world.remove(gone)
        held = {offset: own for offset, own in held.items() if offset not in gone}
        for condition in data.draw(st.lists(conditions, min_size=1, max_size=4)):
            for index in world.all[:2]:
                assert index.passing(condition).rows.tolist() == expected(index, held, condition), condition
    world.remove(list(held))
    assert world.host.passing(Not(Has("never"))).count == 0
    assert world.host.lacking(KEYS) == list(KEYS)


@pytest.mark.usefixtures("small", "exact_int8")
@settings(SETTINGS, max_examples=150)
@given(
    rows=st.integers(1, 200),
    k=st.integers(1, 60),
    shares=st.lists(st.sampled_from([0.0, 0.02, 0.2, 0.5, 1.0, None]), min_size=1, max_size=12),
    clustered=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_search_within_a_filter_finds_what_an_index_of_its_rows_would(
    rows: int, k: int, shares: list[float | None], clustered: bool, seed: int
) -> None:
    """Questions of one call have filters of their own: none at all, one that nothing passes, and others."""
    world, random = World(seed), Random(seed)
    world.append([{"n": str(i)} for i in range(rows)])
    queries = world.vectors(len(shares))
    queries[random.randrange(len(shares))] = 0 if random.random() < 0.2 else 1
    chosen: list[list[int] | None] = []
    for share in shares:
        count = None if share is None else round(share * rows)
        some = (
            range(rows) if count is None else range(count) if clustered else random.sample(range(rows), count)
        )
        chosen.append(None if count is None else sorted(some))
    exclude = [(0, random.randrange(rows)) if random.random() < 0.3 else None for _ in shares]
    without = np.array([1]) if rows > 1 and random.random() < 0.3 else None
    for index in world.all:
        filters = [c if c is None else index.passing(OneOf("n", tuple(map(str, c)))) for c in chosen]
        found = index.search(queries, k, exclude, without, filters)
        for query, own, left_out, matches in zip(queries, chosen, exclude, found, strict=True):
            may = [
                row
                for row in (range(rows) if own is None else own)
                if (0, row) != left_out and (without is None or index.answer_ids(np.array([row]))[0] != 1)
            ]
            vectors = index.vectors(np.array(may, np.int64))
            best = reference(query, vectors, [(0, row) for row in may], k) if query.any() else []
            assert matches.rows.tolist() == [may[i] for i in best]


@pytest.mark.usefixtures("small")
@settings(SETTINGS, max_examples=100)
@given(
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_words_are_looked_for_within_the_filter(rows: int, k: int, share: float, seed: int) -> None:
    world, random = World(seed), Random(seed)
    world.append([{"n": str(i)} for i in range(rows)])
    may = set(random.sample(range(rows), round(share * rows)))
    world.remove(random.sample(range(rows), rows // 5))
    for index in world.all[:2]:
        within = (
            index.passing(OneOf("n", tuple(map(str, may)))) if may else Passing(np.empty(0, np.int64), 160)
        )
        every, scores = index.lexical_search("the lamp is off", 1_000, (0, 3))
        inside = np.isin(every, within.rows)
        found, own = index.lexical_search("the lamp is off", k, (0, 3), within)
        assert found.tolist() == every[inside][:k].tolist()
        assert own.tolist() == scores[inside][:k].tolist()


def test_a_large_index_is_searched_within_scattered_and_clustered_filters() -> None:
    """Real blocks, several of them, and groups of rows of which none, few, many or all may answer."""
    random = np.random.default_rng(5)
    d, rows = 16, 40_000
    vectors = random.integers(-400, 400, (rows, d)).astype(np.int16)
    entries = [
        Entry(i, 0, "c", "t", f"{i % 7}", {"n": str(i % 1000), "half": str(i // 20_000)}) for i in range(rows)
    ]
    indexes = [ContextIndex(d, threads=2)]
    with disabled():
        indexes.append(ContextIndex(d))
    for index in indexes:
        index.append(0, entries, vectors)
    queries = random.integers(-400, 400, (9, d)).astype(np.int16)
    wide, exact = vectors.astype(np.float64), queries.astype(np.float64)
    cosines = exact @ wide.T / np.sqrt(np.vecdot(wide, wide))
    filters: list[Condition] = [
        OneOf("n", ("7",)),
        OneOf("half", ("1",)),
        All((OneOf("half", ("0",)), Between("n", below=500.0))),
        Between("n", at_least=999.0),
        Not(OneOf("n", ("1", "2"))),
        All((OneOf("n", ("5",)), OneOf("half", ("1",)))),
    ]
    for index in indexes:
        within = [None, *map(index.passing, filters), None, index.passing(filters[1])]
        for first, end in ((0, 9), (0, 1), (3, 4), (6, 7), (1, 5)):
            found = index.search(queries[first:end], 64, within=within[first:end])
            for i, matches in zip(range(first, end), found, strict=True):
                own = within[i]
                may = np.arange(rows) if own is None else own.rows
                best = may[np.argsort(-cosines[i, may], kind="stable")][:64]
                assert matches.rows.tolist() == best.tolist()


def test_a_filter_that_nothing_passes_reads_nothing() -> None:
    """A slice that refused a filter asks with no rows at all, and so with no bits that kernels could read."""
    index, nobody = ContextIndex(1), Passing(np.empty(0, np.int64), 0)
    index.append(0, [Entry(i, 0, "c", "t", "a") for i in range(100)], ones(100))
    assert [len(each.rows) for each in index.search(ones(2), 5, within=[nobody, None])] == [0, 5]


def test_more_keys_than_columns_share_one_and_are_found() -> None:
    index = ContextIndex(1)
    metadata = [{f"k{i % 700}": str(i), "all": "x"} for i in range(2_100)]
    index.append(0, [Entry(i, 0, "c", "t", "a", own) for i, own in enumerate(metadata)], ones(2_100))
    assert len(index._attributes._columns) == attributes.OWN_COLUMNS + 1
    assert index.passing(Has("k3")).rows.tolist() == [3, 703, 1403]
    assert index.passing(Has("k699")).rows.tolist() == [699, 1399, 2099]
    assert index.passing(Between("k699", above=699.0)).rows.tolist() == [1399, 2099]
    assert index.passing(OneOf("all", ("x",))).count == 2_100


def ones(n: int) -> Vectors:
    return np.ones((n, 1), np.int16)


def test_what_a_filter_may_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    index = ContextIndex(1)
    entries = [
        Entry(i, 0, "c", "t", "a", {"url": "https://example.com/a/very/long/path/" + str(i)})
        for i in range(300)
    ]
    index.append(0, entries, ones(300))
    costly = Between("url", above="https://example.com/a/very/long/path/2")
    assert index.passing(costly).count == sum(str(i) > "2" for i in range(300))
    monkeypatch.setattr(attributes, "MOST_READ", 300 * attributes.READ_IN_FULL)
    with pytest.raises(TooCostly, match="more than 153,600 values"):
        index.passing(costly)


def test_memory_of_metadata_is_counted_and_bounded() -> None:
    """Values that only one row has cost most: their text once more, and less than 130 bytes beside it."""
    plain, unique, common = ContextIndex(1), ContextIndex(1), ContextIndex(1)
    n = 20_000
    for index, own in ((plain, None), (unique, "id-{:08d}"), (common, "en")):
        metadata = [{} if own is None else {"key": own.format(i)} for i in range(n)]
        index.append(0, [Entry(i, 0, "c", "t", "a", m) for i, m in enumerate(metadata)], ones(n))
    arena_bytes = 24  # of msgpack, per row
    assert n * 8 < common.nbytes - plain.nbytes < n * (24 + arena_bytes)
    assert n * 8 < unique.nbytes - plain.nbytes < n * (130 + 15 + arena_bytes)


def test_a_value_that_nobody_has_any_more_is_forgotten() -> None:
    index = ContextIndex(1)
    index.append(
        0, [Entry(0, 0, "c", "t", "a", {"name": "Secret Name"}), Entry(1, 0, "c", "t", "a")], ones(2)
    )
    assert index.passing(OneOf("name", ("Secret Name",))).count == 1
    index.remove(0, 0)
    held = (
        b"".join(bytes(chunk) for chunk in index._arena._chunks) + index._attributes._values._heads.tobytes()
    )
    assert b"Secret" not in held
    assert index.lacking(["name"]) == ["name"]


@pytest.mark.parametrize(
    ("value", "number"),
    [("10", 10.0), ("-1.5e2", -150.0), ("007", 7.0), (".5", 0.5), ("5.", 5.0), ("+1", 1.0)],
)
def test_decimal_numbers_are_read(value: str, number: float) -> None:
    assert number_in(value) == number


@pytest.mark.parametrize(
    "value", ["", " 1", "1 ", "1_0", "nan", "-inf", "1e999", "0x1", "٣", "1,5", "1e", ".", "--1"]
)
def test_what_people_would_not_call_a_number_is_none(value: str) -> None:
    assert math.isnan(number_in(value))


def test_the_keys_of_a_condition() -> None:
    assert keys_of(All((Not(Has("a")), AnyOf((OneOf("b", ("x",)), Between("c", above=1.0)))))) == {
        "a",
        "b",
        "c",
    }


@pytest.mark.usefixtures("small")
@settings(SETTINGS, max_examples=40)
@given(st.integers(1, 400), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_question_with_a_filter_is_near_what_an_index_of_its_rows_has(
    rows: int, share: float, divided: bool, seed: int
) -> None:
    """Its near entries, those by meaning included, and its candidates, further ones included, are those of an
    index that never had the others, whatever stands beside it in the same turn."""
    random = np.random.default_rng(seed)
    halves = Halves(slice(0, 2), slice(2, 4)) if divided else undivided(4)
    vectors = random.integers(-50, 50, (rows + 3, 4)).astype(np.int16)
    vectors[~vectors.any(axis=1), 0] = 1
    chosen = random.random(rows) < share
    entries = [
        Entry(i, 0, "c", f"word{i % 7}", f"answer {i % 40}", {"in": "yes" if inside else "no"})
        for i, inside in enumerate(chosen.tolist())
    ]
    whole, alone = ContextIndex(4), ContextIndex(4)
    whole.append(0, entries, vectors[:rows])
    alone.append(0, [e for e, inside in zip(entries, chosen, strict=True) if inside], vectors[:rows][chosen])
    within, asked, texts = whole.passing(OneOf("in", ("yes",))), vectors[rows:], ["word1", "word2", "word3"]
    (free, *found) = nearest(asked, whole, halves=halves, within=[None, within, within])
    wanted = nearest(asked[1:], alone, halves=halves)
    assert free.rows.tolist() == nearest(asked[:1], whole, halves=halves)[0].rows.tolist()
    for mine, theirs in zip(found, wanted, strict=True):
        assert sorted(map(whole.entry_id, mine.rows.tolist())) == sorted(
            map(alone.entry_id, theirs.rows.tolist())
        )
        near = list(map(whole.entry_id, mine.nearest.rows.tolist()))
        assert near == list(map(alone.entry_id, theirs.nearest.rows.tolist()))
    for one, other in zip(
        ranked(texts[1:], found, whole, halves), ranked(texts[1:], wanted, alone, halves), strict=True
    ):
        deep, expected_answers = one.top(100), {c.answer for c in other.top(100)}
        assert {c.answer for c in deep} == expected_answers
        assert all(chosen[whole.entry_id(c.row)[1]] for c in deep)
