"""What the kernel that reads texts (native/terms.c) must know of characters beyond ASCII.

It reads a text character by character, and so it can only take characters of which each means the same
whatever stands beside it. Which these are, and what they mean, is asked of `terms` itself, one character at
a time, so that both read alike:

    é    in x é y: one word "xey"          a letter, folded to e
    ß    in x ß y: one word "xssy"         a letter, folded to ss; the text grows by one
    «    in x « y: two words, "x" and "y"  separates words
    ©    in x © y: three words             too hard, as is everything else that is neither

Texts with a character that is too hard, or that is not in these alphabets, are read in Python.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.lexical.terms import TERM_BYTES, Records, records, terms
from hurnet_stream.core.native import lexical as kernels
from hurnet_stream.core.reading import readable

FIRST: Final = 0x80
END: Final = 0x2070
_ALPHABETS: Final = ((0x80, 0x530), (0x1E00, END))
"""Latin, Greek and Cyrillic with what is between them, their extensions, and the punctuation of books."""

# The kinds of terms.c.
_SEPARATOR: Final = 0
_LETTER: Final = 1
_HARD: Final = 6
_LETTER_BYTES: Final = 4
_WHOLE: Final = np.dtype(f"V{TERM_BYTES}")
"""A record as one value, to sort by."""


@cache
def characters() -> NDArray[np.uint64]:
    """By code point from FIRST to END: what a letter is folded to, in UTF-8, the first byte lowest; from
    bit 32 on its kind, and from bit 40 on by how many characters a text grows when it is read. It takes 0.1
    s to make."""
    table = np.full(END - FIRST, _HARD << 32, np.uint64)
    for first, end in _ALPHABETS:
        table[first - FIRST : end - FIRST] = [_character(chr(code)) for code in range(first, end)]
    return table


def distinct_records(text: str) -> Records:
    """The records (n, 4) of the distinct terms of a text, in the order in which they first occur."""
    read = None
    if kernels.available():
        read = kernels.read_terms(text.encode("utf-8", "surrogatepass"), characters())
    if read is None:
        return records(list(dict.fromkeys(terms(text))))
    _, first = np.unique(read.view(_WHOLE).reshape(-1), return_index=True)
    return read[np.sort(first)]


def _character(character: str) -> int:
    growth = max(0, len(readable(character)) - 1) << 40
    # A hyphen of any kind separates, but before a digit it may be a sign.
    if terms(f"x{character}y") == [b"x", b"y"] and terms(f"x {character}5y") == [b"x", b"5y"]:
        return _SEPARATOR << 32 | growth
    folded = b"".join(terms(character))
    is_letter = character.isalpha() and terms(f"x{character}y") == [b"x" + folded + b"y"]
    if is_letter and len(folded) <= _LETTER_BYTES:
        return _LETTER << 32 | growth | int.from_bytes(folded, "little")
    return _HARD << 32
