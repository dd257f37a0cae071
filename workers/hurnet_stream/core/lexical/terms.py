"""The terms of a text: its words (`core/words.py`) without case and accents, as bytes of UTF-8.

    "Où est l'Été ?"      ou  est  l  ete
    "C++ costs -5 €"      c++  costs  5-
    "開燈"                 開  燈  開燈

A term is at most TERM_BYTES long: of a longer word these are its first bytes. So a term has a record of fixed
size, four uint64, and zeros behind its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.words import folded, words

TERM_BYTES: Final = 32
"""Bytes that a term has at most: 32 letters of English, 16 of Greek, 10 of Hindi."""
MOST_LENGTH: Final = 2**16 - 1
"""Terms that a text has at most: what is behind them does not count."""
RECORD_SHAPE: Final = (TERM_BYTES // 8,)

Records = NDArray[np.uint64]


def terms(text: str) -> list[bytes]:
    """The terms of a text in their order, repeated ones included."""
    found = [folded(word).encode("utf-8", "surrogatepass")[:TERM_BYTES] for word in words(text)]
    found = found[:MOST_LENGTH]
    # A text of punctuation alone may hold a NUL, which is no term's byte: it would look like its end.
    return [term for term in (term.replace(b"\0", b"") for term in found) if term]


def records(distinct: Sequence[bytes]) -> Records:
    """The records (n, 4) of terms."""
    if not distinct:
        return np.empty((0, *RECORD_SHAPE), np.uint64)
    return np.array(distinct, f"S{TERM_BYTES}").view(np.uint64).reshape(-1, *RECORD_SHAPE)
