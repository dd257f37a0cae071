"""The postings of one block of rows, in runs.

Every append makes a run of its own, and neighbouring runs of similar size become one, so that a block has
few:

    rows of the runs     1000 | 200 | 40 | 30      40 and 30 become 70
                         1000 | 200 | 70
    of a full block      16384                     or a few, each at least twice as long as the next
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.lexical.bm25 import adds
from hurnet_stream.core.lexical.question import Question
from hurnet_stream.core.lexical.run import RowsOfBlock, Run

Integers = NDArray[np.int64]


class BlockPostings:
    """The postings of the rows of one block."""

    def __init__(self, rows: RowsOfBlock) -> None:
        self.rows = rows
        self.runs: list[Run] = []

    def add(self, keys: Integers, slots: Integers, lengths: Integers) -> None:
        """Take in the postings of rows that are new, by their keys (p,) in order. The rows have these slots
        (n,), which follow those that were there, and so many terms (n,)."""
        self.rows.lengths[slots] = lengths
        first, end = int(slots[0]), int(slots[-1]) + 1
        while self.runs and self.runs[-1].end - self.runs[-1].first < 2 * (end - first):
            before = self.runs.pop()
            first, keys = before.first, np.sort(np.concatenate([before.keys(), keys]), kind="stable")
        self.runs.append(Run(keys, self.rows, first, end))

    def remove(self, slot: int, terms: Integers) -> int:
        """Remove a row that holds these distinct terms (t,); returns its length."""
        length = self.rows.lengths.item(slot)
        next(run for run in self.runs if slot < run.end).remove(terms, slot)
        self.rows.lengths[slot] = 0
        return length

    def keys(self) -> Integers:
        """The keys (p,) of all postings, in no order."""
        return np.concatenate([run.keys() for run in self.runs])

    def scores(self, question: Question) -> Integers:
        """The score of each slot (slots,): in numpy what the kernels (native/postings.c) do, without
        skipping any."""
        scores = np.zeros(len(self.rows.lengths), np.int64)
        for run in self.runs:
            for number, most in zip(question.numbers.tolist(), question.most.tolist(), strict=True):
                held = run.postings(number)
                slots = run.slots[held]
                scores[slots] += adds(most, run.times[held], question.damping[self.rows.lengths[slots]])
        return scores
