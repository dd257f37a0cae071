"""A question as the lexical part takes it: its terms by number, rarest first, and what each can add.

Of 24,000 entries 900 hold "where", 20,000 "is", all "the", 2 "teapot" and none "please". Then the question
"where is the teapot please" is

    numbers    teapot, where, is, the          the terms that entries hold, rarest first
    most       20.2    7.2    0.4  0.0         what each can add
    whole      20.2 + 7.2 + 0.4 + 0.0 + 23.7   "please" counts, too: no entry has all of the question
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.lexical import bm25
from hurnet_stream.core.lexical.alphabet import distinct_records
from hurnet_stream.core.lexical.vocabulary import Vocabulary

MOST_ASKED: Final = 64
"""Terms of a question that are looked for: of a longer one its rarest, and of equally rare ones the first."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The numbers (t,) of the terms that are looked for, rarest first, what each can add at most (t,), and
    what all terms of the question can add together, those that no entry holds included. `damping`
    (lengths,) is that of `bm25`."""

    numbers: Integers
    most: Integers
    whole: int
    damping: NDArray[np.float64]

    def shares(self, scores: Integers) -> NDArray[np.float64]:
        """Scores (n,) on the grid as shares of what the question could score, in [0, 1]."""
        shares: NDArray[np.float64] = scores / max(self.whole, 1)
        return shares


class Chosen(NamedTuple):
    """Which of the terms of a text are looked for (t,), rarest first, what each can add at most (t,), and
    what all terms of the text can add together."""

    places: Integers
    most: Integers
    whole: int


def question(text: str, vocabulary: Vocabulary, entries: int, damping: NDArray[np.float64]) -> Question:
    """The question that `text` asks of so many entries. A term that is repeated in it counts once."""
    numbers = vocabulary.find(distinct_records(text))
    chosen = choose(vocabulary.holding(numbers), entries)
    return Question(numbers[chosen.places], chosen.most, chosen.whole, damping)


def choose(holding: Integers, entries: int) -> Chosen:
    """The choice among terms (n,) of which each is held by so many of the entries, in all places where these
    are."""
    known = np.flatnonzero(holding)
    rarest = known[np.argsort(holding[known], kind="stable")[:MOST_ASKED]]
    most = [bm25.most(entries, held) for held in holding[rarest].tolist()]
    unknown = min(len(holding) - len(known), MOST_ASKED - len(most))
    whole = sum(most) + unknown * bm25.most(entries, 0)
    return Chosen(rarest, np.array(most, np.int64), whole)
