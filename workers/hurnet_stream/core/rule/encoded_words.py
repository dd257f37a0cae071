"""Equation 1 between a query and many candidates at once: what scn.py defines, 200 times faster.

Three things make it fast:

- A candidate is encoded once, when it is first compared, and then kept.
- The best match of a word depends on the word alone, so each distinct word is compared once and counts as
  often as it occurs.
- A letter is one uint64: the numbers of its three forms, of 21 bits each. One XOR of two letters tells by
  which of the three they are equal: those whose 21 bits are all zero.

An encoded text is one row of uint64 in the machine's byte order. "on and on":

    distinct words | words << 32         2 | 3 << 32        2 distinct words of 3
    length | occurrences << 32           2 | 2 << 32        "on" has 2 letters and occurs twice
      for each distinct word             3 | 1 << 32        "and" has 3 and occurs once
    letter, for each of them in turn     o n a n d

    letter = δ1 form | δ2 form << 21 | δ3 form << 42

The comparison is in C (native/scn.c), or in numpy if the kernels were not built. Both differ from the
reference only by the order of one sum, at most n 2**-52 for n words."""

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

from hurnet_stream.core.native import library
from hurnet_stream.core.words import letter_forms, words

MOST_LETTERS = 1 << 26
"""The most pairs of letters that are compared for one query: half a second in C. Candidates beyond it are
left out, so that no text can stop a responder. 65 texts of prose of 5,000 letters stay within it."""

_SHORT_CHARACTERS = 512
_LOW_HALF = (1 << 32) - 1
_FORM_BITS = tuple(((1 << 21) - 1) << shift for shift in (0, 21, 42))
_CELLS_MAX = 1 << 20
"""Pairs of words that numpy compares at a time: 8 MB a table."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def forget_texts() -> None:
    """Forget all encoded texts: some were deleted, and nothing of them may stay. The others are encoded again
    when they are next compared."""
    kept.cache_clear()
    kept_long.cache_clear()


def similarities(query: str, candidates: Sequence[str], most_letters: int = MOST_LETTERS) -> Floats:
    """P(query, candidate), (m,) float64, of the first m candidates: all of them, or as many as `most_letters`
    pairs of letters allow."""
    encoded_query = encode(query)
    encoded = _within_limit(query, encoded_query, candidates, most_letters)
    kernel = _kernel(library())
    if kernel is None:
        return _in_numpy(encoded_query, encoded)
    alike = np.empty(len(encoded))
    kernel(encoded_query, b"".join(encoded), len(encoded), alike.ctypes.data)
    return alike


def encode(text: str) -> bytes:
    """A text as it is compared (see the module): 8 bytes for each letter of its distinct words, 8 for each of
    these words and 8 more."""
    occurrences = Counter(words(text))
    heads = [len(word) | times << 32 for word, times in occurrences.items()]
    letters = map(_letter, chain.from_iterable(occurrences))
    return array("Q", [len(heads) | occurrences.total() << 32, *heads, *letters]).tobytes()


kept, kept_long = lru_cache(maxsize=1 << 14)(encode), lru_cache(maxsize=1 << 10)(encode)
"""`encode`, remembered for the last 16,384 candidates of up to 512 characters, and for the last 1,024 longer
ones, so that a few long texts don't drive out all short ones. Ordinary sentences take 5 MB. Each may take
0.4 GB at most, since a text has up to 16,384 characters."""


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


def _kept(text: str) -> bytes:
    return kept(text) if len(text) <= _SHORT_CHARACTERS else kept_long(text)


def _within_limit(query: str, encoded_query: bytes, candidates: Sequence[str], most: int) -> list[bytes]:
    """The first candidates, encoded, for which so many pairs of letters suffice."""
    characters = sum(map(len, candidates))
    if _most_letters(len(query), 1) * _most_letters(characters, len(candidates)) <= most:
        return [_kept(text) for text in candidates]  # nearly always: nothing needs to be counted
    query_words, query_letters = _extent(encoded_query)
    pairs, within = 0, []
    for text in candidates:
        encoded = _kept(text)
        text_words, text_letters = _extent(encoded)
        # Two words are compared up to the end of the shorter one. So every letter of one text is compared at
        # most once with each word of the other, whichever of the two is the one.
        pairs += min(query_words * text_letters, text_words * query_letters)
        if pairs > most:
            break
        within.append(encoded)
    return within


def _most_letters(characters: int, texts: int) -> int:
    """The most letters that the words of `texts` texts with `characters` characters in all can have.

    `readable` may add a quarter and 64 to each text, and if letters are words, each is also in two pairs."""
    return 3 * (characters + characters // 4 + 64 * texts)


def _extent(encoded: bytes) -> tuple[int, int]:
    """How many distinct words, and how many letters they have together."""
    distinct = int.from_bytes(encoded[:8], sys.byteorder) & _LOW_HALF
    return distinct, len(encoded) // 8 - 1 - distinct


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """Encoded texts side by side, as arrays."""

    words: Integers  # (texts,) words, repeated ones counted
    distinct: Integers  # (texts,) distinct words
    occurrences: Integers  # (distinct words of all texts,) how often each occurs in its text
    lengths: Integers  # (distinct words,) letters of each
    places: Integers  # (distinct words,) where its first letter stands in `numbers`
    numbers: Integers  # everything, as encoded


def _texts(encoded: Sequence[bytes]) -> _Texts:
    numbers = np.frombuffer(b"".join(encoded), np.int64)  # uint64, but the topmost bit is never set
    sizes = np.array([len(text) // 8 for text in encoded], dtype=np.int64)
    first = np.cumsum(sizes) - sizes
    words, distinct = numbers[first] >> 32, numbers[first] & _LOW_HALF
    # The heads of a text follow its first number: first + 1, first + 2, ... for each distinct word.
    heads = np.arange(distinct.sum()) + np.repeat(first + 1 - (np.cumsum(distinct) - distinct), distinct)
    occurrences, lengths = numbers[heads] >> 32, numbers[heads] & _LOW_HALF
    # Before a letter stand all letters of earlier words, and the heads of all texts up to its own.
    heads_before = np.repeat(np.cumsum(1 + distinct), distinct)
    places = np.cumsum(lengths) - lengths + heads_before
    return _Texts(words, distinct, occurrences, lengths, places, numbers)


def _in_numpy(encoded_query: bytes, encoded: Sequence[bytes]) -> Floats:
    """What the kernel computes, for all candidates at once."""
    query, texts = _texts([encoded_query]), _texts(encoded)
    alike = np.where(texts.words == 0, float(query.words[0] == 0), 0.0)
    filled = np.flatnonzero(texts.words)
    if not query.words[0] or not len(filled):
        return alike
    forward, backward = _both_ways(query, texts, filled)
    # Equation 1 goes through the words of the text that has fewer; through both if they have the same number.
    s, t = query.words, texts.words[filled]
    alike[filled] = np.select([s < t, s > t], [forward, backward], (forward + backward) / 2)
    return alike


def _both_ways(query: _Texts, texts: _Texts, filled: Integers) -> tuple[Floats, Floats]:
    """For each of the `filled` texts: the mean, over the query's words, of the best match in the text, and
    the mean, over the text's words, of the best match in the query. Both (filled,)."""
    starts = (np.cumsum(texts.distinct) - texts.distinct)[filled]
    forward, best = np.zeros(len(filled)), np.zeros(len(texts.lengths))
    step = max(1, _CELLS_MAX // len(best))
    for first in range(0, len(query.lengths), step):
        portion = slice(first, first + step)
        table = _table(query, portion, texts)  # (words of the portion, words of all texts)
        forward += query.occurrences[portion] @ np.maximum.reduceat(table, starts, axis=1)
        np.maximum(best, table.max(axis=0), out=best)
    backward = np.add.reduceat(texts.occurrences * best, starts)
    return forward / query.words, backward / texts.words[filled]


def _table(query: _Texts, portion: slice, texts: _Texts) -> Floats:
    """How alike each word of a portion of the query's is to each word of the texts.

    It goes letter by letter: first letters with first letters, then second ones, and so on. Words are sorted
    by falling length, so that those that have a letter at this place stand together at the top left."""
    lengths = query.lengths[portion]
    rows, columns = np.argsort(-lengths), np.argsort(-texts.lengths)
    w, v = query.places[portion][rows], texts.places[columns]
    matched = np.zeros((len(w), len(v)), dtype=np.int64)
    for place in range(min(lengths.max(), texts.lengths.max())):
        n, m = np.count_nonzero(lengths > place), np.count_nonzero(texts.lengths > place)
        differing_bits = query.numbers[w[:n] + place][:, None] ^ texts.numbers[v[:m] + place]
        for form in _FORM_BITS:
            matched[:n, :m] += (differing_bits & form) == 0
    table = np.empty(matched.shape)
    table[np.ix_(rows, columns)] = matched
    table /= 3 * np.maximum(lengths[:, None], texts.lengths)
    return table
