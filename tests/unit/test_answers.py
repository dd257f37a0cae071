"""Texts in an arena, and answers numbered over them, against dictionaries."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.index import answer_table as answers_module
from hurnet_stream.core.index.answer_table import AnswerTable
from hurnet_stream.core.index.arena import FIRST_CHUNK, LARGEST_CHUNK, Arena
from hurnet_stream.core.stored.batch import Entry
from hurnet_stream.core.stored.entries import Entries

few = st.sampled_from(["", "a", "b", "ação", "日本", "a b"])
entries = st.builds(
    Entry,
    offset=st.just(0),
    timestamp_ms=st.just(0),
    context=st.just("c"),
    text=few | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    answer=st.none() | few,
    metadata=st.dictionaries(few, few, max_size=2),
)
many = st.lists(entries, max_size=12)


def test_an_arena_gives_back_what_was_put_and_forgets_what_was_erased() -> None:
    arena = Arena()
    pieces = [bytes([i % 251]) * n for i, n in enumerate([1, 0, FIRST_CHUNK, 5, LARGEST_CHUNK + 1, 7] * 3)]
    addresses = [arena.put(piece) for piece in pieces]
    assert [
        arena.get(address, len(piece)) for address, piece in zip(addresses, pieces, strict=True)
    ] == pieces
    arena.erase(addresses[3], 5)
    assert arena.get(addresses[3], 5) == bytes(5)
    assert arena.get(addresses[2], FIRST_CHUNK) == pieces[2]
    assert arena.get(addresses[5], 7) == pieces[5]


class Reference:
    """The numbering by a dictionary and counts."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.held: Counter[str] = Counter()
        self.free: list[int] = []
        self.given = 0

    def number(self, answer: str) -> int:
        if not self.held[answer]:
            self.given += not self.free
            self.numbers[answer] = self.free.pop() if self.free else self.given - 1
        self.held[answer] += 1
        return self.numbers[answer]

    def release(self, answer: str) -> bool:
        self.held[answer] -= 1
        if not self.held[answer]:
            self.free.append(self.numbers[answer])
        return not self.held[answer]


@pytest.mark.parametrize("hashed", [hash, len, lambda _: -1], ids=["hash", "some collide", "all collide"])
@given(batches=st.lists(many, max_size=6), data=st.data())
def test_answers_are_numbered_as_a_dictionary_would(
    hashed: object, batches: list[list[Entry]], data: st.DataObject
) -> None:
    arena = Arena()
    mine, theirs = AnswerTable(arena), Reference()
    held: list[tuple[int, str, int, int]] = []  # number, answer, address and length of the text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers_module, "hash", hashed, raising=False)
        for listed in batches:
            columns = Entries.of(listed)
            addresses = arena.put_texts(columns)
            numbers = mine.number(columns, addresses.texts).tolist()
            said = [entry.text if entry.answer is None else entry.answer for entry in listed]
            groups = [theirs.number(answer) for answer in said]
            assert len(set(zip(numbers, groups, strict=True))) == len(set(numbers)) == len(set(groups))
            assert [mine[number] for number in numbers] == said
            held += zip(numbers, said, addresses.texts.tolist(), addresses.lengths.tolist(), strict=True)
            for _ in range(data.draw(st.integers(0, len(held)))):
                number, answer, address, length = held.pop(data.draw(st.integers(0, len(held) - 1)))
                assert mine.release(number, address) == theirs.release(answer)
                arena.erase(address, length)
            assert [mine[number] for number, *_ in held] == [answer for _, answer, *_ in held]
    assert len(mine) == theirs.given
    assert sorted(filter(None, mine)) == sorted(filter(None, {answer for _, answer, *_ in held}))
