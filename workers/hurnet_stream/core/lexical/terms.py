"""The terms of a text: its words (`core/words.py`) without case and accents, as bytes of UTF-8.

    "Où est l'Été ?"                       ou  est  l  ete
    "lamps, lampada; international"        lamps  lampad  intern
    "C++ costs -5 €, HTTP_404, RX-78000"   c++  costs  5-  €  http_404  rx  78000
    "開燈"                                  開  燈  開燈

A word of letters alone is cut to its first STEM_LETTERS: in most languages what is behind them says case,
number or person, and a question rarely has the same ending as the text that answers it. Numbers and names
with digits or signs in them are whole, since there the last character matters as much as the first.

A term is at most TERM_BYTES long: of what is longer these are the first bytes. So it has a record of fixed
size, four uint64, with zeros behind its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.words import Letters, folded, words

TERM_BYTES: Final = 32
"""Bytes that a term has at most."""
STEM_LETTERS: Final = 6
MOST_LENGTH: Final = 2**16 - 1
"""Terms that a text has at most: what is behind them does not count."""
RECORD_SHAPE: Final = (TERM_BYTES // 8,)

Records = NDArray[np.uint64]


def terms(text: str) -> list[bytes]:
    """The terms of a text in their order, repeated ones included."""
    found = [_stem(word).encode("utf-8", "surrogatepass")[:TERM_BYTES] for word in words(text)]
    found = found[:MOST_LENGTH]
    # A text of punctuation alone may hold a NUL, which is no term's byte: it would look like its end.
    return [term for term in (term.replace(b"\0", b"") for term in found) if term]


def _stem(word: Letters) -> str:
    plain = word.isalpha() if isinstance(word, str) else all(letter[0].isalpha() for letter in word)
    return folded(word[:STEM_LETTERS] if plain else word)


def records(distinct: Sequence[bytes]) -> Records:
    """The records (n, 4) of terms."""
    if not distinct:
        return np.empty((0, *RECORD_SHAPE), np.uint64)
    return np.array(distinct, f"S{TERM_BYTES}").view(np.uint64).reshape(-1, *RECORD_SHAPE)
