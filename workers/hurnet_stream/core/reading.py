"""What a reader sees of a text: the same letters however they are encoded, without what is not seen.

    the same: composed and decomposed letters, full-width and narrow forms, ligatures, Hangul syllables and
              their letters, digits of any script, final sigma, ß and ss, a letter's Arabic and Persian code
              points, Hebrew and Arabic with and without points, words with soft hyphens or joiners inside
    not the same: vowel signs of Indic scripts, dakuten, tone marks, superscript digits, joined emoji, accents

Unicode's NFKC does most of it; the rest is the table below.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import Final

_INVISIBLE: Final = (  # beside all characters of the category "format" (Cf)
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x180B, 0x180F), (0x3164, 0x3164), (0xFFA0, 0xFFA0)),
    *((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)),  # these select a variant of the letter before them
)
_POINTS: Final = (  # of Hebrew, Arabic (with the stretch, U+0640) and Syriac, which people write without them
    *((0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7)),
    *((0x0610, 0x061A), (0x0640, 0x0640), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC)),
    *((0x06DF, 0x06E4), (0x06E7, 0x06E8), (0x06EA, 0x06ED), (0x0730, 0x074A), (0x08D3, 0x08FF)),
)
_SAME: Final = {
    **{"ς": "σ", "ß": "ss", "ẞ": "SS", "ک": "ك", "ی": "ي"},
    **{"\u2212": "-", "\u2044": "/", "ʼ": "'", "’": "'"},
}
_JOINER: Final = "\u200d"
_TAGS: Final = range(0xE0020, 0xE0080)
PICTURES: Final = (
    "©®\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff"
    "\U0001f000-\U0001f1e5\U0001f200-\U0001faff"
)
"""Characters of emoji except flags, as the inside of a character class."""

# A joiner is seen only between pictures, which it makes one of; tags only behind a black flag, which they
# make a region's.
_UNSEEN_JOINERS = re.compile(f"(?<![{PICTURES}]){_JOINER}|{_JOINER}(?![{PICTURES}])")
_UNSEEN_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007f]+)|[\U000e0020-\U000e007f]")


class _Table(dict[int, "str | None"]):
    """For `str.translate`: what each code point is read as, filled when a code point is first met."""

    def __missing__(self, code: int) -> str | None:
        letter = chr(code)
        category = unicodedata.category(letter)
        read: str | None = _SAME.get(letter, letter)
        if category == "Nd":
            read = str(unicodedata.digit(letter))
        elif category == "Cc":
            read = " "
        elif _unseen(code, category):
            read = None
        if category != "Cn":  # unassigned code points would fill the table
            self[code] = read
        return read


def _unseen(code: int, category: str) -> bool:
    if category == "Cf":
        # Whether a joiner or a tag is seen depends on what stands beside it: `_joined` decides.
        return chr(code) != _JOINER and code not in _TAGS
    return any(first <= code <= last for first, last in (*_INVISIBLE, *_POINTS))


def _before() -> dict[int, str]:
    """Characters that NFKC would turn into another number, with what they are read as: 5² is not 52, and 3½
    is not 31/2."""
    kept = {}
    for letter in map(chr, range(0x80, 0x2190)):
        tag = unicodedata.decomposition(letter).split(" ", 1)[0]
        plain = unicodedata.normalize("NFKC", letter)
        if tag == "<super>" and plain.isdigit():
            kept[ord(letter)] = f"^{plain}"
        elif tag == "<fraction>":
            kept[ord(letter)] = f" {plain}"
    return kept


_BEFORE: Final = _before()
_READ: Final = _Table()


def readable(text: str) -> str:
    """`text` as it is read. It grows by a quarter and 64 characters at most: from a text that would grow
    more, which no text of people does, only what is not seen is taken out."""
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFKC", text.translate(_BEFORE))
    read = _seen(composed)
    if len(read) <= 1.25 * len(text) + 64:
        return read
    return _seen(unicodedata.normalize("NFC", text))[: len(text)]


def without_unseen(text: str) -> str:
    """`text` as it stands, without points and without what is not seen."""
    if text.isascii():
        return text
    return _joined("".join(letter for letter in text if _READ[ord(letter)] is not None))


def lowered(text: str) -> str:
    """`text` in small letters, also those that `str.lower` makes two characters of (İ) or differently at a
    word's end (Σ)."""
    return text.replace("İ", "i").lower().replace("ς", "σ")


def _seen(text: str) -> str:
    return _joined(text.translate(_READ))


def _joined(read: str) -> str:
    """`read` without joiners and tags that join nothing."""
    if _JOINER in read:
        read = _UNSEEN_JOINERS.sub("", read)
    if any(ord(character) in _TAGS for character in read):
        read = _UNSEEN_TAGS.sub(lambda found: found[1] or "", read)
    return read


def class_of(*categories: str, last: int = 0x1FFFF) -> str:
    """All characters of these Unicode categories up to `last`, as the inside of a character class."""
    ranges: list[list[int]] = []
    for code in range(min(last, sys.maxunicode) + 1):
        if unicodedata.category(chr(code)) in categories:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(end))}" for first, end in ranges)
