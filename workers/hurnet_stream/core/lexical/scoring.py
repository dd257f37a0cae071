"""What the rows of runs score, in numpy: what the kernels (native/lexical.c) do, without skipping
anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.lexical.bm25 import adds
from hurnet_stream.core.lexical.question import Question
from hurnet_stream.core.lexical.run import Run

Integers = NDArray[np.int64]
Lengths = NDArray[np.uint16]


def add_up(question: Question, run: Run, lengths: Lengths, scores: Integers) -> None:
    """Add to the scores (slots,) of a block what the postings of one of its runs say. `lengths` (slots,)
    are those of the block's rows."""
    for number, most in zip(question.numbers.tolist(), question.most.tolist(), strict=True):
        held = run.postings(number)
        slots = run.slots[held]
        scores[slots] += adds(most, run.times[held], question.damping[lengths[slots]])
