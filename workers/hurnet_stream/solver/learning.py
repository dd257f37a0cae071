"""Pairs into statistics.

    batch       row  context  answer           copies        statistics of faq
                0    faq      "yes"            1             count += 1, G += x0 x0ᵀ, B_yes += x0
                1    faq      None             1             (plain memory: nothing to learn)
                2    faq      "no"             3             count += 3, G += 3 x2 x2ᵀ, B_no += 3 x2

Where pairs age, each goes into the statistics of its own pane ("faq@12"), and is counted by its age when
these are combined (core/solve/window.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.core.solve.window import NOTHING_AGES, Window
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Batch, Vectors
from hurnet_stream.core.stored.entries import Entries


class Pairs(NamedTuple):
    """Vectors (n, d) int16 on the grid, the answer of each, and how often each counts (n,)."""

    vectors: Vectors
    answers: list[str]
    copies: NDArray[np.int64]


def pairs(batches: Iterable[Batch], window: Window = NOTHING_AGES) -> Mapping[str, Pairs]:
    """The entries that teach an answer, by the key of the statistics that they belong to.

    That key is their context or, if pairs age, one pane of it; pairs older than the window are left out.
    """
    pieces: dict[str, list[Pairs]] = {}
    for batch in batches:
        columns = batch.columns
        for key, rows in _rows_by_key(columns, window).items():
            answers = [columns.answers[answer] for answer in columns.answer_of[rows].tolist()]
            pieces.setdefault(key, []).append(Pairs(batch.vectors[rows], answers, columns.copies[rows]))
    return {key: _joined(of_key) for key, of_key in pieces.items()}


def learn(
    statistics: dict[str, Statistics],
    batches: Iterable[Batch],
    kernel_map: KernelMap,
    window: Window = NOTHING_AGES,
    device: str = "cpu",
) -> Counter[str]:
    """Add the pairs of `batches` to the statistics that they belong to (eq. 3: G and C).

    Returns how many pairs were added to the statistics of each key.
    """
    added: Counter[str] = Counter()
    for key, (vectors, answers, copies) in pairs(batches, window).items():
        if key not in statistics:  # the first pair of a context, or of a pane
            statistics[key] = Statistics(kernel_map.size, device)
        statistics[key].add(kernel_map(vectors), answers, copies)
        added[key] = len(answers)
    return added


def _rows_by_key(entries: Entries, window: Window) -> Mapping[str, list[int]]:
    taught = np.flatnonzero(entries.teaches)
    contexts, timestamps_ms = entries.context_of[taught], entries.timestamps_ms[taught]
    rows: dict[str, list[int]] = {}
    for row, context, timestamp_ms in zip(
        taught.tolist(), contexts.tolist(), timestamps_ms.tolist(), strict=True
    ):
        if key := window.key(entries.contexts[context], timestamp_ms):
            rows.setdefault(key, []).append(row)
    return rows


def _joined(pieces: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([piece.vectors for piece in pieces]),
        [answer for piece in pieces for answer in piece.answers],
        np.concatenate([piece.copies for piece in pieces]),
    )
