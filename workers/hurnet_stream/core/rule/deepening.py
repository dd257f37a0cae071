"""More answers than the near entries have: for a query that asks for k, and finds fewer among its candidates.

The 256 nearest entries may all have one answer, as near duplicates do. So the search is asked again for the
nearest entries of all *other* answers, as often as it takes:

    asked for 3      candidates    on
    search 1         without on                     off 0.61, off 0.60, dim 0.44, off 0.41 ...
    found            on | off, dim

Each search finds an answer that was not there, unless the context has no more, so there are at most k of
them, each as exact and as long as any search. An answer found this way has its nearest entry by the whole
vector, and none of the scores that take neighbours: meaning, spelling and words are 0. So it says nothing
against the candidates that the near entries have, and stands behind them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.readable import Index
from hurnet_stream.core.rule.comparing import with_question
from hurnet_stream.core.rule.halves import Halves
from hurnet_stream.core.rule.neighbourhood import NEIGHBOURS, Neighbourhood
from hurnet_stream.core.rule.parts import Parts

Integers = NDArray[np.int64]


def deepened(
    text: str, near: Neighbourhood, parts: Parts, index: Index, halves: Halves, wanted: int
) -> Parts | None:
    """The parts of the next `wanted` answers that are not among those of `parts`, fewer if the context has no
    more; None if it has none."""
    rows = _nearest_of_others(near, parts.answers, index, wanted)
    if not len(rows):
        return None
    held = index.described(rows)
    cosines, nothing = with_question(index, rows, near.vector, halves.distinct), np.zeros(len(rows))
    return Parts(
        held.answers,
        index.taught(held.answers, near.exclude),
        meaning=nothing,
        spelling=nothing,
        lexical=index.lexical_scores(text, rows),
        words=nothing,
        weights=None if near.predict is None else np.clip(near.predict(rows), 0.0, 1.0),
        refuted=nothing,
        shares=parts.shares,
        rows=rows,
        candidate=np.arange(len(rows)),
        by_meaning=cosines[0],
        by_spelling=cosines[-1],
    )


def _nearest_of_others(near: Neighbourhood, known: Integers, index: Index, wanted: int) -> Integers:
    """The row of the nearest entry of each of the nearest answers that are not `known`, nearest first: at
    most `wanted`. An answer that is refuted nearer than it is supported is passed over."""
    rows: list[int] = []
    within = [near.within] if near.within else None
    for _ in range(wanted):
        found = index.search(near.vector[None], NEIGHBOURS, [near.exclude], known, within)[0].rows
        held = index.described(found)
        answers, first = np.unique(held.answers, return_index=True)  # the nearest entry of each answer
        rows += found[np.sort(first[held.supports[first]])].tolist()
        if not len(found) or len(rows) >= wanted:
            break
        known = np.concatenate([known, answers])
    return np.array(rows[:wanted], np.int64)
