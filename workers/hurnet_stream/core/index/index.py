"""The entries of one context in memory: the exact similarity search over them (equations 2 and 5), and what
the weights predict for what it finds.

    blocks      every row: its vector, the planes that a search reads first, and numbers (search/blocks)
    arena       the bytes of texts, metadata and answers
    teaching    the answers by number, and which rows teach each
    lexicon     which rows hold which words (lexical/lexicon)
    attributes  which rows have which metadata

An entry is a row of the blocks whose columns say where its text stands in the arena and which answer it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import check_grid, zero_rows
from hurnet_stream.core.index.answer_table import AnswerTable
from hurnet_stream.core.index.arena import Arena
from hurnet_stream.core.index.attributes import Attributes
from hurnet_stream.core.index.conditions import Condition
from hurnet_stream.core.index.readable import Described, Matches
from hurnet_stream.core.index.sampling import lowest_pairs
from hurnet_stream.core.index.teaching import Teaching
from hurnet_stream.core.index.tidying import tidy
from hurnet_stream.core.lexical.lexicon import Lexicon
from hurnet_stream.core.native import local_solve as kernels
from hurnet_stream.core.search import search as scan
from hurnet_stream.core.search.block import REMOVED, RowColumns
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.search.bounds import MAX_DIMENSION
from hurnet_stream.core.search.passing import Passing
from hurnet_stream.core.shelf import DamagedShelf, Shelf, Tree
from hurnet_stream.core.solve.window import NOTHING_AGES, Window
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import Entries, Entry, EntryId

if TYPE_CHECKING:
    from hurnet_stream.core.search.device import Device

__all__ = ["ContextIndex", "Described", "EntryId", "Matches"]

Integers = NDArray[np.int64]


class ContextIndex:
    """The rows of one named context, in the order in which they were appended.

    An index is for one thread at a time; a search may use several inside. Row numbers hold until the next
    removal, which may move rows. An entry without an answer is its own answer, but teaches nothing. A search
    over many rows shares them among `threads`, or is done on `device`. With a `shelf` vectors and texts lie
    there, and the index can be saved. Whatever reads them may raise DamagedShelf, and the index is not to be
    used any more then.

    Raises ValueError for a dimension beyond MAX_DIMENSION.
    """

    def __init__(
        self,
        dimension: int,
        window: Window = NOTHING_AGES,
        threads: int = 1,
        device: Device | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        if not 1 <= dimension <= MAX_DIMENSION:
            raise ValueError(f"an index has 1 to {MAX_DIMENSION} dimensions, not {dimension}")
        self.dimension = dimension
        self._threads = threads
        self._context = ""  # none before the first entry
        self._arena = Arena(shelf)
        self._blocks = Blocks(self.dimension, device, shelf)
        self._teaching = Teaching(self._blocks, self._arena, window)
        self._lexicon = Lexicon(self._blocks, shelf)
        self._attributes = Attributes(self._arena)

    def __len__(self) -> int:
        return self._blocks.rows - self._blocks.removed

    @property
    def nbytes(self) -> int:
        """The bytes of memory that it takes, but for what Python's own objects add."""
        parts = self._arena, self._blocks, self._teaching, self._lexicon, self._attributes
        return sum(part.nbytes for part in parts)

    def saved(self) -> Tree:
        """What `restore` needs. What is large has been written to the shelf then, and only what has changed
        since the index was last saved. Another thread may search meanwhile: nothing that it reads moves."""
        return {
            "context": self._context,
            "dimension": self.dimension,
            "native": self._blocks.native,
            "blocks": self._blocks.saved(),
            "arena": self._arena.saved(),
            "teaching": self._teaching.saved(),
            "lexicon": self._lexicon.saved(),
            "attributes": self._attributes.saved(),
        }

    def write_ahead(self) -> Iterator[int]:
        """Write parts of what `saved` would write, one file of a full block at each step."""
        for number in range(len(self._blocks.blocks)):
            while self._blocks.write_ahead(number):
                yield number
            if self._lexicon.write_ahead(number):
                yield number

    def restore(self, tree: Tree) -> None:
        """Be what was saved, of the same shelf; the index is empty. Raises DamagedShelf."""
        if (tree["dimension"], tree["native"]) != (self.dimension, self._blocks.native):
            raise DamagedShelf("it was saved of other dimensions, or with kernels that are not here")
        self._context = tree["context"]
        self._blocks.restore(tree["blocks"])
        self._arena.restore(tree["arena"])
        self._teaching.restore(tree["teaching"])
        self._lexicon.restore(tree["lexicon"])
        self._attributes.restore(tree["attributes"])

    def settle(self) -> bool:
        """After `restore`, take a little more into memory of its own, which makes searches faster; False if
        there is no more."""
        return self._blocks.settle()

    def check(self) -> None:
        """Read all that lies in files and is checked only when it is used otherwise. Raises DamagedShelf."""
        self._blocks.check()

    @property
    def answers(self) -> AnswerTable:
        """All answers, by their numbers."""
        return self._teaching.answers

    @property
    def lexicon(self) -> Lexicon:
        """Which rows hold which words."""
        return self._lexicon

    @property
    def teaching(self) -> Teaching:
        """Which rows teach which answers."""
        return self._teaching

    @property
    def longest_squared(self) -> int:
        """No row has a larger |x|²."""
        return self._blocks.longest

    def holds(self, rows: Integers) -> bool:
        """Whether all of these numbers (n,) are rows that are held."""
        return self._blocks.holds(rows)

    def norms(self, rows: Integers) -> Integers:
        """|x|² of each row (n,)."""
        return self._blocks.gather(attrgetter("norms"), rows)

    def entry(self, row: int) -> Entry:
        """The entry at `row`. Raises KeyError if it has been removed."""
        columns, slot = self._blocks.locate(row)
        address, length = self._address(row)
        return Entry(
            columns.offsets.item(slot),
            columns.timestamps_ms.item(slot),
            self._context,
            self._arena.get(address, length).decode(),
            self.answers[columns.answers.item(slot)] if columns.has_answer(slot) else None,
            self._arena.metadata(address, length),
            columns.copies.item(slot),
        )

    def text(self, row: int) -> str:
        """The text of the entry at `row`. Raises KeyError if it has been removed."""
        return self._arena.get(*self._address(row)).decode()

    def _address(self, row: int) -> tuple[int, int]:
        """Where the text of a row stands in the arena, and its length there."""
        columns, slot = self._blocks.locate(row)
        if columns.texts[slot] == REMOVED:
            raise KeyError(row)
        return columns.texts.item(slot), columns.lengths.item(slot)

    def entry_id(self, row: int) -> EntryId:
        """The partition and offset of the entry at `row`."""
        columns, slot = self._blocks.locate(row)
        return columns.partitions.item(slot), columns.offsets.item(slot)

    def find(self, entry_id: EntryId) -> int | None:
        """The row of the entry with this id; None if there is none."""
        return self._blocks.find(*entry_id)

    def find_all(self, partition: int, offsets: Integers) -> Integers:
        """The rows of a partition's entries at these offsets (n,), given in ascending order. Entries
        that are not held are left out; the rows are in no order."""
        return self._blocks.find_all(partition, offsets)

    def partitions(self, rows: Integers) -> Integers:
        """The partition of each row (n,)."""
        return self._blocks.column("partitions", rows)

    def offsets(self, rows: Integers) -> Integers:
        """The offset of each row (n,)."""
        return self._blocks.column("offsets", rows)

    def answer_ids(self, rows: Integers) -> Integers:
        """The answer of each row (n,), as an index into `answers`."""
        return self._blocks.column("answers", rows)

    def columns(self, rows: Integers, *names: str) -> list[NDArray[Any]]:
        """Some columns of `RowColumns` for these rows (n,), each (n,)."""
        return self._blocks.columns(rows, *names)

    def taught(self, answers: Integers, exclude: EntryId | None = None) -> Integers:
        """How many pairs teach each of these answers (n,), copies counted, without the entry that `exclude`
        names."""
        row = None if exclude is None else self.find(exclude)
        return self._teaching.taught(answers, row)

    def lowest_pairs(self, most: int) -> Integers:
        """At most this many rows (n,) that teach an answer: those with the lowest hashes of their (partition,
        offset), divided by their copies. Which they are depends on what is held, not on how it came."""
        return lowest_pairs(self._blocks, most)

    def counts(self, rows: Integers) -> NDArray[np.float64] | None:
        """What each row (n,) counts: its copies, halved for each half-life that it is older than the newest
        of these rows. Negative for a row that refutes its answer. None if every row of the index counts
        once."""
        sums = self._teaching.sums
        if not (sums.any_copies or sums.window.half_life_ms):
            return None
        timestamps_ms, copies = self._blocks.columns(rows, "timestamps_ms", "copies")
        counts: NDArray[np.float64] = sums.window.recency(timestamps_ms) * copies
        return counts

    def described(self, rows: Integers) -> Described:
        """What decides of each row (n,) whether and where it counts."""
        offsets, partitions, answers, copies = self._blocks.columns(
            rows, "offsets", "partitions", "answers", "copies"
        )
        return Described(offsets, partitions, answers, copies > 0)

    def texts(self, rows: Integers) -> list[str]:
        """The text of each row (n,). Raises KeyError if one has been removed."""
        addresses, lengths = self._blocks.columns(rows, "texts", "lengths")
        if (addresses == REMOVED).any():
            raise KeyError(rows[addresses == REMOVED].item(0))
        pieces = map(self._arena.get, addresses.tolist(), lengths.tolist())
        return [piece.decode() for piece in pieces]

    def metadata(self, rows: Integers) -> list[dict[str, str]]:
        """The metadata of each row (n,), none of which has been removed."""
        addresses, lengths = self._blocks.columns(rows, "texts", "lengths")
        if not (lengths < 0).any():
            return [{} for _ in rows]
        return list(map(self._arena.metadata, addresses.tolist(), lengths.tolist()))

    def text_bytes(self, rows: Integers) -> Integers:
        """The bytes of the text of each row (n,), with its metadata."""
        addresses, lengths = self._blocks.columns(rows, "texts", "lengths")
        return self._arena.sizes(addresses, lengths)

    def vectors(self, rows: Integers) -> Vectors:
        """The grid rows (n, d) of these rows (n,)."""
        return self._blocks.vectors(rows)

    def addresses(self, rows: Integers) -> Integers | None:
        """Where the vectors of these rows (n,) stand in memory (n,), until rows are next removed. None if
        there are no kernels to give them to, or a vector is so long that these could not sum its
        products."""
        usable = self._blocks.native and kernels.available() and self._blocks.longest < kernels.MOST_SQUARED
        return self._blocks.addresses(rows) if usable else None

    def age_to(self, window: Window) -> None:
        """From now on rows count in the predictions as `window` says. Its half-life must be the same."""
        self._teaching.age_to(window)

    def append(self, partition: int, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add entries of one partition, all of one context, with their grid rows (n, d).

        Raises ValueError for vectors that do not fit, leave the grid or are all zeros, and for entries of
        another context; the index is then as it was.
        """
        if vectors.dtype != np.int16 or vectors.shape != (len(entries), self.dimension):
            raise ValueError(f"{len(entries)} entries of {self.dimension} int16 do not fit {vectors.shape}")
        # Rows are checked here, and nowhere below.
        check_grid(vectors)
        if zero_rows(vectors).any():
            raise ValueError("a vector of zeros has no cosine")
        if len(entries):
            self._add(partition, Entries.of(entries), vectors)

    def _add(self, partition: int, entries: Entries, vectors: Vectors) -> None:
        if {*entries.contexts, self._context or entries.contexts[0]} != {entries.contexts[0]}:
            raise ValueError(
                f"an index of context {self._context!r} can't take entries of {entries.contexts}"
            )
        self._context = entries.contexts[0]
        addresses = self._arena.put_texts(entries)
        answers = self._teaching.number(entries, addresses.texts)
        columns = RowColumns(
            np.full(len(entries), partition),
            entries.offsets,
            entries.timestamps_ms,
            entries.copies,
            answers,
            entries.teaches,
            *addresses,
        )
        self._teaching.sums.any_copies |= bool((entries.copies != 1).any())
        rows = self._blocks.append(vectors, columns)
        self._teaching.appended(rows, answers, entries.teaches)
        self._lexicon.append(rows, entries.texts, entries.starts)
        self._attributes.append(rows, entries.metadata)

    def remove(self, partition: int, offset: int) -> bool:
        """Remove the entry of this partition and offset; False if there is none.

        From then on it matches and teaches nothing. Its text and metadata are overwritten, and so is its
        answer if no other entry has it. A removal also tidies up (`tidying`), which may give rows other
        numbers.
        """
        row = self._blocks.find(partition, offset)
        if row is not None:
            self._remove_row(row)
            self._tidy()
        return row is not None

    def remove_all(self, partition: int, offsets: Integers) -> None:
        """Remove the entries of this partition that are at one of these offsets (n,)."""
        rows = self.find_all(partition, np.unique(offsets))
        for row in rows.tolist():  # tidying renumbers rows, so it waits until all are removed
            self._remove_row(row)
        for _ in rows:
            if not self._tidy():
                break

    def _remove_row(self, row: int) -> None:
        address = self._address(row)
        self._lexicon.remove(row, self.text(row))
        self._attributes.remove(row, self._arena.metadata(*address))
        self._teaching.removed(row)
        self._blocks.remove(row)
        self._arena.erase(*address)

    def _tidy(self) -> bool:
        return tidy(self._blocks, self._teaching, self._lexicon, self._attributes, self._arena)

    def passing(self, condition: Condition) -> Passing:
        """The rows whose metadata meets the condition. Good until something is next appended or removed.

        Raises TooCostly, a ValueError, for one that takes too long to tell."""
        rows = self._attributes.rows_where(condition).to_array()
        return Passing(np.frombuffer(rows, np.uint32).astype(np.int64), self._blocks.end, condition)

    def lacking(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that no entry has in its metadata."""
        return [key for key in keys if not self._attributes.has_key(key)]

    def search(
        self,
        queries: Vectors,
        k: int,
        exclude: Sequence[EntryId | None] | None = None,
        without: Integers | None = None,
        within: Sequence[Passing | None] | None = None,
    ) -> list[Matches]:
        """The k nearest rows of each query (n, d) by exact cosine, ties to the lowest (partition, offset).

        `exclude` names an entry per query that must not answer it, `without` (n,) the answers of which no
        entry must, and `within` per query the only rows that may. A query of zeros matches nothing. Raises
        ValueError for queries that do not fit or leave the grid.
        """
        if queries.dtype != np.int16 or queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ValueError(
                f"queries must be int16 (n, {self.dimension}), not {queries.dtype} {queries.shape}"
            )
        # Queries are checked here, and not in the search and its kernels.
        check_grid(queries)
        excluded = exclude or [None] * len(queries)
        skipped = None
        if without is not None:
            skipped = np.zeros(len(self.answers), np.bool_)
            skipped[without] = True
        scope = scan.Scope(excluded, skipped, within)
        nearest = scan.search(self._blocks, queries, k, scope, self._threads)
        return [Matches(rows, cosines) for rows, cosines in nearest]

    def lexical_search(
        self, text: str, k: int, exclude: EntryId | None = None, within: Passing | None = None
    ) -> tuple[Integers, NDArray[np.float64]]:
        """The k rows that share most with a text by BM25 over all entries (`lexical/bm25`), best first, and
        their scores (n,), divided by the most that the text could score: in [0, 1].

        Ties go to the lowest (partition, offset). Rows that share nothing are left out. `exclude` names an
        entry that must not answer, and `within` the only rows that may.
        """
        return self._lexicon.search(text, k, None if exclude is None else self.find(exclude), within)

    def lexical_scores(self, text: str, rows: Integers) -> NDArray[np.float64]:
        """The score (n,) of these rows (n,) as in `lexical_search`: 0 if they share nothing with the text."""
        return self._lexicon.scores(text, rows)

    def predicted(
        self, prediction: NDArray[np.float64], rows: Integers, exclude: EntryId | None = None
    ) -> NDArray[np.float64]:
        """⟨Px, B_a⟩ for the answer a of each row (n,): equation 3 for one-hot answers, B_a being the sum of
        the rows that teach a, without the entry that `exclude` names. `prediction` (d,) is
        `weights.predict` of the query."""
        own = None if exclude is None else self.find(exclude)
        return self._teaching.predicted(prediction, self.answer_ids(rows), own)
