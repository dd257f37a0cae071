"""Hashed words and character n-grams: the spelling of a text, in any script, without a model.

Every feature falls into one coordinate with a sign, both from a fixed tabulation hash, so that dot products
keep their expectation (Weinberger et al., "CpuFeature hashing for large scale multitask learning", 2009).
Counts are integers, so a text's row depends on nothing but the text. Shared n-grams make it robust to typos
and, since alphabets are transliterated, to accents. What transliteration loses, each word says in a feature
of its own: its letters as they are written, and the signs that belong to it (C++, -5)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import metadata
from unicodedata import combining, normalize

import numpy as np
from numpy.typing import NDArray
from unidecode import unidecode

from hurnet.core.grid import snap
from hurnet.core.reading import lowered, readable
from hurnet.core.stored.batch import EmbedderIdentity, Vectors
from hurnet.core.words import NUKTA, is_picture, is_run, letters, pieces, signs_last

_REVISION = 2  # of the features and their hash: raise it with any change that can move a coordinate
_SEED = 20  # of the tables; part of the fingerprint
_GRAMS = (2, 3, 4)  # lengths of character n-grams
_TABLES = 64  # positions inside a word that have a table of their own; longer words start over
_BATCH_LETTERS = 1 << 14  # bounds the working set; the rows do not depend on it
_HIGH = 2  # tables for the second and third byte of a code point
_SPACE = 32

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Spelling:
    """A text as it is hashed: its words between single spaces, a space around, and `exact`: likewise those
    that are written otherwise than it says there."""

    text: str
    exact: str = ""


class HashedText:
    """`hash`: hashed words and character n-grams in `dimension` coordinates."""

    def __init__(self, dimension: int = 512) -> None:
        if dimension < 1:
            raise ValueError(f"a hashed embedding needs at least one dimension, not {dimension}")
        self._dimension = dimension
        raw = np.random.Philox(key=_SEED).random_raw((len(_GRAMS) + _TABLES + _HIGH) * 256)
        tables = raw.astype(np.uint64).reshape(-1, 256)
        tables[-_HIGH:, 0] = 0  # what ASCII has above its lowest byte changes nothing
        self._gram_tables, self._word_tables = tables[: len(_GRAMS)], tables[len(_GRAMS) : -_HIGH]
        self._high_tables = tables[-_HIGH:]
        self.identity = EmbedderIdentity(f"hash{dimension}", self._fingerprint(tables), dimension)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Grid rows (n, dimension); a zero row for a text in which nothing can be seen."""
        out = np.zeros((len(texts), self._dimension), dtype=np.int16)
        for first, batch in _batches([spelling(text) for text in texts]):
            out[first : first + len(batch)] = snap(self._counts(batch))
        return out

    def _counts(self, texts: list[Spelling]) -> NDArray[np.float64]:
        """Signed feature counts (n, dimension)."""
        found = list(self._features([text.text for text in texts], _GRAMS))
        if any(text.exact for text in texts):
            found += self._features([text.exact for text in texts], ())
        hashes, owner = (np.concatenate(column) for column in zip(*found, strict=True))
        mixed = _mix(hashes)
        # The upper 32 bits times the dimension, shifted down: even over the coordinates, and no division.
        place = ((mixed >> np.uint64(32)) * np.uint64(self._dimension)) >> np.uint64(32)
        cell = owner * self._dimension + place.astype(np.int64)
        sign = (mixed & np.uint64(1)).astype(np.float64) * 2 - 1
        counts = np.bincount(cell, weights=sign, minlength=len(texts) * self._dimension).astype(np.float64)
        return counts.reshape(len(texts), self._dimension)

    def _features(self, texts: list[str], grams: Sequence[int]) -> Iterator[tuple[Hashes, Integers]]:
        """(hashes, numbers of their texts) of each kind of feature: n-grams of each length, words."""
        low, high = self._letters("".join(texts))
        owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        for kind, length in enumerate(grams):
            at = np.arange(max(0, len(low) - length + 1))
            at = at[owner[at] == owner[at + length - 1]]
            values = self._gram_tables[kind][low] if high is None else self._gram_tables[kind][low] ^ high
            hashes = np.zeros(len(at), dtype=np.uint64)
            for k in range(length):
                hashes += np.left_shift(values[at + k], np.uint64(k)) * np.uint64(2 * k + 1)
            yield hashes, owner[at]
        letter = low != _SPACE if high is None else (low != _SPACE) | (high != 0)
        starts = np.flatnonzero(letter & np.append(True, ~letter[:-1])[: len(letter)])
        inside = np.flatnonzero(letter)
        word = np.searchsorted(starts, inside, side="right") - 1
        place = (inside - starts[word]) % _TABLES
        parts = np.zeros(len(low), dtype=np.uint64)
        parts[inside] = self._word_tables[place, low[inside]]
        if high is not None:
            parts[inside] ^= high[inside] * (2 * place.astype(np.uint64) + np.uint64(1))
        if len(starts):
            yield np.add.reduceat(parts, starts), owner[starts]

    def _letters(self, text: str) -> tuple[NDArray[np.uint8], Hashes | None]:
        """The lowest byte of each code point, and a hash of the others, which is 0 where they are."""
        if text.isascii():
            return np.frombuffer(text.encode("ascii"), np.uint8), None
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint8).reshape(-1, 4)
        return codes[:, 0], self._high_tables[0][codes[:, 1]] ^ self._high_tables[1][codes[:, 2]]

    def _fingerprint(self, tables: Hashes) -> str:
        version = metadata.version("unidecode")
        plan = f"hash;{_REVISION};{self._dimension};{_GRAMS};unidecode=={version}"
        return sha256(plan.encode() + tables.astype("<u8").tobytes()).hexdigest()


def spelling(text: str) -> Spelling:
    """Words of letters and digits, without case, and alphabets transliterated to ASCII. A text without any,
    such as punctuation alone, is taken as it stands."""
    clean = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no character
    if clean.isascii() and not _SIGNED.search(clean):
        found, exact = clean.lower().translate(_TO_WORDS).split(), []
    else:
        clean = lowered(readable(clean)).replace("°", "deg")  # a unit, said in letters as others are
        spelt = [(_kept if len(piece) <= _MOST_KEPT else _spelt)(piece) for piece in pieces(clean)]
        found, exact = [a for a, _ in spelt if a], [b for _, b in spelt if b]
    return Spelling(_spaced(found or clean.split()), _spaced(exact))


def _spaced(words: Sequence[str]) -> str:
    return f" {' '.join(words)} " if words else ""


def _spelt(piece: str) -> tuple[str, str]:
    """A piece of a text (words.py) in the first part of a `Spelling`, and what of it the second must say."""
    if is_picture(piece):
        plain = _COLOURS.sub("", piece)
        return plain, piece if piece != plain else ""
    if is_run(piece):
        return piece.translate(_TO_HIRAGANA), " ".join(letters(piece))
    exact = signs_last(piece)
    plain = _NO_LETTERS.sub(" ", exact)
    if _ALPHABETIC.fullmatch(plain):
        plain = unidecode(plain.replace("ё", "е"), errors="ignore").lower().translate(_TO_WORDS)
    else:
        plain = "".join(letter for letter in normalize("NFD", plain) if combining(letter) != NUKTA)
    plain = " ".join(plain.split())
    return plain, exact if normalize("NFC", plain) not in (exact, exact.strip("_")) else ""


_kept = lru_cache(maxsize=1 << 16)(_spelt)
_MOST_KEPT = 64  # characters of a piece that is spelt once and remembered
_SIGNED = re.compile(r"[#@&^$+<=>]|(?<!\w)-(?=\d)")
_NO_LETTERS = re.compile(r"[_#@&§^+<=>±×÷\-\u0024\u00a2-\u00a5\u058f\u060b\u20a0-\u20cf]+")
_ALPHABETIC = re.compile(
    "[\u0000-\u058f\u10a0-\u10ff\u1c90-\u1cbf\u1e00-\u1fff\u2c60-\u2c7f\ua640-\ua69f\ua720-\ua7ff]*"
)
_COLOURS = re.compile("(?<=.)[\U0001f3fb-\U0001f3ff]")
_TO_WORDS = {i: " " for i in range(128) if not chr(i).isalnum()}
_TO_HIRAGANA = {i: i - 0x60 for i in range(0x30A1, 0x30F7)}


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _batches(texts: list[Spelling]) -> Iterator[tuple[int, list[Spelling]]]:
    """Consecutive texts of about _BATCH_LETTERS together, with the index of the first."""
    first = size = 0
    for i, text in enumerate(texts):
        if size and size + len(text.text) > _BATCH_LETTERS:
            yield first, texts[first:i]
            first, size = i, 0
        size += len(text.text)
    if first < len(texts):
        yield first, texts[first:]
