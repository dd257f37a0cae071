"""What makes scores the same to the last bit: the arithmetic of this program on this machine, by a digest.

The nearest entries and all cosines are decided in integers, but scores are floating point. Which kernel made
them, which BLAS, which version of the rule: each may change the last digit. No list of versions is ever
complete, so a fixed example is computed, and what comes out is hashed:

    kernels/2 3f1c09a4b25d7e66      kernels with AVX-512, and the digest of the example's scores
    libraries 9b02...               no kernels: numpy does their work

Equal digests: an answer asked again is the same bytes (`hurnet replay`). Others: its last digits may differ.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import search as kernels
from hurnet_stream.core.rule import rule
from hurnet_stream.core.rule.confidence import Calibration
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.core.stored.entries import Entry

_ENTRIES: Final = 240
"""Enough that one answer's sum is kept, and a local solve is over many rows."""
_QUESTIONS: Final = 3
_COMMON: Final = 100
"""Entries of the answer that is taught most."""
_WORDS: Final = ("reset", "the", "password", "lamp", "turn", "on", "off", "kitchen", "tea", "please", "where")

Floats = NDArray[np.float64]


def arithmetic(halves: Halves) -> str:
    """The arithmetic for vectors with these halves. It takes some milliseconds the first time."""
    meaning, spelling = halves.meaning, halves.spelling
    return _arithmetic((meaning.start, meaning.stop), (spelling.start, spelling.stop), kernels.available())


@cache
def _arithmetic(meaning: tuple[int, int], spelling: tuple[int, int], native: bool) -> str:
    halves = Halves(slice(*meaning), slice(*spelling))
    state = hashlib.sha256()
    for figures in _example(halves):
        state.update(np.asarray(figures, "<f8").tobytes())
    by = f"kernels/{kernels.best_level()}" if native else "libraries"
    return f"{by} {state.hexdigest()[:16]}"


def _example(halves: Halves) -> list[Floats]:
    """The scores of some questions about a made-up context, and of functions that libraries round in ways of
    their own."""
    vectors = _vectors(_ENTRIES + _QUESTIONS, halves.dimension)
    index = ContextIndex(halves.dimension)
    index.append(0, [_entry(row) for row in range(_ENTRIES)], vectors[:_ENTRIES])
    asked = vectors[_ENTRIES:]
    near = rule.nearest(asked, index, _projection(halves.dimension), halves=halves)
    texts = [_text(row) for row in range(_ENTRIES, _ENTRIES + _QUESTIONS)]
    figures = [_scores(ranking) for ranking in rule.ranked(texts, near, index, halves)]
    calibration = Calibration((0.2, 5.2, 0.2, -2.5), (), 0.0, 0)
    steps = np.arange(1, 17) / 17
    sure = [calibration.probability(step, step / 2, 1 - step) for step in steps.tolist()]
    return [*figures, np.array(sure), np.exp2(-steps), steps**0.37]


def _scores(ranking: rule.Ranking) -> Floats:
    rows = [
        (c.combined, c.evidence, *(getattr(c.scores, part) or 0.0 for part in rule.PARTS))
        for c in ranking.candidates
    ]
    return np.array(rows)


def _entry(row: int) -> Entry:
    copies = 1 + row % 3 if row % 5 == 0 else -1 if row % 97 == 0 else 1
    answer = "common" if row < _COMMON else f"answer {row % 40}"
    return Entry(row, 1_000 * row, "example", _text(row), answer, {}, copies)


def _text(row: int) -> str:
    return " ".join(_WORDS[(row * step) % len(_WORDS)] for step in range(1, 3 + row % 4))


def _vectors(rows: int, dimension: int) -> Vectors:
    """Rows (rows, dimension) of about unit length on the grid: near each other, as texts of one kind are."""
    noise = hashlib.shake_256(b"hurnet").digest(2 * rows * dimension)
    drawn = np.frombuffer(noise, "<i2").reshape(rows, dimension).astype(np.float64)
    drawn[1:] += 1.5 * drawn[0]
    lengths = np.sqrt(np.vecdot(drawn, drawn))
    on_grid: Vectors = np.rint(drawn * (SCALE / lengths)[:, None]).astype(np.int16)
    return on_grid


def _projection(dimension: int) -> Floats:
    """A symmetric matrix (dimension, dimension) that is much like solved weights."""
    places = np.arange(dimension)
    matrix: Floats = ((places[:, None] * places) % 97 - 48) / 960 + 10.0 * np.eye(dimension)
    return matrix
