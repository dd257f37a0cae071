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
from hurnet_stream.core.lexical.run import Postings, RowsOfBlock, Run
from hurnet_stream.core.shelf import FileName, Shelf, Tree

Integers = NDArray[np.int64]


class BlockPostings:
    """The postings of the rows of one block."""

    def __init__(self, rows: RowsOfBlock) -> None:
        self.rows = rows
        self.runs: list[Run] = []
        self._file: FileName | None = None  # that holds what is here now

    @property
    def has_file(self) -> bool:
        """Whether a file holds what is here now."""
        return self._file is not None

    def saved(self, shelf: Shelf | None, is_full: bool) -> Tree:
        """What `restore` needs: the name of a file if the block is full."""
        if not self._file:
            tree = {"lengths": self.rows.lengths, "runs": [run.saved() for run in self.runs]}
            self._file = shelf.write("postings", tree) if shelf and is_full else None
            if not self._file:
                return tree
        return {"file": self._file}

    def restore(self, tree: Tree, shelf: Shelf) -> None:
        """Be what was saved. Raises DamagedShelf."""
        self._file = tree.get("file")
        if self._file:
            tree = shelf.read(self._file)
        self.rows = self.rows._replace(lengths=tree["lengths"])
        for saved in tree["runs"]:
            postings = Postings._make(saved[name] for name in Postings._fields)
            self.runs.append(Run(postings, self.rows, saved["first"], saved["end"]))

    def add(self, keys: Integers, slots: Integers, lengths: Integers) -> None:
        """Take in the postings of rows that are new, by their keys (p,) in order. The rows have these slots
        (n,), which follow those that were there, and so many terms (n,)."""
        self._file = None
        self.rows.lengths[slots] = lengths
        first, end = int(slots[0]), int(slots[-1]) + 1
        while self.runs and self.runs[-1].end - self.runs[-1].first < 2 * (end - first):
            before = self.runs.pop()
            first, keys = before.first, np.sort(np.concatenate([before.keys(), keys]), kind="stable")
        self.runs.append(Run.of_keys(keys, self.rows, first, end))

    def remove(self, slot: int, terms: Integers) -> int:
        """Remove a row that holds these distinct terms (t,); returns its length."""
        self._file = None
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
