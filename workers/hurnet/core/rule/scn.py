"""Equation 1: how alike two texts are, word by word and letter by letter, in [0, 1].

What differs from the equation as printed: a word's matched letters are divided by the longer word's length
(printed, the value grows with word length); texts with the same number of words are compared in both
directions and averaged (printed, the value depends on their order); two texts without words score 1 and one
against another 0 (printed, undefined). So P(x, x) = 1, P(x, y) = P(y, x) and 0 <= P <= 1. The length penalty
is off by default, as in the paper.

A letter is what a reader takes for one: a character with the marks on it. Scripts that are written without
spaces have no words to split at: their letters are words, and so are any two that follow each other. Signs
that make another word of one (C++, #5, -5, €5) belong to it, behind its letters; other punctuation does not.

This is what the equation says; `hurnet.core.rule.encoded_words` computes the same fast. Nothing is cut: texts
and words may be of any length and in any script."""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from zlib import crc32

from hurnet.core.reading import PICTURES, class_of, lowered, readable

Letters = str | tuple[str, ...]
"""A word, letter by letter: a tuple if one of them is more than one character."""

MOST_ORDERED = 1_024
"""Characters of a text of which pairs of letters are words, too: in longer ones there are pairs enough to
match any, and they would cost their square."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u30ff\u3100-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua980-\ua9ff\uaa60-\uaadf\uf900-\ufaff"
    "\U00017000-\U00018cff\U0001b000-\U0001b2ff\U00020000-\U000323af"
)
_MARKS = class_of("Mn", "Mc", "Me")
_SIGNS = "".join(re.escape(sign) for sign in "#@&§^") + class_of("Sc") + "+<=>±×÷"
_MODIFIERS = "\U0001f3fb-\U0001f3ff"
_PICTURE = f"[{PICTURES}][{_MODIFIERS}]?"
_PIECE = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"  # a flag by its country, and by its region
    "|\U0001f3f4[\U000e0020-\U000e007f]{1,16}"
    f"|{_PICTURE}(?:\u200d{_PICTURE}){{0,15}}"
    f"|(?:[{_UNSPACED}][{_MARKS}]*)+"
    rf"|(?:(?<!\w)[-\u2013](?=\d))?(?:[^\W{_UNSPACED}]|[{_MARKS}{_SIGNS}])+"
)
_ASCII_WORD = re.compile(r"(?:(?<!\w)-(?=\d))?[\w#@&^$+<=>]+")
_MARK = re.compile(f"[{_MARKS}]")
_LETTER = re.compile(f"[^{_MARKS}][{_MARKS}]{{0,8}}|[{_MARKS}]{{1,8}}", re.DOTALL)
_LEADING = re.compile(f"[-\u2013{_SIGNS}]+")
_A_PICTURE = re.compile(f"[{PICTURES}\U0001f1e6-\U0001f1ff]")
_A_RUN = re.compile(f"[{_UNSPACED}]")
_ALPHABETS = re.compile("[\u0000-\u052f\u1e00-\u1fff\u2c60-\u2c7f\ua640-\ua69f\ua720-\ua7ff]")
NUKTA = 7
"""The combining class of the dot below in Indic scripts, which readers leave out as they do accents."""
_BEYOND, _PLACES = 0x110000, 0x200000 - 0x110000


def words(text: str) -> list[Letters]:
    """The words of a text in order, as it is read."""
    if text.isascii():
        return [signs_last(word) for word in _ASCII_WORD.findall(text)] or [*text.split()]
    read = readable(text)
    ordered = len(read) <= MOST_ORDERED
    found = [word for piece in pieces(read) for word in _words_of(piece, ordered)]
    return found or [letters(piece) for piece in read.split()]


def pieces(read: str) -> list[str]:
    """Words, runs of letters without spaces, and pictures, of a text as it is read."""
    return _PIECE.findall(read)


def is_run(piece: str) -> bool:
    """Whether it is of a script without spaces."""
    return bool(_A_RUN.match(piece))


def is_picture(piece: str) -> bool:
    """Whether it is an emoji or the like."""
    return bool(_A_PICTURE.match(piece))


def letters(word: str) -> Letters:
    """What a reader takes for letters: characters with the marks on them."""
    return tuple(_LETTER.findall(word)) if _MARK.search(word) else word


def signs_last(word: str) -> str:
    """With the signs before it put behind it, so that -5 and 5 agree in their first letter."""
    if word[0].isalnum():
        return word
    leading = _LEADING.match(word)
    return word if leading is None else word[leading.end() :] + leading[0].replace("\u2013", "-")


def _words_of(piece: str, ordered: bool) -> list[Letters]:
    if is_picture(piece):
        return [_word((piece,))]
    if not is_run(piece):
        return [letters(signs_last(piece))]
    run = letters(piece)
    pairs = map(_word, pairwise(run)) if ordered else ()
    return [*(run if isinstance(run, str) else map(_word, zip(run))), *pairs]


def _word(run: tuple[str, ...]) -> Letters:
    joined = "".join(run)
    return joined if len(joined) == len(run) else run


@lru_cache(maxsize=1 << 16)
def letter_forms(letter: str) -> tuple[int, int, int]:
    """Numbers below 2²¹ compared by δ1 (no case, no accent), δ2 (no accent) and δ3 (no case): code points, or
    above those a checksum of a form that is several."""
    plain = _plain(letter)
    return _number(lowered(plain).replace("ı", "i")), _number(plain), _number(lowered(letter))


def _plain(letter: str) -> str:
    """Without accents: marks on a letter of an alphabet, the nukta, the colour of a skin. A vowel sign or
    dakuten is none; without it the word is another."""
    if letter.isascii():
        return letter
    apart = unicodedata.normalize("NFD", letter)
    alphabetic = bool(_ALPHABETS.match(apart))
    kept = [mark for mark in apart[1:] if not _is_accent(mark, alphabetic)]
    return unicodedata.normalize("NFC", "".join([apart[0], *kept]))


def _is_accent(mark: str, alphabetic: bool) -> bool:
    kind = unicodedata.combining(mark)
    return kind == NUKTA or (alphabetic and kind > 0) or "\U0001f3fb" <= mark <= "\U0001f3ff"


def _number(form: str) -> int:
    if len(form) == 1:
        return ord(form)
    return _BEYOND + crc32(form.encode("utf-8", "surrogatepass")) % _PLACES


def similarity(a: str, b: str, penalise_length: bool = False) -> float:
    """P(a, b) as the equation reads. `penalise_length` takes off (1 - |S| / |T|) / 2, never below 0."""
    first, second = words(a), words(b)
    if not first or not second:
        return float(not first and not second)
    s, t = sorted((first, second), key=len)
    alike = _one_way(s, t) if len(s) < len(t) else (_one_way(s, t) + _one_way(t, s)) / 2
    return max(0.0, alike - (1 - len(s) / len(t)) / 2) if penalise_length else alike


def _one_way(s: list[Letters], t: list[Letters]) -> float:
    return sum(max(_word_similarity(w, v) for v in t) for w in s) / len(s)


def _word_similarity(w: Letters, v: Letters) -> float:
    matched = sum(
        sum(x == y for x, y in zip(letter_forms(w_i), letter_forms(v_i), strict=True))
        for w_i, v_i in zip(w, v, strict=False)
    )
    return matched / (3 * max(len(w), len(v)))
