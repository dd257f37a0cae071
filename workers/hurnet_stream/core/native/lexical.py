"""terms.c and postings.c for Python: the numbers of terms, and the lexical search.

No array is copied on the way: the kernels are given addresses of what the vocabulary and the runs hold.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.native import library, loaded_library

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64

TOO_HARD: Final = -1
"""Stands for the length of a text that the kernel leaves to Python."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Asked(Protocol):
    """A question, as `core/lexical/question.py` has it."""

    @property
    def numbers(self) -> Integers:
        """Of its terms (t,), rarest first."""
        ...

    @property
    def most(self) -> Integers:
        """What each can add at most (t,)."""
        ...

    @property
    def damping(self) -> Floats:
        """By length (lengths,)."""
        ...


def available() -> bool:
    """Whether the kernels can be called."""
    return library() is not None


def number_terms(
    vocabulary: Integers,
    texts: bytes,
    starts: Integers,
    letters: NDArray[np.uint64],
    numbers: NDArray[np.int32],
    lengths: Integers,
) -> int:
    """Number the terms of n texts, which begin in `texts` at `starts` (n + 1,).

    The numbers are written to `numbers` (at least as many as the texts have bytes), and to `lengths` (n,) how
    many there are of each text, TOO_HARD for a text that is left to Python. `vocabulary` (9,) is its struct,
    which is changed. Returns how many texts are done: fewer than n if there is no room for a new term.
    """
    outputs = (letters.ctypes.data, numbers.ctypes.data, lengths.ctypes.data)
    done: int = _functions().number_terms(
        vocabulary.ctypes.data, texts, starts.ctypes.data, len(lengths), *outputs
    )
    return done


def read_terms(text: bytes, letters: NDArray[np.uint64]) -> NDArray[np.uint64] | None:
    """The records (n, 4) of the terms of a text; None if it is left to Python."""
    records = np.empty((len(text), 4), np.uint64)  # a term takes at least a byte of the text
    count = _functions().read_terms(text, len(text), letters.ctypes.data, records.ctypes.data)
    return None if count == TOO_HARD else records[:count]


def find_terms(vocabulary: Integers, records: NDArray[np.uint64]) -> Integers:
    """The numbers (n,) of the terms with these records (n, 4), -1 for those that have none."""
    numbers = np.empty(len(records), np.int64)
    _functions().find_terms(vocabulary.ctypes.data, records.ctypes.data, len(records), numbers.ctypes.data)
    return numbers


def search(
    runs: Integers, asked: Asked, k: int, exclude: int, within: NDArray[np.uint8] | None = None
) -> tuple[Integers, Integers]:
    """The best rows (n,), at most k, and their scores (n,), best first. `runs` (r, 13) are their structs,
    `exclude` is a row that must not answer, or -1, and `within` has a bit for each row that may; None: all
    may."""
    matches = np.empty((k, 4), np.int64)  # score, row, partition, offset
    bits = None if within is None else within.ctypes.data
    found = _functions().search(*_arguments(runs, asked), k, exclude, bits, matches.ctypes.data)
    if found < 0:
        raise MemoryError("no memory to search in")
    return matches[:found, 1], matches[:found, 0]


def scores(runs: Integers, asked: Asked, rows: Integers) -> Integers:
    """The score (n,) of each of these rows (n,)."""
    of_rows = np.empty(len(rows), np.int64)
    rows = np.ascontiguousarray(rows)
    if _functions().scores(*_arguments(runs, asked), rows.ctypes.data, len(rows), of_rows.ctypes.data):
        raise MemoryError("no memory to score in")
    return of_rows


def remove(run: Integers, numbers: Integers, slot: int) -> None:
    """Remove the postings of these terms (t,) in a slot of a run, given its struct (13,). All are there."""
    _functions().remove(run.ctypes.data, numbers.ctypes.data, len(numbers), slot)


def _arguments(runs: Integers, asked: Asked) -> tuple[Any, ...]:
    terms = (asked.numbers.ctypes.data, asked.most.ctypes.data, len(asked.numbers))
    return (runs.ctypes.data, len(runs), *terms, asked.damping.ctypes.data, len(asked.damping) - 1)


class _Functions(NamedTuple):
    number_terms: Any
    read_terms: Any
    find_terms: Any
    search: Any
    scores: Any
    remove: Any


@functools.cache
def _functions() -> _Functions:
    found = loaded_library()
    question: list[Any] = [_POINTER, _LONG, _POINTER, _POINTER, _LONG, _POINTER, _LONG]
    texts: list[Any] = [ctypes.c_char_p, _POINTER, _LONG]
    found.hurnet_number_terms.argtypes = [_POINTER, *texts, _POINTER, _POINTER, _POINTER]
    found.hurnet_number_terms.restype = _LONG
    found.hurnet_read_terms.argtypes = [ctypes.c_char_p, _LONG, _POINTER, _POINTER]
    found.hurnet_read_terms.restype = _LONG
    found.hurnet_find_terms.argtypes = [_POINTER, _POINTER, _LONG, _POINTER]
    found.hurnet_find_terms.restype = None
    found.hurnet_lexical_search.argtypes = [*question, _LONG, _LONG, _POINTER, _POINTER]
    found.hurnet_lexical_search.restype = _LONG
    found.hurnet_lexical_scores.argtypes = [*question, _POINTER, _LONG, _POINTER]
    found.hurnet_lexical_scores.restype = ctypes.c_int
    found.hurnet_lexical_remove.argtypes = [_POINTER, _POINTER, _LONG, _LONG]
    found.hurnet_lexical_remove.restype = None
    return _Functions(
        found.hurnet_number_terms,
        found.hurnet_read_terms,
        found.hurnet_find_terms,
        found.hurnet_lexical_search,
        found.hurnet_lexical_scores,
        found.hurnet_lexical_remove,
    )
