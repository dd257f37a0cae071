"""Equation 1 between a query and many candidates at once: what `words.similarity` gives, 200 times faster.

A candidate is encoded once, when it is first compared: its distinct words, since the best match of a word
depends on those alone, with how often each occurs. All numbers are uint64 in the machine's byte order:

    distinct words | words << 32,    length | occurrences << 32 of each distinct word,    all their letters

A letter is the numbers of its three forms in 21 bits each, so that one XOR of two letters tells which of
δ1, δ2 and δ3 hold. The comparison is in C (native/scn.c), or in numpy where that was not built; both differ
from the reference by the order of a sum alone, n 2**-52 for n words."""

import ctypes
import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hurnet.core.native import library
from hurnet.core.rule.scn import letter_forms, words

MOST_LETTERS = 1 << 26
"""Pairs of letters looked at for one query, at most: half a second in C. Candidates beyond it are left out,
so that no text can stop a responder. 65 texts of prose of 5,000 letters keep within it."""

_SHORT = 512
_LOW = (1 << 32) - 1
_FORMS = tuple(((1 << 21) - 1) << shift for shift in (0, 21, 42))
_CELLS = 1 << 20  # of words x words in numpy at a time

Floats = NDArray[np.float64]


def forget_texts() -> None:
    """Drop what is kept of texts, after some were deleted; the others are encoded again when needed."""
    kept.cache_clear()
    kept_long.cache_clear()


def similarities(query: str, candidates: Sequence[str]) -> Floats:
    """P(query, candidate) of each candidate: of the first ones that `MOST_LETTERS` allows."""
    asked = encode(query)
    within = _within(query, asked, candidates)
    kernel = _kernel(library())
    if kernel is None:
        return _in_numpy(asked, within)
    out = np.empty(len(within))
    kernel(asked, b"".join(within), len(within), out.ctypes.data)
    return out


def encode(text: str) -> bytes:
    """A text as it is compared: 8 bytes a letter, 8 a word and 8 more."""
    found = Counter(words(text))
    heads = [len(word) | times << 32 for word, times in found.items()]
    numbers = map(_letter, chain.from_iterable(found))
    return array("Q", [len(heads) | found.total() << 32, *heads, *numbers]).tobytes()


kept, kept_long = lru_cache(maxsize=1 << 14)(encode), lru_cache(maxsize=1 << 10)(encode)
"""`encode`, once for each of the last 16,384 candidates of up to 512 characters, and of the last 1,024 longer
ones. Ordinary sentences: 5 MB. At most 0.4 GB each, with texts of up to 16,384 characters."""


@lru_cache(maxsize=1 << 16)
def _letter(letter: str) -> int:
    folded, plain, lower = letter_forms(letter)
    return folded | plain << 21 | lower << 42


@lru_cache(maxsize=2)
def _kernel(kernels: ctypes.CDLL | None) -> Any:
    if kernels is None:
        return None
    kernel = kernels.hurnet_scn
    kernel.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p)
    kernel.restype = None
    return kernel


def _within(query: str, asked: bytes, candidates: Sequence[str]) -> list[bytes]:
    """The first candidates, encoded, that MOST_LETTERS pairs of letters suffice for."""
    if _most(len(query), 1) * _most(sum(map(len, candidates)), len(candidates)) <= MOST_LETTERS:
        return [kept(text) if len(text) <= _SHORT else kept_long(text) for text in candidates]
    distinct, letters = _extent(asked)
    pairs, within = 0, []
    for text in candidates:
        encoded = kept(text) if len(text) <= _SHORT else kept_long(text)
        their_distinct, their_letters = _extent(encoded)
        pairs += min(distinct * their_letters, their_distinct * letters)
        if pairs > MOST_LETTERS:
            break
        within.append(encoded)
    return within


def _most(characters: int, texts: int) -> int:
    """Letters of the words of so many texts, at most: `readable` adds a quarter and 64, and where letters are
    words there are pairs of them, too."""
    return 3 * (characters + characters // 4 + 64 * texts)


def _extent(encoded: bytes) -> tuple[int, int]:
    """Distinct words, and the letters in them."""
    distinct = int.from_bytes(encoded[:8], sys.byteorder) & _LOW
    return distinct, len(encoded) // 8 - 1 - distinct


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """Encoded texts side by side: numbers of words, with and without repetition, by text; occurrences, length
    and place of the first letter by word; and everything they were encoded as."""

    total: NDArray[np.int64]
    distinct: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    lengths: NDArray[np.int64]
    places: NDArray[np.int64]
    numbers: NDArray[np.int64]


def _texts(encoded: Sequence[bytes]) -> _Texts:
    numbers = np.frombuffer(b"".join(encoded), np.int64)  # the topmost bit is never set
    sizes = np.array([len(text) // 8 for text in encoded], dtype=np.int64)
    first = np.cumsum(sizes) - sizes
    total, distinct = numbers[first] >> 32, numbers[first] & _LOW
    heads = np.arange(distinct.sum()) + np.repeat(first + 1 - (np.cumsum(distinct) - distinct), distinct)
    occurrences, lengths = numbers[heads] >> 32, numbers[heads] & _LOW
    before = np.repeat(np.cumsum(1 + distinct), distinct)  # numbers that are no letters
    return _Texts(total, distinct, occurrences, lengths, np.cumsum(lengths) - lengths + before, numbers)


def _in_numpy(query: bytes, candidates: Sequence[bytes]) -> Floats:
    """What the kernel does, all candidates at once."""
    mine, theirs = _texts([query]), _texts(candidates)
    out = np.where(theirs.total == 0, float(mine.total[0] == 0), 0.0)
    filled = np.flatnonzero(theirs.total)
    if not mine.total[0] or not len(filled):
        return out
    s, t = mine.total, theirs.total[filled]
    forward, backward = _both_ways(mine, theirs, filled)
    alike = np.select([s < t, s > t], [forward, backward], (forward + backward) / 2)
    out[filled] = alike
    return out


def _both_ways(mine: _Texts, theirs: _Texts, filled: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The mean of the best matches of my words in each of the `filled` texts, and of their words in mine."""
    starts = (np.cumsum(theirs.distinct) - theirs.distinct)[filled]
    forward, best = np.zeros(len(filled)), np.zeros(len(theirs.lengths))
    step = max(1, _CELLS // len(best))
    for at in range(0, len(mine.lengths), step):
        some = slice(at, at + step)
        table = _table(mine, some, theirs)
        forward += mine.occurrences[some] @ np.maximum.reduceat(table, starts, axis=1)
        np.maximum(best, table.max(axis=0), out=best)
    backward = np.add.reduceat(theirs.occurrences * best, starts)
    return forward / mine.total, backward / theirs.total[filled]


def _table(mine: _Texts, some: slice, theirs: _Texts) -> Floats:
    """Similarity of some words of one text to each word of others: letter by letter, the longest words first,
    so that those that have such a letter lie together."""
    lengths = mine.lengths[some]
    rows, columns = np.argsort(-lengths), np.argsort(-theirs.lengths)
    w, v = mine.places[some][rows], theirs.places[columns]
    matched = np.zeros((len(w), len(v)), dtype=np.int64)
    for at in range(min(lengths.max(), theirs.lengths.max())):
        n, m = np.count_nonzero(lengths > at), np.count_nonzero(theirs.lengths > at)
        differ = mine.numbers[w[:n] + at][:, None] ^ theirs.numbers[v[:m] + at]
        for form in _FORMS:
            matched[:n, :m] += (differ & form) == 0
    table = np.empty(matched.shape)
    table[np.ix_(rows, columns)] = matched
    table /= 3 * np.maximum(lengths[:, None], theirs.lengths)
    return table
