"""Which labels a text tells, quickly: each text is given the label of the one that is most alike.

    text                     most alike                its label, and the right one
    turn on the lights       turn the lights on        on   on      told
    make it dark             make it bright            on   off     not told

It only picks what is tried in earnest: spelling alone is compared, and without the rule that answers
questions.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.operations.mapping.fields import Field, says
from hurnet_stream.ports import Embedder

LETTERS_SEEN: Final = 500
"""Characters of each text that are compared."""


class Screen:
    """Remembers which records' texts are most alike, by text field."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def lift(self, text: Field, label: Field) -> float:
        """By how much more texts the most alike one tells the label of than the most frequent label is right
        for. Copies of a text are left out: they would always tell."""
        firsts = {str(t): row for row, t in enumerate(text.values) if says(t) and says(label.values[row])}
        rows = sorted(firsts.values())
        if len(rows) < 2:
            return 0.0
        vectors = self._of(text)[rows]  # (rows, d)
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -1.0)
        labels = [str(label.values[row]) for row in rows]
        told = sum(labels[i] == labels[j] for i, j in enumerate(cosines.argmax(axis=1).tolist()))
        return float(told - Counter(labels).most_common(1)[0][1]) / len(rows)

    def _of(self, text: Field) -> NDArray[np.float32]:
        if text.expression not in self._vectors:
            values: list[Any] = [str(value or "")[:LETTERS_SEEN] for value in text.values]
            found = self._embedder.embed(values).astype(np.float32)  # (records, d)
            self._vectors[text.expression] = found / np.maximum(
                np.linalg.norm(found, axis=1, keepdims=True), 1.0
            )
        return self._vectors[text.expression]
