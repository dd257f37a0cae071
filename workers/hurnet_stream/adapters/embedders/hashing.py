"""Hashed words and character n-grams: the spelling of a text, in any script, without a model.

Each word, and each run of 2, 3 or 4 characters, is a *feature*. A hash of the feature picks one coordinate
and a sign, and the feature adds that sign there. With 8 coordinates:

    text        "On!"
    spelling    " on "
    features    " o" "on" "n "    " on" "on "    " on "    and the word "on"
    counts      [-2, 0, -1, 0, 2, -1, -1, 0]    two of the seven fell into coordinate 0, both with sign -
    row         counts / |counts|, on the grid

Two texts share the features that are spelt alike, and the signs make what collides by chance cancel out on
average, so the cosine keeps its expectation (Weinberger et al., "Feature hashing for large scale multitask
learning", 2009). A typo changes only the few n-grams that it touches. Alphabets are transliterated, so
accents matter little; what is lost by that, each word says in one more feature: its letters as they are
written, and the signs that belong to it (C++, -5). Counts are integers, so a row depends on nothing but its
text.
"""

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

from hurnet_stream.core.grid import snap
from hurnet_stream.core.reading import lowered, readable
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.core.words import NUKTA, is_picture, is_run, letters, pieces, signs_last

_REVISION = 2  # raise it with any change of features or hash that can move a coordinate
_SEED = 20  # of the tables; part of the fingerprint
_GRAMS = (2, 3, 4)  # lengths of character n-grams
_WORD_TABLES = 64  # one for each place in a word; longer words start over
_HIGH_TABLES = 2  # for the second and third byte of a code point
_BATCH_LETTERS = 1 << 14  # bounds the memory in use; the rows do not depend on it
_SPACE = 32

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Spelling:
    """A text as it is hashed: its words with a space around each. `exact` holds, in the same way, the words
    that are written otherwise than `text` says, as they are written."""

    text: str
    exact: str = ""


class HashedText:
    """`hash`: hashed words and character n-grams in `dimension` coordinates."""

    def __init__(self, dimension: int = 512) -> None:
        if dimension < 1:
            raise ValueError(f"a hashed embedding needs at least one dimension, not {dimension}")
        self._dimension = dimension
        # Tabulation hashing: a random number for each byte at each place, and the hash is made of these.
        raw = np.random.Philox(key=_SEED).random_raw((len(_GRAMS) + _WORD_TABLES + _HIGH_TABLES) * 256)
        tables = raw.astype(np.uint64).reshape(-1, 256)
        tables[-_HIGH_TABLES:, 0] = 0  # ASCII has nothing above the lowest byte, and needs no look-up there
        self._gram_tables = tables[: len(_GRAMS)]  # (3, 256)
        self._word_tables = tables[len(_GRAMS) : -_HIGH_TABLES]  # (64, 256)
        self._high_tables = tables[-_HIGH_TABLES:]  # (2, 256)
        self.identity = EmbedderIdentity(f"hash{dimension}", self._fingerprint(tables), dimension)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), dimension) int16; a zero row for a text in which nothing can be
        seen."""
        rows = np.zeros((len(texts), self._dimension), dtype=np.int16)
        for first, batch in _batches([spelling(text) for text in texts]):
            rows[first : first + len(batch)] = snap(self._counts(batch))
        return rows

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)

    def _counts(self, spellings: list[Spelling]) -> NDArray[np.float64]:
        """Signed feature counts (len(spellings), dimension)."""
        features = list(self._features([each.text for each in spellings], _GRAMS))
        if any(each.exact for each in spellings):
            features += self._features([each.exact for each in spellings], ())
        hashes, text_of = (np.concatenate(column) for column in zip(*features, strict=True))  # (features,)
        mixed = _mix(hashes)
        # The upper 32 bits times the dimension, shifted down: even over the coordinates, and no division.
        coordinate = ((mixed >> np.uint64(32)) * np.uint64(self._dimension)) >> np.uint64(32)
        cell = text_of * self._dimension + coordinate.astype(np.int64)
        sign = (mixed & np.uint64(1)).astype(np.float64) * 2 - 1
        size = len(spellings) * self._dimension
        counts = np.bincount(cell, weights=sign, minlength=size).astype(np.float64)
        return counts.reshape(len(spellings), self._dimension)

    def _features(self, texts: list[str], grams: Sequence[int]) -> Iterator[tuple[Hashes, Integers]]:
        """The features of all texts, one kind after another: n-grams of each length, then words. Each kind is
        (hashes, the numbers of the texts they are of)."""
        low, high = self._letters("".join(texts))  # (letters,) each, of all texts in a row
        text_of = np.repeat(np.arange(len(texts)), [len(text) for text in texts])  # (letters,)
        for table, length in zip(self._gram_tables, grams, strict=False):
            starts = np.arange(max(0, len(low) - length + 1))
            starts = starts[text_of[starts] == text_of[starts + length - 1]]  # all of one text
            letters = table[low] if high is None else table[low] ^ high
            yield _gram_hashes(letters, starts, length), text_of[starts]
        if len(starts := self._word_starts(low, high)):
            yield self._word_hashes(low, high, starts), text_of[starts]

    def _letters(self, text: str) -> tuple[NDArray[np.uint8], Hashes | None]:
        """The lowest byte of each code point, and a hash of its upper bytes: 0 if these are 0, and None if
        that is so of all."""
        if text.isascii():
            return np.frombuffer(text.encode("ascii"), np.uint8), None
        code_points = np.frombuffer(text.encode("utf-32-le"), np.uint8).reshape(-1, 4)  # (letters, 4 bytes)
        second, third = code_points[:, 1], code_points[:, 2]
        return code_points[:, 0], self._high_tables[0][second] ^ self._high_tables[1][third]

    def _word_starts(self, low: NDArray[np.uint8], high: Hashes | None) -> Integers:
        is_letter = _is_letter(low, high)
        after_space = np.append(True, ~is_letter[:-1])[: len(is_letter)]
        return np.flatnonzero(is_letter & after_space)

    def _word_hashes(self, low: NDArray[np.uint8], high: Hashes | None, starts: Integers) -> Hashes:
        """A hash for each word (words,): the sum of one number per letter, which depends on its place."""
        inside = np.flatnonzero(_is_letter(low, high))  # (letters of words,)
        word = np.searchsorted(starts, inside, side="right") - 1  # (letters of words,)
        place = (inside - starts[word]) % _WORD_TABLES
        numbers = np.zeros(len(low), dtype=np.uint64)  # a space adds nothing
        numbers[inside] = self._word_tables[place, low[inside]]
        if high is not None:
            numbers[inside] ^= high[inside] * (2 * place.astype(np.uint64) + np.uint64(1))
        sums: Hashes = np.add.reduceat(numbers, starts)  # from each start to the next
        return sums

    def _fingerprint(self, tables: Hashes) -> str:
        version = metadata.version("unidecode")
        plan = f"hash;{_REVISION};{self._dimension};{_GRAMS};unidecode=={version}"
        return sha256(plan.encode() + tables.astype("<u8").tobytes()).hexdigest()


def _gram_hashes(letters: Hashes, starts: Integers, length: int) -> Hashes:
    """A hash for each n-gram (len(starts),). What a letter adds depends on its place in the n-gram: "on" is
    not "no"."""
    hashes = np.zeros(len(starts), dtype=np.uint64)
    for place in range(length):
        numbers = np.left_shift(letters[starts + place], np.uint64(place))
        hashes += numbers * np.uint64(2 * place + 1)
    return hashes


def _is_letter(low: NDArray[np.uint8], high: Hashes | None) -> NDArray[np.bool_]:
    """Whether each is part of a word: anything but a space, whose upper bytes are 0 too."""
    is_letter: NDArray[np.bool_] = low != _SPACE
    return is_letter if high is None else is_letter | (high != 0)


def spelling(text: str) -> Spelling:
    """The words of a text: letters and digits, without case, alphabets transliterated to ASCII. A text
    without any letters or digits, such as punctuation alone, is taken as it stands."""
    clean = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no character
    if clean.isascii() and not _SIGNED.search(clean):
        plain, exact = clean.lower().translate(_TO_WORDS).split(), []
    else:
        clean = lowered(readable(clean)).replace("°", "deg")  # a unit, said in letters as others are
        spelt = [(_kept if len(piece) <= _KEPT_LETTERS_MAX else _spelt)(piece) for piece in pieces(clean)]
        plain = [plain_piece for plain_piece, _ in spelt if plain_piece]
        exact = [exact_piece for _, exact_piece in spelt if exact_piece]
    return Spelling(_spaced(plain or clean.split()), _spaced(exact))


def _spaced(words: Sequence[str]) -> str:
    return f" {' '.join(words)} " if words else ""


def _spelt(piece: str) -> tuple[str, str]:
    """What a piece of a text (core/words.py) adds to `Spelling.text`, and to `Spelling.exact` if that says
    less."""
    if is_picture(piece):
        plain = _COLOURS.sub("", piece)  # a thumb of any skin colour is a thumb, and also itself
        return plain, piece if piece != plain else ""
    if is_run(piece):  # a script without spaces between its words
        return piece.translate(_TO_HIRAGANA), " ".join(letters(piece))
    exact = signs_last(piece)
    plain = _NO_LETTERS.sub(" ", exact)
    if _ALPHABETIC.fullmatch(plain):
        plain = unidecode(plain.replace("ё", "е"), errors="ignore").lower().translate(_TO_WORDS)
    else:  # other scripts stay as they are: unidecode would make the same letters of different words
        plain = "".join(letter for letter in normalize("NFD", plain) if combining(letter) != NUKTA)
    plain = " ".join(plain.split())
    return plain, exact if normalize("NFC", plain) not in (exact, exact.strip("_")) else ""


_kept = lru_cache(maxsize=1 << 16)(_spelt)
_KEPT_LETTERS_MAX = 64  # a longer piece is hardly a word, would come again seldom, and takes memory
_SIGNED = re.compile(r"[#@&^$+<=>]|(?<!\w)-(?=\d)")  # ASCII that needs more than to be lowered and split
_NO_LETTERS = re.compile(r"[_#@&§^+<=>±×÷\-\u0024\u00a2-\u00a5\u058f\u060b\u20a0-\u20cf]+")
_ALPHABETIC = re.compile(
    "[\u0000-\u058f\u10a0-\u10ff\u1c90-\u1cbf\u1e00-\u1fff\u2c60-\u2c7f\ua640-\ua69f\ua720-\ua7ff]*"
)
_COLOURS = re.compile("(?<=.)[\U0001f3fb-\U0001f3ff]")
_TO_WORDS = {i: " " for i in range(128) if not chr(i).isalnum()}
# Katakana, so that both ways to write a Japanese word share their features.
_TO_HIRAGANA = {i: i - 0x60 for i in range(0x30A1, 0x30F7)}


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _batches(spellings: list[Spelling]) -> Iterator[tuple[int, list[Spelling]]]:
    """Consecutive spellings of about `_BATCH_LETTERS` together, with the number of the first of them."""
    first = size = 0
    for number, each in enumerate(spellings):
        if size and size + len(each.text) > _BATCH_LETTERS:
            yield first, spellings[first:number]
            first, size = number, 0
        size += len(each.text)
    if first < len(spellings):
        yield first, spellings[first:]
