"""Equation 1: how alike two texts are, word by word and letter by letter, in [0, 1].

What differs from the equation as printed: a word's matched letters are divided by the longer word's length
(printed, the value grows with word length); texts with the same number of words are compared in both
directions and averaged (printed, the value depends on their order); two texts without words score 1 and one
against another 0 (printed, undefined). So P(x, x) = 1, P(x, y) = P(y, x) and 0 <= P <= 1. The length penalty
is off by default, as in the paper.

This is what the equation says; `workers.core.encoded_words` computes the same fast. Nothing is cut: texts
and words may be of any length and in any script."""

import re
import unicodedata
from functools import lru_cache

# Scripts written without spaces are taken letter by letter; whatever has no word at all, piece by piece.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """The words of a text in order, composed (NFC)."""
    composed = unicodedata.normalize("NFC", text)
    return _WORD.findall(composed) or composed.split()


@lru_cache(maxsize=1 << 16)
def letter_forms(letter: str) -> tuple[int, int, int]:
    """Code points compared by δ1 (no case, no accent), δ2 (no accent) and δ3 (no case); the letter's own
    where a form is not a single letter."""
    bare = "".join(c for c in unicodedata.normalize("NFD", letter) if not unicodedata.combining(c))
    plain = _single(unicodedata.normalize("NFC", bare), letter)
    lower = _single(letter.lower(), letter)
    return ord(_single(plain.lower(), plain)), ord(plain), ord(lower)


def _single(form: str, otherwise: str) -> str:
    return form if len(form) == 1 else otherwise


def similarity(a: str, b: str, penalise_length: bool = False) -> float:
    """P(a, b) as the equation reads. `penalise_length` takes off (1 - |S| / |T|) / 2, never below 0."""
    first, second = words(a), words(b)
    if not first or not second:
        return float(not first and not second)
    s, t = sorted((first, second), key=len)
    alike = _one_way(s, t) if len(s) < len(t) else (_one_way(s, t) + _one_way(t, s)) / 2
    return max(0.0, alike - (1 - len(s) / len(t)) / 2) if penalise_length else alike


def _one_way(s: list[str], t: list[str]) -> float:
    return sum(max(_word_similarity(w, v) for v in t) for w in s) / len(s)


def _word_similarity(w: str, v: str) -> float:
    matched = sum(
        sum(x == y for x, y in zip(letter_forms(w_i), letter_forms(v_i), strict=True))
        for w_i, v_i in zip(w, v, strict=False)
    )
    return matched / (3 * max(len(w), len(v)))
