"""Entries removed from an index: what is left is as if they had never been, and no removal takes long."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core.grid import snap
from hurnet_stream.core.index import arena, teaching, tidying
from hurnet_stream.core.index.index import ContextIndex, EntryId
from hurnet_stream.core.native import disabled, library
from hurnet_stream.core.search import block, blocks, spans
from hurnet_stream.core.search import device as device_scan
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.search.device import Device
from hurnet_stream.core.stored.batch import Entry, Vectors

pytestmark = pytest.mark.usefixtures("exact_int8")

BLOCK, CHUNK, DIMENSION = 32, 256, 16
Held = dict[EntryId, tuple[Entry, Vectors]]


DEVICE: Device | None = None


@pytest.fixture(params=["kernels", "portable", "device"], autouse=True)
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks and chunks so small that they are given up all the time, searched with the kernels, without them
    and on a device."""
    if request.param == "kernels" and library() is None:
        pytest.skip("no kernels were built")
    if request.param == "device":
        monkeypatch.setattr(sys.modules[__name__], "DEVICE", Device(torch.device("cpu"), pytest.fail))
    for module in (block, blocks, scan, tidying, device_scan):
        monkeypatch.setattr(module, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(device_scan, "CHUNK_ROWS", 2 * BLOCK)
    for module in (blocks, spans):
        monkeypatch.setattr(module, "SPAN", 8)
    monkeypatch.setattr(teaching, "MANY", 4)
    monkeypatch.setattr(arena, "FIRST_CHUNK", CHUNK // 4)
    monkeypatch.setattr(arena, "LARGEST_CHUNK", CHUNK)
    with disabled() if request.param == "portable" else nullcontext():
        yield


def empty() -> ContextIndex:
    return ContextIndex(DIMENSION, device=DEVICE)


def entries(random: Random, offsets: range) -> list[Entry]:
    """Some share an answer, some have none and share a text, some have metadata, and some words are empty."""
    answers = [None, None, "", *(f"answer {i}" for i in range(8)), *(f"rare {i}" for i in range(300))]
    return [
        Entry(
            offset,
            random.randint(0, 9),
            "c",
            random.choice(["", "text", f"text {offset}", "a longer text " * random.randint(1, 9)]),
            random.choice(answers),
            {"key": f"value {offset}"} if not random.randint(0, 5) else {},
            random.choice([1, 1, 1, 7]),
        )
        for offset in offsets
    ]


def vectors_of(random: Random, n: int) -> Vectors:
    return snap(np.random.default_rng(random.getrandbits(32)).integers(-4, 5, (n, DIMENSION)) + 0.5)


def appended(index: ContextIndex, held: Held, partition: int, new: list[Entry], vectors: Vectors) -> None:
    index.append(partition, new, vectors)
    held |= {(partition, entry.offset): (entry, vector) for entry, vector in zip(new, vectors, strict=True)}


def fresh(held: Held) -> ContextIndex:
    """An index that has never held anything else."""
    index = empty()
    for partition in {partition for partition, _ in held}:
        mine = [row for place, row in held.items() if place[0] == partition]
        index.append(partition, [entry for entry, _ in mine], np.stack([vector for _, vector in mine]))
    return index


def found(
    index: ContextIndex, queries: Vectors, predictions: NDArray[np.float64], own: list[EntryId | None]
) -> list[Any]:
    return [
        [
            (index.entry_id(row), cosine, round(weight, 9))
            for row, cosine, weight in zip(
                matches.rows.tolist(),
                matches.cosines.tolist(),
                index.predicted(prediction, matches.rows, out).tolist(),
                strict=True,
            )
        ]
        for matches, prediction, out in zip(index.search(queries, 40, own), predictions, own, strict=True)
    ]


def check_like_fresh(index: ContextIndex, held: Held, random: Random) -> None:
    assert len(index) == len(held)
    new = fresh(held)
    queries = vectors_of(random, 3)
    predictions = np.random.default_rng(random.getrandbits(32)).normal(size=(3, DIMENSION))
    own = random.sample([None, *held], min(3, len(held) + 1)) + [None] * 3
    assert found(index, queries, predictions, own[:3]) == found(new, queries, predictions, own[:3])
    for place, (entry, vector) in held.items():
        row = index.find(place)
        assert row is not None
        assert index.entry(row) == entry
        assert index.entry_id(row) == place
        at = np.array([row])
        assert (index.vectors(at) == vector).all()
        answer = entry.text if entry.answer is None else entry.answer
        assert index.answers[index.answer_ids(at)[0]] == answer
    rows = np.array([index.find(place) for place in held], dtype=np.int64)
    assert len(set(index.answer_ids(rows).tolist())) == len(answers_of(held))
    assert {*index.answers, ""} == {*answers_of(held), ""}


def answers_of(held: Held) -> set[str]:
    return {entry.text if entry.answer is None else entry.answer for entry, _ in held.values()}


def check_little_is_left_over(index: ContextIndex) -> None:
    """At most a quarter of what is held is of removed entries, or a block and a chunk."""
    held = index._blocks
    assert held.rows - len(index) < max(BLOCK, held.rows // 4)
    assert sum(len(each.vectors) for each in held.blocks) < held.rows + BLOCK
    texts = index._arena
    assert sum(texts._erased) < max(CHUNK, sum(texts._used) // 4) + CHUNK


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 70), st.floats(0, 1)), min_size=1, max_size=8),
    st.integers(0, 2**32),
)
def test_whatever_is_appended_and_removed_the_rest_is_as_if_it_had_been_alone(
    steps: list[tuple[int, int, float]], seed: int
) -> None:
    index, random, ends, most = empty(), Random(seed), [0, 5, 0], 0
    held: Held = {}
    for partition, n, share in steps:
        new = entries(random, range(ends[partition], ends[partition] + n))
        ends[partition] += n
        appended(index, held, partition, new, vectors_of(random, n))
        most = max(most, len(answers_of(held)))
        assert len(index.answers) == most
        for gone in random.sample(list(held), int(share * len(held))):
            assert index.remove(*gone)
            assert not index.remove(*gone)
            del held[gone]
            check_little_is_left_over(index)
        check_like_fresh(index, held, random)


@pytest.mark.parametrize("order", ["first to last", "last to first", "every third", "any"])
def test_no_removal_moves_more_than_one_block_or_chunk(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in rows and bytes written again, for each call; and all together in proportion."""
    random, n = Random(order), 40 * BLOCK
    index, held, rows, sizes = empty(), dict[EntryId, Any](), [0], [0]
    appended(index, held, 0, entries(random, range(n)), vectors_of(random, n))
    write, put, before = block.Block.append, arena.Arena.put_all, sum(index._arena._used)

    def written(into: block.Block, vectors: Vectors, columns: block.RowColumns) -> None:
        rows[-1] += len(vectors)
        write(into, vectors, columns)

    def put_all(texts: arena.Arena, data: bytes, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        sizes[-1] += len(data)
        return put(texts, data, starts)

    monkeypatch.setattr(block.Block, "append", written)
    monkeypatch.setattr(arena.Arena, "put_all", put_all)
    orders = {
        "first to last": list(range(n)),
        "last to first": list(range(n))[::-1],
        "every third": sorted(range(n), key=lambda i: i % 3),
        "any": random.sample(range(n), n),
    }
    for gone in orders[order]:
        rows.append(0)
        sizes.append(0)
        assert index.remove(0, gone)
    assert max(rows) <= BLOCK * 4 // 5
    assert sum(rows) <= 4 * n
    assert max(sizes) <= CHUNK
    assert sum(sizes) <= 4 * before
    assert sum(index._arena._used) == sum(index._arena._erased)
    if order in ("every third", "any"):
        assert max(rows) > 0
        assert max(sizes) > 0
