"""Entries as columns, against lists of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.stored.batch import MAX_COPIES, Batch, Deletion, Entry, joined
from hurnet_stream.core.stored.entries import Entries

few = st.sampled_from(["", "a", "b", "ação", "日本", "a b"])
text = few | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    Entry,
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
    context=few,
    text=text,
    answer=st.none() | few,
    metadata=st.dictionaries(text, text, max_size=2),
    copies=st.integers(1, MAX_COPIES),
)
many = st.lists(entries, max_size=12)


@given(many, st.data())
def test_columns_are_the_list_that_they_were_made_of(listed: list[Entry], data: st.DataObject) -> None:
    columns = Entries.of(listed)
    assert Entries.of(columns) is columns
    assert len(columns) == len(listed)
    assert list(columns) == listed
    assert [columns[i] for i in range(-len(listed), len(listed))] == listed * 2
    assert [columns.text(i) for i in range(len(listed))] == [entry.text for entry in listed]
    part = data.draw(st.slices(len(listed)))
    assert list(columns[part]) == listed[part]
    rows = data.draw(st.lists(st.integers(0, len(listed) - 1), max_size=20)) if listed else []
    taken = columns.take(np.array(rows, np.int64))
    assert list(taken) == [listed[i] for i in rows]
    assert set(taken.answers) == {listed[i].answer for i in rows} - {None}
    assert set(taken.contexts) == {listed[i].context for i in rows}
    with pytest.raises(IndexError):
        columns[len(listed)]


@given(st.lists(many, min_size=1, max_size=4))
def test_joined_columns_are_the_lists_one_after_the_other(lists: list[list[Entry]]) -> None:
    columns = Entries.joined([Entries.of(listed) for listed in lists])
    assert list(columns) == [entry for listed in lists for entry in listed]
    assert len(set(columns.answers)) == len(columns.answers)
    assert len(set(columns.contexts)) == len(columns.contexts)


@given(many)
def test_each_context_has_its_entries(listed: list[Entry]) -> None:
    for name, mine, rows in Entries.of(listed).by_context():
        assert list(mine) == [entry for entry in listed if entry.context == name]
        assert [listed[i] for i in np.arange(len(listed))[rows]] == list(mine)


@st.composite
def runs(draw: st.DrawFn) -> list[Batch]:
    """Batches of two shards, some without entries, some with a deletion."""
    found: list[Batch] = []
    positions = [-1, -1]
    for _ in range(draw(st.integers(0, 12))):
        partition = draw(st.integers(0, 1))
        rows = draw(st.integers(0, 3))
        first = positions[partition] + 1
        made = [Entry(first + i, 0, "c", f"text {i}", "a", {}) for i in range(rows)]
        positions[partition] += rows + 1
        vectors = np.full((rows, 2), len(found) + 1, np.int16)
        deletion = Deletion(positions[partition], 0) if not rows and draw(st.booleans()) else None
        removed = (first,) if not rows and not deletion else ()
        found.append(Batch(partition, positions[partition], made, vectors, removed, deletion))
    return found


@given(runs())
def test_joined_batches_hold_the_same_in_the_same_order(batches: list[Batch]) -> None:
    fewer = joined(batches)

    def told(some: list[Batch]) -> list[object]:
        return [
            (batch.partition, list(row), entry)
            for batch in some
            for row, entry in zip(batch.vectors, batch.entries, strict=True)
        ]

    assert told(fewer) == told(batches)
    assert [b.deletion for b in fewer if b.deletion] == [b.deletion for b in batches if b.deletion]
    assert sum(b.rows for b in fewer) == sum(b.rows for b in batches)
    assert all(a.partition != b.partition or a.deletion or b.deletion for a, b in pairwise(fewer))
    for partition in (0, 1):
        mine = [[b.watermark for b in some if b.partition == partition] for some in (fewer, batches)]
        assert mine[0][-1:] == mine[1][-1:]


def test_only_some_thousand_rows_are_joined() -> None:
    made = [Entry(i, 0, "c", "text") for i in range(3_000)]
    batches = [Batch(0, 2_999, made, np.ones((3_000, 1), np.int16)) for _ in range(3)]
    assert joined(batches) == batches
