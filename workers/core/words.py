"""Equation 1: how alike two texts are, word by word and letter by letter, in [0, 1].

What differs from the equation as printed: a word's matched letters are divided by the longer word's length
(printed, the value grows with word length); texts with the same number of words are compared in both
directions and averaged (printed, the value depends on their order); two texts without words score 1 and one
against another 0 (printed, undefined). So P(x, x) = 1, P(x, y) = P(y, x) and 0 <= P <= 1. The length penalty
is off, as in the paper's default."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MAX_WORDS, MAX_LETTERS = 64, 32
"""Of a text, and of a word: what follows is not compared, so that the cost of a comparison is bounded."""

# Scripts written without spaces are taken letter by letter; whatever has no word at all, piece by piece.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """The words of a text in order, composed (NFC), at most MAX_WORDS of at most MAX_LETTERS letters."""
    composed = unicodedata.normalize("NFC", text[: MAX_WORDS * MAX_LETTERS * 4])
    found = _WORD.findall(composed) or composed.split()
    return [word[:MAX_LETTERS] for word in found[:MAX_WORDS]]


@lru_cache(maxsize=1 << 16)
def _letter_forms(letter: str) -> tuple[int, int, int]:
    """Code points compared by δ1 (no case, no accent), δ2 (no accent) and δ3 (no case); the letter's own
    where a form is not a single letter."""
    bare = "".join(c for c in unicodedata.normalize("NFD", letter) if not unicodedata.combining(c))
    plain = _single(unicodedata.normalize("NFC", bare), letter)
    lower = _single(letter.lower(), letter)
    return ord(_single(plain.lower(), plain)), ord(plain), ord(lower)


def _single(form: str, otherwise: str) -> str:
    return form if len(form) == 1 else otherwise


def similarity(a: str, b: str) -> float:
    """P(a, b) as the equation reads: the reference that `Similarity` is held against."""
    first, second = words(a), words(b)
    if not first or not second:
        return float(not first and not second)
    if len(first) == len(second):
        return (_one_way(first, second) + _one_way(second, first)) / 2
    return _one_way(*sorted((first, second), key=len))


def _one_way(shorter: list[str], longer: list[str]) -> float:
    return sum(max(_word_similarity(w, v) for v in longer) for w in shorter) / len(shorter)


def _word_similarity(w: str, v: str) -> float:
    matched = sum(
        sum(x == y for x, y in zip(_letter_forms(w_i), _letter_forms(v_i), strict=True))
        for w_i, v_i in zip(w, v, strict=False)
    )
    return matched / (3 * max(len(w), len(v)))


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """A text made ready for `Similarity`: letter forms (words, 3 * letters), 0 past a word's end; word
    lengths."""

    forms: NDArray[np.int32]
    lengths: NDArray[np.int32]


@lru_cache(maxsize=1 << 16)
def encode(text: str) -> EncodedWords:
    """The words of a text as letter forms, side by side: δ1's, δ2's and δ3's code of each letter in turn."""
    found = words(text)
    lengths = np.array([len(word) for word in found], dtype=np.int32)
    forms = np.zeros((len(found), 3 * int(lengths.max(initial=0))), dtype=np.int32)
    for row, word in zip(forms, found, strict=True):
        row[: 3 * len(word)] = [form for letter in word for form in _letter_forms(letter)]
    forms.flags.writeable = lengths.flags.writeable = False  # they are shared with the cache
    return EncodedWords(forms, lengths)


def similarities(query: EncodedWords, candidates: Sequence[EncodedWords]) -> NDArray[np.float64]:
    """P(query, candidate) of each candidate, all at once; equal to `similarity` on the texts."""
    counts = np.array([len(c.lengths) for c in candidates], dtype=np.int64)
    mine = len(query.lengths)
    out = np.where(counts == 0, float(mine == 0), 0.0)
    filled = np.flatnonzero(counts)
    if not mine or not len(filled):
        return out
    table = _word_table(query, [c for c in candidates if len(c.lengths)])
    theirs = counts[filled]
    starts = np.cumsum(theirs) - theirs
    forward = np.maximum.reduceat(table, starts, axis=1).sum(axis=0) / mine
    backward = np.add.reduceat(table.max(axis=0), starts) / theirs
    out[filled] = np.select([mine < theirs, mine > theirs], [forward, backward], (forward + backward) / 2)
    return np.clip(out, 0.0, 1.0)


def _word_table(query: EncodedWords, candidates: Sequence[EncodedWords]) -> NDArray[np.float64]:
    """Similarity of each query word to each word of all candidates in a row."""
    width = query.forms.shape[1]
    forms = np.zeros((sum(len(c.lengths) for c in candidates), width), dtype=np.int32)
    at = 0
    for c in candidates:
        shared = min(width, c.forms.shape[1])
        forms[at : at + len(c.lengths), :shared] = c.forms[:, :shared]
        at += len(c.lengths)
    lengths = np.concatenate([c.lengths for c in candidates])
    mine = np.where(query.forms == 0, -1, query.forms)  # so that two words' ends don't match
    matched = np.stack([(forms == word).sum(axis=1) for word in mine])
    table: NDArray[np.float64] = matched / (3 * np.maximum(query.lengths[:, None], lengths))
    return table
