"""The attributes of an index by number, each a key with a value: numbers written in them, and the order of
texts.

    number   string        key    as number    head
    0        "lang"        -
    1        "lang=en"     0      NaN          "en"
    2        "price"       -
    3        "price=12.5"  2      12.5         "12.5"

An attribute is held by the rows that have it, and so is its key. One that no row has any more is forgotten.
Texts are ordered by code points, which is the order of their UTF-8. The first HEAD bytes of each value are
compared all at once; only values that begin with the same ones as the bound are read in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.held import array_bytes
from hurnet_stream.core.index.arena import Arena
from hurnet_stream.core.index.conditions import Between, number_in
from hurnet_stream.core.index.string_table import StringTable
from hurnet_stream.core.shelf import Tree
from hurnet_stream.core.slots import EMPTY, grown

HEAD: Final = 32
"""Bytes: as many as a date with microseconds and its zone has."""

_OPERATORS: Final = {
    "at_least": np.greater_equal,
    "above": np.greater,
    "at_most": np.less_equal,
    "below": np.less,
}

Integers = NDArray[np.int64]
Passes = NDArray[np.bool_]


class AttributeValues:
    """All attributes and keys by their numbers. `keys` (numbers,) says of each attribute which key it has,
    EMPTY of what is no attribute."""

    def __init__(self, arena: Arena) -> None:
        self.strings = StringTable(arena)
        self.keys = np.empty(0, np.int32)
        self._numbers = np.empty(0, np.float64)
        self._heads = np.empty(0, f"S{HEAD}")

    @property
    def nbytes(self) -> int:
        """The bytes of its tables; those of the strings are the arena's."""
        return array_bytes(self, self.strings)

    def saved(self) -> Tree:
        """What `restore` needs."""
        count = len(self.strings)
        described = {
            "keys": self.keys[:count],
            "numbers": self._numbers[:count],
            "heads": self._heads[:count],
        }
        return {**described, "strings": self.strings.saved()}

    def restore(self, tree: Tree) -> None:
        """Be what was saved, over an arena that was, too."""
        self.keys, self._numbers, self._heads = tree["keys"], tree["numbers"], tree["heads"]
        self.strings.restore(tree["strings"])

    def key(self, key: str) -> int:
        """The number of a key, EMPTY if no row has it."""
        return self.strings.find([key]).item(0)

    def find(self, key: str, values: Sequence[str]) -> Integers:
        """The numbers (n,) of a key with these values, EMPTY for those that no row has."""
        return self.strings.find([f"{key}={value}" for value in values])

    def numbers(self, metadata: Mapping[str, str]) -> Integers:
        """The attributes (n,) of a row with this metadata, all of which are held."""
        return self.strings.find([f"{key}={value}" for key, value in metadata.items()])

    def hold(self, metadata: Sequence[Mapping[str, str]]) -> Integers:
        """The attributes (items,) of rows that came, row by row."""
        distinct: dict[str, int] = {}
        of_item = [
            distinct.setdefault(f"{key}={value}", len(distinct))
            for fields in metadata
            for key, value in fields.items()
        ]
        strings = list(distinct)
        numbers, new = self.strings.numbered(strings)
        if new.any():
            self._describe(numbers[new], list(compress(strings, new.tolist())))
        times = np.bincount(of_item, minlength=len(strings))
        self.strings.hold(numbers, times)
        keys, back = np.unique(self.keys[numbers].astype(np.int64), return_inverse=True)
        self.strings.hold(keys, np.bincount(back, times, len(keys)).astype(np.int64))
        return numbers[of_item]

    def release(self, attributes: Integers) -> list[int]:
        """A row goes that has these (n,). Returns the keys that no row has any more."""
        gone = []
        for number, key in zip(attributes.tolist(), self.keys[attributes].tolist(), strict=True):
            if self.strings.release(number):
                self.keys[number] = EMPTY
                self._heads[number] = b""  # a value may be forgotten: no copy of it may stay
            if self.strings.release(key):
                gone.append(key)
        return gone

    def of_key(self, key: int) -> Integers:
        """The attributes (n,) with this key."""
        return np.flatnonzero(self.keys[: len(self.strings)] == key)

    def within(self, attributes: Integers, bounds: Between) -> Passes:
        """Which of these attributes (n,), all of the key, lie within the bounds."""
        passes = np.ones(len(attributes), np.bool_)
        for name, operator in _OPERATORS.items():
            bound = getattr(bounds, name)
            if isinstance(bound, str):
                passes &= operator(self._compared(attributes, bounds.key, bound), 0)
            elif bound is not None:
                passes &= operator(self._numbers[attributes], bound)  # false for NaN
        return passes

    def ties(self, attributes: Integers, bounds: Between) -> int:
        """How many values of these attributes (n,) will be read in full."""
        texts = [bound for bound in bounds.bounds if isinstance(bound, str)]
        return sum(int((self._heads[attributes] == _head(text)).sum()) for text in texts)

    def _compared(self, attributes: Integers, key: str, bound: str) -> Integers:
        """Whether each value (n,) comes before (-1), is (0) or comes after (1) a text."""
        heads, head = self._heads[attributes], _head(bound)
        order = (heads > head).astype(np.int64) - (heads < head)
        for i in np.flatnonzero(order == 0).tolist():
            value = self.strings[attributes.item(i)][len(key) + 1 :]
            order[i] = (value > bound) - (value < bound)
        return order

    def _describe(self, numbers: Integers, strings: Sequence[str]) -> None:
        """These attributes (n,) are new, and may be of new keys."""
        pairs = [string.partition("=") for string in strings]
        names = list(dict.fromkeys(key for key, _, _ in pairs))
        keys = dict(zip(names, self.strings.numbered(names)[0].tolist(), strict=True))
        count = len(self.strings)
        before, self._heads = self._heads, grown(self._heads, count)
        if self._heads is not before:
            before[:] = b""  # a value may be forgotten later: no copy of it may stay
        self.keys, self._numbers = grown(self.keys, count), grown(self._numbers, count)
        self.keys[list(keys.values())] = EMPTY
        self.keys[numbers] = [keys[key] for key, _, _ in pairs]
        self._numbers[numbers] = [number_in(value) for _, _, value in pairs]
        self._heads[numbers] = [_head(value) for _, _, value in pairs]


def _head(text: str) -> bytes:
    return text.encode()[:HEAD]
