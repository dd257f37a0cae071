"""The lexical part of an index: an inverted index over all its rows, scored by BM25 (`bm25`).

    vocabulary   the terms by number, and how many rows hold each
    postings     by block: which rows hold which terms, how often

    rows 0 "the lamp is on"   1 "the lamp"   2 "tea"        "a lamp, please"   ->   row 1: 0.049, row 0: 0.036

What a search finds depends on the set of entries alone: in which rows they stand, in which runs their
postings lie and which numbers their terms have is not seen from outside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.held import array_bytes
from hurnet_stream.core.lexical import bm25
from hurnet_stream.core.lexical.alphabet import distinct_records
from hurnet_stream.core.lexical.block_postings import BlockPostings
from hurnet_stream.core.lexical.question import Question, question
from hurnet_stream.core.lexical.run import RowsOfBlock, keys_of, slots_of, terms_of, with_slots
from hurnet_stream.core.lexical.terms import Records
from hurnet_stream.core.lexical.vocabulary import Vocabulary
from hurnet_stream.core.native import lexical as kernels
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.search.passing import Passing
from hurnet_stream.core.shelf import DamagedShelf, Shelf, Tree
from hurnet_stream.core.slots import EMPTY

NO_ROW = -1
FEW = 512
"""If no more rows may answer, each is scored. That takes half a millisecond at most."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Figures(NamedTuple):
    """What BM25 takes of all rows together: how many there are, the sum of their lengths in terms, and the
    length that none of them exceeds."""

    entries: int
    total: int
    longest: int


class Lexicon:
    """The terms of the rows of `blocks`, for one thread at a time."""

    def __init__(self, blocks: Blocks, shelf: Shelf | None = None) -> None:
        self._blocks = blocks
        self._shelf = shelf
        self._vocabulary = Vocabulary()
        self._postings: dict[int, BlockPostings] = {}  # by block
        self._entries = 0
        self._total = 0  # the sum of all lengths
        self._longest = 0  # no row that is held is longer
        self._table: Integers | None = None
        self._asked: tuple[str, Question] | None = None  # the last question, if no entry came or went since

    @property
    def nbytes(self) -> int:
        """The bytes of the terms and of the postings."""
        runs = (run for postings in self._postings.values() for run in postings.runs)
        return array_bytes(self._vocabulary, *runs)

    def saved(self) -> Tree:
        """What `restore` needs."""
        postings = {
            str(number): postings.saved(self._shelf, self._is_full(number))
            for number, postings in self._postings.items()
        }
        counts = {"entries": self._entries, "total": self._total, "longest": self._longest}
        return {**counts, "postings": postings, "vocabulary": self._vocabulary.saved()}

    def write_ahead(self, number: int) -> bool:
        """Write the postings of a block, if it is full and they have changed; False if not."""
        postings = self._postings.get(number)
        if postings is None or postings.has_file or not self._is_full(number):
            return False
        return "file" in postings.saved(self._shelf, is_full=True)

    def _is_full(self, number: int) -> bool:
        blocks = self._blocks.blocks
        return number < len(blocks) and 0 < blocks[number].used == len(blocks[number].vectors)

    def restore(self, tree: Tree) -> None:
        """Be what was saved, over blocks that were, too. Raises DamagedShelf."""
        if self._shelf is None:
            raise DamagedShelf("there is no shelf")
        self._entries, self._total, self._longest = tree["entries"], tree["total"], tree["longest"]
        self._vocabulary.restore(tree["vocabulary"])
        for number, saved in tree["postings"].items():
            self._postings_of(int(number)).restore(saved, self._shelf)

    def append(self, rows: Integers, texts: bytes, starts: Integers) -> None:
        """Take in the texts of rows (n,) that are new. They begin in `texts`, which is UTF-8, at `starts`
        (n + 1,)."""
        numbers, of_text, lengths = self._vocabulary.numbered(texts, starts)
        block_of, slots = np.divmod(rows, self._blocks.block_rows)
        for block in np.unique(block_of).tolist():
            inside = block_of == block
            of_block = inside[of_text]
            keys = keys_of(numbers[of_block], slots[of_text[of_block]])
            self._vocabulary.hold(terms_of(keys))
            self._postings_of(block).add(keys, slots[inside], lengths[inside])
        self._entries += len(rows)
        self._total += int(lengths.sum())
        self._longest = max(self._longest, int(lengths.max(initial=0)))
        self._table = self._asked = None

    def remove(self, row: int, text: str) -> None:
        """A row with this text is removed: its postings go, and so do terms that no other row holds."""
        block, slot = divmod(row, self._blocks.block_rows)
        distinct = self._vocabulary.find(distinct_records(text))
        self._total -= self._postings[block].remove(slot, distinct)
        self._vocabulary.release(distinct)
        self._entries -= 1
        self._asked = None

    def moved(self, first: int, old: Integers, new: Integers) -> None:
        """A block is given up of which `first` is the first row. Its rows that were `old` (n,), which
        ascend, are now `new` (n,); the others have been removed."""
        leaving = self._postings.pop(first // self._blocks.block_rows)
        keys, lengths = leaving.keys(), leaving.rows.lengths[old - first].astype(np.int64)
        places = np.searchsorted(old - first, slots_of(keys))  # which of the n each posting is of
        block_of, slots = np.divmod(new, self._blocks.block_rows)
        for block in np.unique(block_of).tolist():
            inside = block_of == block
            of_block = inside[places]
            moved = with_slots(keys[of_block], slots[places[of_block]])
            self._postings_of(block).add(np.sort(moved), slots[inside], lengths[inside])
        self._table = None

    def search(
        self, text: str, k: int, exclude: int | None = None, within: Passing | None = None
    ) -> tuple[Integers, Floats]:
        """The k rows with the highest scores, best first, and their scores: what they share with `text` by
        BM25, divided by the most that it could be. Ties go to the lowest (partition, offset).

        Rows that score nothing are left out, and so is the row `exclude`, and all that are not `within`. How
        rare a term is stays a figure of all rows.
        """
        asked = self._question(text)
        rows, scores = self.best(asked, k, exclude, within)
        return rows, asked.shares(scores)

    def scores(self, text: str, rows: Integers) -> Floats:
        """The score (n,) of each of these rows (n,), as in `search`; 0 if they share nothing with `text`."""
        asked = self._question(text)
        return asked.shares(self.scored(asked, rows))

    @property
    def figures(self) -> Figures:
        """What BM25 takes of all rows together."""
        return Figures(self._entries, self._total, self._longest)

    def holding(self, terms: Records) -> Integers:
        """How many rows hold each of these terms (n, 4)."""
        return self._vocabulary.holding(self._vocabulary.find(terms))

    def asked(self, terms: Records, most: Integers, damping: Floats) -> Question:
        """The question for these terms (t, 4), rarest first, if these rows are part of something larger:
        `most` (t,) is what each can add there, and `damping` is the whole's."""
        numbers = self._vocabulary.find(terms)
        held = numbers != EMPTY
        return Question(numbers[held], most[held], 0, damping)

    def best(
        self, asked: Question, k: int, exclude: int | None = None, within: Passing | None = None
    ) -> tuple[Integers, Integers]:
        """The k best rows (n,), as in `search`, and their scores (n,) on the grid of `bm25`."""
        k, except_row = min(k, self._entries), NO_ROW if exclude is None else exclude
        if k < 1 or not len(asked.numbers):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if within and within.count <= FEW:
            return self._best_of(asked, k, within.rows[within.rows != except_row])
        if kernels.available():
            return kernels.search(self._runs(), asked, k, except_row, within.bits if within else None)
        return self._best(asked, k, except_row, within)

    def scored(self, asked: Question, rows: Integers) -> Integers:
        """The score (n,) of each of these rows (n,) on the grid of `bm25`."""
        if kernels.available():
            return kernels.scores(self._runs(), asked, rows)
        scores = np.zeros(len(rows), np.int64)
        block_of, slots = np.divmod(rows, self._blocks.block_rows)
        for block in np.unique(block_of).tolist():
            inside = block_of == block
            scores[inside] = self._postings[block].scores(asked)[slots[inside]]
        return scores

    def _best_of(self, asked: Question, k: int, rows: Integers) -> tuple[Integers, Integers]:
        """The k best of these rows (n,) that score anything, and their scores."""
        scores = self.scored(asked, rows)
        rows, scores = rows[scores > 0], scores[scores > 0]
        offsets, partitions = self._blocks.columns(rows, "offsets", "partitions")
        best = np.lexsort((offsets, partitions, -scores))[:k]
        return rows[best], scores[best]

    def _best(
        self, asked: Question, k: int, except_row: int, within: Passing | None
    ) -> tuple[Integers, Integers]:
        """What the kernel finds, in numpy."""
        rows, scores = np.empty(0, np.int64), np.empty(0, np.int64)
        for postings in self._postings.values():
            of_slots = postings.scores(asked)
            if within:
                first = postings.rows.first
                of_slots[~within.mask[first : first + len(of_slots)]] = 0
            found = np.flatnonzero(of_slots)
            found = found[found != except_row - postings.rows.first]
            rows = np.concatenate([rows, found + postings.rows.first])
            scores = np.concatenate([scores, of_slots[found]])
            if len(scores) > k:  # all that equal the k-th stay: the lowest entry ids of them win
                reach = scores >= np.partition(scores, -k)[-k]
                rows, scores = rows[reach], scores[reach]
        offsets, partitions = (self._blocks.column(name, rows) for name in ("offsets", "partitions"))
        best = np.lexsort((offsets, partitions, -scores))[:k]
        return rows[best], scores[best]

    def _question(self, text: str) -> Question:
        """Kept until another is asked or the entries change: a question is asked for its best rows, then for
        the scores of others."""
        if self._asked is None or self._asked[0] != text:
            self._asked = text, self._read(text)
        return self._asked[1]

    def _read(self, text: str) -> Question:
        return question(text, self._vocabulary, self._entries, bm25.damping(*self.figures))

    def _postings_of(self, block: int) -> BlockPostings:
        """The postings of a block, none if it is new."""
        if block not in self._postings:
            columns, size = self._blocks.blocks[block].columns, self._blocks.block_rows
            rows = RowsOfBlock(np.zeros(size, np.uint16), columns, block * size)
            self._postings[block] = BlockPostings(rows)
        return self._postings[block]

    def _runs(self) -> Integers:
        """The structs (r, 13) of all runs."""
        if self._table is None:
            structs = [run.struct for postings in self._postings.values() for run in postings.runs]
            self._table = np.stack(structs) if structs else np.empty((0, 13), np.int64)
        return self._table
