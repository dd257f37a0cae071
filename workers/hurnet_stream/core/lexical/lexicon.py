"""The lexical part of an index: an inverted index over all its rows, scored by BM25 (`bm25`).

    vocabulary   the terms by number, and how many rows hold each
    runs         by block: the postings of its rows, run behind run

Every append makes a run of its own, and neighbouring runs of similar size become one, so that a block has
few:

    rows of the runs of a block     1000 | 200 | 40 | 30      40 and 30 become 70
                                    1000 | 200 | 70
    sealed                          16384

A search reads one run after another. What it finds depends on the set of entries alone: on which rows they
stand, in which runs their postings lie and which numbers their terms have is not seen from outside.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.lexical import bm25
from hurnet_stream.core.lexical.question import Question, question
from hurnet_stream.core.lexical.run import TERM_SHIFT, Run, keys_of
from hurnet_stream.core.lexical.scoring import add_up
from hurnet_stream.core.lexical.terms import records, terms
from hurnet_stream.core.lexical.vocabulary import Vocabulary
from hurnet_stream.core.search.blocks import Blocks

_MOST_LENGTH = 2**16 - 1

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Lexicon:
    """The terms of the rows of `blocks`, for one thread at a time."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._vocabulary = Vocabulary()
        self._runs: list[list[Run]] = []  # by block
        self._lengths: list[NDArray[np.uint16]] = []  # by block: the terms of each row (block_rows,)
        self._entries = 0
        self._total = 0  # the sum of all lengths
        self._longest = 0  # no row that is held is longer

    def append(self, rows: Integers, texts: list[str]) -> None:
        """Take in the texts of rows (n,) that are new. Rows of one block must ascend."""
        numbers, of_row, lengths = self._numbered(texts)
        for number, slots, places in self._by_block(rows):
            inside = np.isin(of_row, places)
            keys = keys_of(numbers[inside], slots[np.searchsorted(places, of_row[inside])])
            self._vocabulary.hold(keys >> TERM_SHIFT)
            self._lengths_of(number)[slots] = lengths[places]
            self._add_run(number, keys, slots)
        self._entries += len(rows)
        self._total += int(lengths.sum())
        self._longest = max(self._longest, int(lengths.max(initial=0)))

    def remove(self, row: int, text: str) -> None:
        """A row with this text is removed: its postings go, and so do terms that no other row holds."""
        number, slot = divmod(row, self._blocks.block_rows)
        distinct = self._vocabulary.find(records(list(dict.fromkeys(terms(text)))))
        run = next(run for run in self._runs[number] if slot < run.end)
        for term in distinct.tolist():
            run.remove(term, slot)
        self._vocabulary.release(distinct)
        self._entries -= 1
        self._total -= int(self._lengths[number][slot])
        self._lengths[number][slot] = 0

    def moved(self, first: int, old: Integers, new: Integers) -> None:
        """A block is given up of which `first` is the first row. Its rows that were `old` (n,), which
        ascend, are now `new` (n,); the others have been removed."""
        number, size = first // self._blocks.block_rows, self._blocks.block_rows
        keys = np.concatenate([np.empty(0, np.int64), *[run.keys() for run in self._runs[number]]])
        lengths = self._lengths[number]
        self._runs[number], self._lengths[number] = [], np.zeros(0, np.uint16)
        place = np.searchsorted(old, (keys >> 8 & (1 << 14) - 1) + first)
        for to, slots, places in self._by_block(new):
            inside = np.isin(place, places)
            kept = keys[inside] & ~(((1 << 14) - 1) << 8) | new[place[inside]] % size << 8
            self._lengths_of(to)[slots] = lengths[old[places] - first]
            self._add_run(to, np.sort(kept), slots)

    def search(self, text: str, k: int, exclude: int | None = None) -> tuple[Integers, Floats]:
        """The k rows with the highest scores, best first, and their scores: what they share with `text` by
        BM25, divided by the most that it could be. Ties go to the lowest (partition, offset).

        Rows that score nothing are left out, and so is the row `exclude`.
        """
        asked = self._question(text)
        rows, scores = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for number in range(len(self._runs)):
            of_block = self._scored(number, asked)
            found = np.flatnonzero(of_block)
            rows.append(found + number * self._blocks.block_rows)
            scores.append(of_block[found])
        return self._best(asked, np.concatenate(rows), np.concatenate(scores), k, exclude)

    def scores(self, text: str, rows: Integers) -> Floats:
        """The score (n,) of each of these rows (n,), as in `search`; 0 if they share nothing with `text`."""
        asked, scores = self._question(text), np.zeros(len(rows), np.int64)
        numbers, slots = np.divmod(rows, self._blocks.block_rows)
        for number in np.unique(numbers).tolist():
            inside = numbers == number
            scores[inside] = self._scored(number, asked)[slots[inside]]
        return _shares(asked, scores)

    def _best(
        self, asked: Question, rows: Integers, scores: Integers, k: int, exclude: int | None
    ) -> tuple[Integers, Floats]:
        wanted = k + (exclude is not None)
        if len(rows) > wanted > 0:
            reach = scores >= np.partition(scores, -wanted)[-wanted]
            rows, scores = rows[reach], scores[reach]
        offsets, partitions = (self._blocks.column(name, rows) for name in ("offsets", "partitions"))
        order = np.lexsort((offsets, partitions, -scores))
        order = order[rows[order] != exclude][:k]
        return rows[order], _shares(asked, scores[order])

    def _question(self, text: str) -> Question:
        damping = bm25.damping(self._entries, self._total, self._longest)
        return question(text, self._vocabulary, self._entries, damping)

    def _scored(self, number: int, asked: Question) -> Integers:
        """The score of each slot (block_rows,) of a block."""
        scores = np.zeros(self._blocks.block_rows, np.int64)
        for run in self._runs[number]:
            add_up(asked, run, self._lengths[number], scores)
        return scores

    def _numbered(self, texts: list[str]) -> tuple[Integers, Integers, Integers]:
        """The number of each term of all texts, the text it stands in, and the length (n,) of each text."""
        terms_of = [terms(text)[:_MOST_LENGTH] for text in texts]
        lengths = np.array([len(own) for own in terms_of], np.int64)
        distinct: dict[bytes, int] = {}
        of = np.array(
            [distinct.setdefault(term, len(distinct)) for own in terms_of for term in own], np.int64
        )
        numbers = self._vocabulary.number(records(list(distinct)))
        return numbers[of], np.repeat(np.arange(len(texts)), lengths), lengths

    def _by_block(self, rows: Integers) -> Iterator[tuple[int, Integers, Integers]]:
        """Each block of these rows (n,), the slots that they have there, and their places among the n."""
        numbers, slots = np.divmod(rows, self._blocks.block_rows)
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            yield number, slots[places], places

    def _lengths_of(self, number: int) -> NDArray[np.uint16]:
        while len(self._lengths) <= number:
            self._lengths.append(np.zeros(0, np.uint16))
            self._runs.append([])
        if not len(self._lengths[number]):
            self._lengths[number] = np.zeros(self._blocks.block_rows, np.uint16)
        return self._lengths[number]

    def _add_run(self, number: int, keys: Integers, slots: Integers) -> None:
        """Put a run behind the others of a block, and join it with those before it that are not twice as
        long."""
        runs, first, end = self._runs[number], int(slots[0]), int(slots[-1]) + 1
        while runs and runs[-1].end - runs[-1].first < 2 * (end - first):
            before = runs.pop()
            first, keys = before.first, np.sort(np.concatenate([before.keys(), keys]), kind="stable")
        runs.append(Run(keys, self._lengths[number], first, end))


def _shares(asked: Question, scores: Integers) -> Floats:
    """Scores (n,) as shares of what the question could score."""
    return scores / max(asked.whole, 1)
