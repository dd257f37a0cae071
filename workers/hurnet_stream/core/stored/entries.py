"""Entries, one by one and many at once as columns.

    Entry(3, ..., "faq", "hi", "hello")        offsets      3     7     8
    Entry(7, ..., "faq", "hey", "hello")       texts        "hiheybye",  starts 0 2 5 8
    Entry(8, ..., "faq", "bye", None)          answers      "hello",     answer_of 0 0 -1

Entries are held as columns from the moment they are made or read: what follows works on whole columns, and an
`Entry` is built only when somebody looks at one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

NO_ANSWER: Final = -1
"""Stands in `answer_of` of an entry without an answer."""

EntryId = tuple[int, int]
"""The partition and offset of an entry, which name it for good."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Entry:
    """A validated text of a context. It teaches like `copies` of it, 1 to MAX_COPIES.

    If `copies` are negative it refutes: its answer is wrong for its text, with the strength of so many
    copies. Then it has an answer, and teaches nothing."""

    offset: int
    timestamp_ms: int
    context: str
    text: str
    answer: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    copies: int = 1

    @property
    def refutes(self) -> bool:
        return self.copies < 0


@dataclass(frozen=True, slots=True, eq=False)
class Entries(Sequence[Entry]):
    """n entries as columns, which never change.

    The texts are UTF-8, one behind the other in `texts`; that of entry i goes from `starts[i]` to `starts[i +
    1]`, so `starts` is (n + 1,). `contexts` and `answers` are distinct strings, and `context_of` and
    `answer_of` (n,) say which of them an entry has; NO_ANSWER for an entry without an answer. `metadata` is
    empty if no entry has any.
    """

    offsets: Integers
    timestamps_ms: Integers
    copies: Integers
    contexts: Sequence[str]
    context_of: Integers
    texts: bytes
    starts: Integers
    answers: Sequence[str]
    answer_of: Integers
    metadata: Sequence[Mapping[str, str]]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Entries:
        """The entries as columns. Raises UnicodeEncodeError (a ValueError) for lone surrogates in a text."""
        if isinstance(entries, Entries):
            return entries
        texts = [entry.text.encode() for entry in entries]
        contexts: dict[str, int] = {}
        answers: dict[str | None, int] = {None: NO_ANSWER}
        metadata = [entry.metadata for entry in entries]
        return cls(
            np.array([entry.offset for entry in entries], np.int64),
            np.array([entry.timestamp_ms for entry in entries], np.int64),
            np.array([entry.copies for entry in entries], np.int64),
            context_of=np.array([contexts.setdefault(e.context, len(contexts)) for e in entries], np.int64),
            contexts=list(contexts),
            texts=b"".join(texts),
            starts=starts_of(np.array(list(map(len, texts)), np.int64)),
            answer_of=np.array([answers.setdefault(e.answer, len(answers) - 1) for e in entries], np.int64),
            answers=[answer for answer in answers if answer is not None],
            metadata=metadata if any(metadata) else (),
        )

    @classmethod
    def joined(cls, parts: Sequence[Entries]) -> Entries:
        """The entries of all parts, one part behind the other."""
        contexts, context_of = _together([(part.contexts, part.context_of) for part in parts])
        answers, answer_of = _together([(part.answers, part.answer_of) for part in parts])
        return cls(
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.timestamps_ms for part in parts]),
            np.concatenate([part.copies for part in parts]),
            contexts=contexts,
            context_of=context_of,
            texts=b"".join([part.texts for part in parts]),
            starts=starts_of(np.concatenate([np.diff(part.starts) for part in parts])),
            answers=answers,
            answer_of=answer_of,
            metadata=[m for part in parts for m in part.metadata or [{}] * len(part)]
            if any(part.metadata for part in parts)
            else (),
        )

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def teaches(self) -> NDArray[np.bool_]:
        """Which entries are pairs (n,): they have an answer, and do not refute it."""
        pairs: NDArray[np.bool_] = (self.answer_of != NO_ANSWER) & (self.copies > 0)
        return pairs

    @overload
    def __getitem__(self, row: int) -> Entry: ...

    @overload
    def __getitem__(self, row: slice) -> Entries: ...

    def __getitem__(self, row: int | slice) -> Entry | Entries:
        if isinstance(row, slice):
            return self.take(np.arange(len(self))[row])
        return next(iter(self.take(np.arange(len(self))[[row]])))

    def __iter__(self) -> Iterator[Entry]:
        answers = [*self.answers, None]  # NO_ANSWER, -1, is the last
        return map(
            Entry,
            self.offsets.tolist(),
            self.timestamps_ms.tolist(),
            map(self.contexts.__getitem__, self.context_of.tolist()),
            map(bytes.decode, self.pieces()),
            map(answers.__getitem__, self.answer_of.tolist()),
            map(dict, self.metadata or repeat((), len(self))),
            self.copies.tolist(),
        )

    def pieces(self) -> Iterator[bytes]:
        """The text of each entry, in UTF-8."""
        ends = self.starts.tolist()
        return map(self.texts.__getitem__, map(slice, ends, ends[1:]))

    def text(self, row: int) -> str:
        """The text of one entry."""
        return self.texts[self.starts[row] : self.starts[row + 1]].decode()

    def take(self, rows: Integers) -> Entries:
        """The entries at these rows (m,), in that order."""
        contexts, context_of = np.unique(self.context_of[rows], return_inverse=True)
        taught = self.answer_of[rows]
        answers, answer_of = np.unique(taught[taught != NO_ANSWER], return_inverse=True)
        numbers = np.full(len(rows), NO_ANSWER, np.int64)
        numbers[taught != NO_ANSWER] = answer_of
        starts, ends = self.starts[rows], self.starts[rows + 1]
        return Entries(
            self.offsets[rows],
            self.timestamps_ms[rows],
            self.copies[rows],
            [self.contexts[i] for i in contexts.tolist()],
            context_of,
            b"".join(map(self.texts.__getitem__, map(slice, starts.tolist(), ends.tolist()))),
            starts_of(ends - starts),
            [self.answers[i] for i in answers.tolist()],
            numbers,
            [self.metadata[i] for i in rows.tolist()] if self.metadata else (),
        )

    def by_context(self) -> Iterator[tuple[str, Entries, Integers | slice]]:
        """The name of each context, its entries, and their rows."""
        if len(self.contexts) == 1:
            return iter([(self.contexts[0], self, slice(None))])
        rows = [np.flatnonzero(self.context_of == i) for i in range(len(self.contexts))]
        return ((name, self.take(own), own) for name, own in zip(self.contexts, rows, strict=True))


def starts_of(lengths: Integers) -> Integers:
    """Where pieces of these lengths (n,) start that stand one behind the other, and where the last one ends:
    (n + 1,)."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _together(parts: Sequence[tuple[Sequence[str], Integers]]) -> tuple[list[str], Integers]:
    """The distinct strings of all parts, and the number of each row's (n,) among them. A part is its own
    distinct strings, and the numbers of its rows'."""
    numbers = dict.fromkeys(chain.from_iterable(strings for strings, _ in parts), 0)
    ends = np.cumsum([len(strings) for strings, _ in parts])
    if len(numbers) == ends[-1]:
        # No two parts share a string: the numbers of each part only move up by what came before.
        moved = [
            of + (of != NO_ANSWER) * (end - len(own)) for (own, of), end in zip(parts, ends, strict=True)
        ]
    else:
        numbers = dict(zip(numbers, count(), strict=False))
        moved = [np.array([*map(numbers.get, own), NO_ANSWER], np.int64)[of] for own, of in parts]
    return list(numbers), np.concatenate(moved)
