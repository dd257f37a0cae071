"""Hashed words and character n-grams: the spelling of a text, in any script, without a model.

Every feature falls into one coordinate with a sign, both from a fixed tabulation hash, so that dot products
keep their expectation (Weinberger et al., "Feature hashing for large scale multitask learning", 2009).
Counts are integers, so a text's row depends on nothing but the text. Shared n-grams make it robust to typos
and, by transliteration, to accents."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib import metadata

import numpy as np
from numpy.typing import NDArray
from unidecode import unidecode

from workers.core.context import EmbedderIdentity, Vectors
from workers.core.grid import snap

_REVISION = 1  # of the features and their hash: raise it with any change that can move a coordinate
_SEED = 20  # of the tables; part of the fingerprint
_GRAMS = (2, 3, 4)  # lengths of character n-grams, in bytes of the transliterated text
_TABLES = 64  # positions inside a word that have a table of their own; longer words start over
_BATCH_BYTES = 1 << 14  # bounds the working set; the rows do not depend on it
_SPACE = 32


class HashedText:
    """`hash`: hashed words and character n-grams in `dimension` coordinates."""

    def __init__(self, dimension: int = 512) -> None:
        if dimension < 1:
            raise ValueError(f"a hashed embedding needs at least one dimension, not {dimension}")
        self._dimension = dimension
        raw = np.random.Philox(key=_SEED).random_raw((len(_GRAMS) + _TABLES) * 256)
        tables = raw.astype(np.uint64).reshape(-1, 256)
        self._gram_tables, self._word_tables = tables[: len(_GRAMS)], tables[len(_GRAMS) :]
        self.identity = EmbedderIdentity(f"hash{dimension}", self._fingerprint(tables), dimension)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Grid rows (n, dimension); a zero row where a text has nothing but space."""
        out = np.zeros((len(texts), self._dimension), dtype=np.int16)
        for first, batch in _batches([normalise(text) for text in texts]):
            out[first : first + len(batch)] = snap(self._counts(batch))
        return out

    def _counts(self, texts: list[bytes]) -> NDArray[np.float64]:
        """Signed feature counts (n, dimension) of normalised texts."""
        data = np.frombuffer(b"".join(texts), dtype=np.uint8)
        owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        hashes, at = (np.concatenate(column) for column in zip(*self._features(data, owner), strict=True))
        mixed = _mix(hashes)
        # The upper 32 bits times the dimension, shifted down: even over the coordinates, and no division.
        place = ((mixed >> np.uint64(32)) * np.uint64(self._dimension)) >> np.uint64(32)
        cell = owner[at] * self._dimension + place.astype(np.int64)
        sign = (mixed & np.uint64(1)).astype(np.float64) * 2 - 1
        counts = np.bincount(cell, weights=sign, minlength=len(texts) * self._dimension).astype(np.float64)
        return counts.reshape(len(texts), self._dimension)

    def _features(
        self, data: NDArray[np.uint8], owner: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
        """(hashes, positions of their first bytes) of each kind of feature: n-grams of each length, words."""
        for kind, length in enumerate(_GRAMS):
            at = np.arange(max(0, len(data) - length + 1))
            at = at[owner[at] == owner[at + length - 1]]
            grams = np.zeros(len(at), dtype=np.uint64)
            for k in range(length):
                grams += np.left_shift(self._gram_tables[kind][data[at + k]], np.uint64(k)) * np.uint64(
                    2 * k + 1
                )
            yield grams, at
        letter = data != _SPACE
        starts = np.flatnonzero(letter & np.append(True, ~letter[:-1])[: len(letter)])
        inside = np.flatnonzero(letter)
        word = np.searchsorted(starts, inside, side="right") - 1
        place = (inside - starts[word]) % _TABLES
        parts = np.zeros(len(data), dtype=np.uint64)
        parts[inside] = self._word_tables[place, data[inside]]
        if len(starts):
            yield np.add.reduceat(parts, starts), starts

    def _fingerprint(self, tables: NDArray[np.uint64]) -> str:
        version = metadata.version("unidecode")
        plan = f"hash;{_REVISION};{self._dimension};{_GRAMS};unidecode=={version}"
        return sha256(plan.encode() + tables.astype("<u8").tobytes()).hexdigest()


def normalise(text: str) -> bytes:
    """Transliterated to ASCII, lower-cased, words of letters and digits between single spaces, a space
    around.

    A text that has no transliteration (emoji, rare scripts) keeps its own UTF-8 bytes.
    """
    clean = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no character
    words = unidecode(clean.lower(), errors="ignore").lower().translate(_TO_WORDS).split()
    if words:
        return f" {' '.join(words)} ".encode("ascii")
    own = b" ".join(clean.encode("utf-8").split())
    return b" " + own + b" " if own else b""


_TO_WORDS = {i: " " for i in range(128) if not chr(i).isalnum()}


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _batches(texts: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Consecutive texts of about _BATCH_BYTES together, with the index of the first."""
    first = size = 0
    for i, text in enumerate(texts):
        if size and size + len(text) > _BATCH_BYTES:
            yield first, texts[first:i]
            first, size = i, 0
        size += len(text)
    if first < len(texts):
        yield first, texts[first:]
