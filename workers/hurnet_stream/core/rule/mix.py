"""How much each part counts: factors for three kinds of answers, mixed by what stands near a question.

What an answer's score should rest on depends on how often the answer was taught:

    once    its only phrasing must be recognised: rare words say best which text is meant
    few     2 to 7 phrasings, as of a FAQ: people ask it in words of their own, so meaning counts most
    many    8 or more, as of an intent: the phrasings show what may vary, so spelling and the weights help

A context may hold all three. So its mix has factors for each kind, and a question takes their mean, weighted
by the kinds of the answers that stand near it:

    near the question   0.9 (a FAQ)    0.8 (a FAQ)    0.6 (an intent)
    to the power of 8   0.43           0.17           0.02              few 0.97, many 0.03

A half in which nothing is near says nothing. So spelling, rare words and words count by how near the nearest
entry is by spelling, and memory and weights by how near it is by meaning (`trusted`):

    cosine of the nearest by spelling    0.4 and below    0.5     0.6 and above
    they count                           not at all       half    in full
    cosine of the nearest by meaning     0.5 and below    0.6     0.7 and above

`PRIOR` was chosen on sets of all kinds (docs/decisions/0176). What a context was taught changes it:
`rehearsal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.group_sums import sums_by_group
from hurnet_stream.core.rule import confidence
from hurnet_stream.core.rule.confidence import Calibration

Floats = NDArray[np.float64]

KINDS = ("once", "few", "many")
_FEW, _MANY = 2, 8
_NEARNESS = 8
"""The power of a cosine with which an answer's kind counts."""


@dataclass(frozen=True, slots=True)
class Factors:
    """How much each part of an answer's evidence counts (see `rule`).

    `meaning`, 0 to 1, is the share of the local solve by meaning; that by spelling has the rest. The others
    are from 0 up, where both solves together are 1.
    """

    meaning: float
    memory: float
    lexical: float
    words: float
    weights: float

    def as_row(self) -> Floats:
        """(5,), in the order of the fields."""
        return np.array([getattr(self, name) for name in FACTORS])


FACTORS = tuple(each.name for each in fields(Factors))


@dataclass(frozen=True, slots=True)
class Mix:
    """The factors for each kind of answers, and what they were learned from."""

    once: Factors
    few: Factors
    many: Factors
    version: int = 0
    """Grows with each mix that a context publishes. 0: the prior."""
    rehearsed: Mapping[str, int] = field(default_factory=dict)
    """By kind, how many taught pairs were left out and asked to learn it."""
    right: Mapping[str, float] = field(default_factory=dict)
    """By kind, the share of these that the others answer rightly, by this mix."""
    calibration: Calibration | None = None
    """How probable it is that an answer is right; None if too little was taught to tell."""

    def of(self, shares: Floats, meaning: Floats, spelling: Floats) -> Floats:
        """The factors (n, 5), in the order of FACTORS, for questions near which the kinds have these shares
        (n, 3), given the cosine of the nearest entry by meaning and by spelling (n,)."""
        table = np.array([self.once.as_row(), self.few.as_row(), self.many.as_row()])  # (kinds, factors)
        return trusted(shares @ table, meaning, spelling)

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain types, for `decode`."""
        factors = {kind: asdict(getattr(self, kind)) for kind in KINDS}
        learned = {"rehearsed": dict(self.rehearsed), "right": dict(self.right)}
        calibration = self.calibration and self.calibration.as_dict()
        return {**factors, **learned, "version": self.version, "calibration": calibration}


PRIOR = Mix(
    once=Factors(meaning=0.5, memory=0.15, lexical=2.0, words=0.02, weights=0.0),
    few=Factors(meaning=0.75, memory=0.25, lexical=0.0, words=0.0, weights=0.05),
    many=Factors(meaning=0.35, memory=0.1, lexical=0.5, words=0.0, weights=0.25),
)
"""What counts in a context that has taught nothing else yet."""


def decode(encoded: Mapping[str, Any]) -> Mix:
    """The mix that `as_dict` gave. Raises ValueError if it is none."""
    try:
        kinds = {kind: _factors(encoded[kind]) for kind in KINDS}
        calibration = encoded["calibration"]
        return Mix(
            **kinds,
            version=int(encoded["version"]),
            rehearsed={str(kind): int(count) for kind, count in encoded["rehearsed"].items()},
            right={str(kind): float(share) for kind, share in encoded["right"].items()},
            calibration=None if calibration is None else confidence.decode(calibration),
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a mix: {type(error).__name__}: {error}") from error


def _factors(encoded: Mapping[str, Any]) -> Factors:
    factors = Factors(*(float(encoded[name]) for name in FACTORS))
    row = factors.as_row()
    if not (np.isfinite(row).all() and row.min() >= 0 and factors.meaning <= 1):
        raise ValueError(f"factors out of bounds: {factors}")
    return factors


def trusted(factors: Floats, meaning: Floats, spelling: Floats) -> Floats:
    """Factors (n, 5) as they count for questions whose nearest entry has these cosines (n,) by meaning and by
    spelling."""
    by_meaning = np.clip((meaning - 0.5) / 0.2, 0.0, 1.0)
    by_spelling = np.clip((spelling - 0.4) / 0.2, 0.0, 1.0)
    share, memory, lexical, words, weights = factors.T  # as Factors has them
    kept = (
        1 - (1 - share) * by_spelling,
        memory * by_meaning,
        lexical * by_spelling,
        words * by_spelling,
        weights * by_meaning,
    )
    return np.stack(kept, axis=1)


def kinds_of(taught: NDArray[np.int64]) -> NDArray[np.int64]:
    """The kind of each answer (n,), as an index into KINDS, by how many pairs teach it."""
    return np.searchsorted([_FEW, _MANY], taught, side="right")


def shares(kinds: NDArray[np.int64], cosines: Floats) -> Floats:
    """The share of each kind (3,) near a question, given the kind of each candidate (n,) and the cosine of
    its nearest entry (n,). They add up to 1."""
    nearness = np.maximum(cosines, 1e-3) ** _NEARNESS  # above 0, so that some kind always counts
    by_kind = sums_by_group(kinds, nearness, len(KINDS))
    result: Floats = by_kind / by_kind.sum()
    return result
