"""The answers of an index, numbered: strings (`string_table`), some of which stand in the arena already: the
texts of entries that are their own answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.string_table import NOWHERE, StringTable
from hurnet_stream.core.stored.entries import NO_ANSWER, Entries

Integers = NDArray[np.int64]


class AnswerTable(StringTable):
    """All answers by their numbers, each held by the entries that have it."""

    def number(self, entries: Entries, addresses: Integers) -> Integers:
        """The number of each entry's answer (n,); an answer that has not been met before gets a new one.

        An entry without an answer is its own answer. That is its text, which stands in the arena at its
        address (n,) and is not held twice.
        """
        answers, answer_of, answer_addresses = _distinct(entries, addresses)
        numbers, _ = self.numbered(answers, answer_addresses)
        self.hold(numbers, np.bincount(answer_of, minlength=len(answers)))
        return numbers[answer_of]


def _distinct(entries: Entries, addresses: Integers) -> tuple[Sequence[str], Integers, Integers]:
    """The m distinct answers of n entries, which of them each entry has (n,), and the address (m,) of each in
    the arena, NOWHERE if it stands in none."""
    own = np.flatnonzero(entries.answer_of == NO_ANSWER)
    if not len(own):
        return entries.answers, entries.answer_of, np.full(len(entries.answers), NOWHERE)
    numbers = {answer: number for number, answer in enumerate(entries.answers)}
    answer_of = entries.answer_of.copy()
    answer_of[own] = [numbers.setdefault(entries.text(row), len(numbers)) for row in own.tolist()]
    answer_addresses = np.full(len(numbers), NOWHERE)
    answer_addresses[answer_of[own]] = addresses[own]
    return list(numbers), answer_of, answer_addresses
