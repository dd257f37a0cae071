"""Which rows have which metadata: for a filter, the exact set of rows that meet it.

An attribute is a key with a value. Attributes are numbered as strings, "lang=en", and so are their keys,
"lang", in which there is no "=". Two things say which rows have one:

    rows 0 {"lang": "en", "price": "9"}    1 {"lang": "pt"}    2 {"lang": "en", "price": "12"}

    columns    lang     rows 0 1 2    attributes en pt en      an item for each row and key, 8 bytes
               price    rows 0 2      attributes 9 12
    kept       lang=en  {0, 2}                                 a bitmap for what MANY rows have

    lang is en             the bitmap, or else the items of `lang` that have this attribute     {0, 2}
    price at least 10      the items of `price` whose attribute has such a number               {2}
    not lang is en         all rows that are held but these                                     {1}

Sets of rows are Roaring bitmaps, so `and`, `or` and `not` take microseconds. A condition reads the items of
its key at most. The first OWN_COLUMNS keys have columns of their own, and all others share one, so that keys
that hardly any row has take no more than their items.

Items of a removed row stay until its block is given up. So what columns say is cut to the rows that are held.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from hurnet_stream.core.held import array_bytes
from hurnet_stream.core.index.arena import Arena
from hurnet_stream.core.index.attribute_values import AttributeValues
from hurnet_stream.core.index.conditions import All, AnyOf, Between, Condition, Has, Not, OneOf
from hurnet_stream.core.index.string_table import StringTable
from hurnet_stream.core.shelf import Tree
from hurnet_stream.core.slots import EMPTY, grown

NO_ROW: Final = -1

MANY: Final = 64
"""The rows from which an attribute has a bitmap: at 2 bytes a row and BITMAP_BYTES, 7 bytes a row at most."""
BITMAP_BYTES: Final = 320
"""What a bitmap takes beside its rows, measured."""
OWN_COLUMNS: Final = 255

MOST_READ: Final = 1 << 28
"""Items that are read for one filter, about a second. A value that is read in full counts as READ_IN_FULL."""
READ_IN_FULL: Final = 512

Integers = NDArray[np.int64]
Metadata = Sequence[Mapping[str, str]]


class TooCostly(ValueError):
    """To tell which rows meet a filter would take too long."""


class _Column:
    """The items (n,) of one key, or of those that share a column: rows and attributes."""

    def __init__(self) -> None:
        self.held = BitMap()  # the rows that have the key, without those removed; nothing if it is shared
        self._count = 0
        self._rows = np.empty(0, np.int32)
        self._attributes = np.empty(0, np.int32)

    @property
    def rows(self) -> NDArray[np.int32]:
        return self._rows[: self._count]

    @property
    def attributes(self) -> NDArray[np.int32]:
        return self._attributes[: self._count]

    def saved(self) -> Tree:
        return {"held": _packed(self.held), "rows": self.rows, "attributes": self.attributes}

    @classmethod
    def restored(cls, tree: Tree) -> _Column:
        column = cls()
        column.held, column._count = _unpacked(tree["held"]), len(tree["rows"])
        column._rows, column._attributes = tree["rows"], tree["attributes"]
        return column

    def add(self, rows: Integers, attributes: Integers) -> None:
        first, self._count = self._count, self._count + len(rows)
        self._rows, self._attributes = grown(self._rows, self._count), grown(self._attributes, self._count)
        self._rows[first : self._count], self._attributes[first : self._count] = rows, attributes

    def take_out(self, first: int, end: int) -> tuple[Integers, Integers]:
        """Take the items of rows `first` to `end` out; returns their rows and attributes (n,)."""
        rows, attributes = self.rows, self.attributes
        inside = (rows >= first) & (rows < end)
        taken = rows[inside].astype(np.int64), attributes[inside].astype(np.int64)
        self._count -= len(taken[0])
        self._rows, self._attributes = rows[~inside], attributes[~inside]
        return taken


class Attributes:
    """The metadata of the rows of one index, for one thread at a time."""

    def __init__(self, arena: Arena) -> None:
        self._values = AttributeValues(arena)
        self._held = BitMap()
        self._kept: dict[int, BitMap] = {}  # by attribute: its rows, if they are MANY
        self._kept_rows = 0
        self._columns: dict[int, _Column] = {}  # by key; by EMPTY the one that all others share
        self._left = 0  # items that may still be read for a filter

    @property
    def nbytes(self) -> int:
        """The bytes of columns and bitmaps, and of the tables of attributes."""
        bitmaps = 2 * self._kept_rows + BITMAP_BYTES * (1 + len(self._kept) + len(self._columns))
        return self._values.nbytes + array_bytes(*self._columns.values()) + bitmaps

    @property
    def strings(self) -> StringTable:
        """All attributes and keys, as the arena holds them."""
        return self._values.strings

    def saved(self) -> Tree:
        """What `restore` needs."""
        return {
            "values": self._values.saved(),
            "held": _packed(self._held),
            "kept": {str(number): _packed(rows) for number, rows in self._kept.items()},
            "kept_rows": self._kept_rows,
            "columns": {str(key): column.saved() for key, column in self._columns.items()},
        }

    def restore(self, tree: Tree) -> None:
        """Be what was saved, over an arena that was, too."""
        self._values.restore(tree["values"])
        self._held, self._kept_rows = _unpacked(tree["held"]), tree["kept_rows"]
        self._kept = {int(number): _unpacked(rows) for number, rows in tree["kept"].items()}
        self._columns = {int(key): _Column.restored(column) for key, column in tree["columns"].items()}

    def append(self, rows: Integers, metadata: Metadata) -> None:
        """Take in rows (n,) that are new, with the metadata of each; none has any if `metadata` is empty."""
        self._held |= _bitmap(rows)
        if any(metadata):
            of_item = np.repeat(rows, list(map(len, metadata)))
            self._add(of_item, self._values.hold(metadata))

    def remove(self, row: int, metadata: Mapping[str, str]) -> None:
        """A row goes that has this metadata."""
        self._held.discard(row)
        if not metadata:
            return
        attributes = self._values.numbers(metadata)
        for attribute, key in zip(attributes.tolist(), self._values.keys[attributes].tolist(), strict=True):
            self._column(key).held.discard(row)
            if attribute in self._kept:
                self._kept[attribute].discard(row)
                self._kept_rows -= 1
                if len(self._kept[attribute]) < MANY:
                    self._kept_rows -= len(self._kept.pop(attribute))
        for key in self._values.release(attributes):
            self._columns.pop(key, None)

    def moved(self, first: int, end: int, old: Integers, new: Integers) -> None:
        """Of the rows `first` to `end`, those that were `old` (n,) are now `new` (n,), outside of them; the
        others are gone."""
        self._held.remove_range(first, end)
        self._held |= _bitmap(new)
        for kept in self._kept.values():
            self._kept_rows -= kept.range_cardinality(first, end)
            kept.remove_range(first, end)
        leads = np.full(end - first, NO_ROW)
        leads[old - first] = new
        moved = []
        for column in self._columns.values():
            column.held.remove_range(first, end)
            rows, attributes = column.take_out(first, end)
            now = leads[rows - first]
            moved.append((now[now != NO_ROW], attributes[now != NO_ROW]))
        for rows, attributes in moved:
            self._add(rows, attributes)

    def has_key(self, key: str) -> bool:
        """Whether any row has this key."""
        return self._values.key(key) != EMPTY

    def rows_where(self, condition: Condition) -> BitMap:
        """The rows whose metadata meets it. Raises TooCostly if more than MOST_READ would be read."""
        self._left = MOST_READ
        return self._where(condition)

    def _where(self, condition: Condition) -> BitMap:
        match condition:
            case All(conditions):
                return BitMap.intersection(*map(self._where, conditions))
            case AnyOf(conditions):
                return BitMap.union(*map(self._where, conditions))
            case Not(inner):
                return self._held - self._where(inner)
            case Has(key):
                return self._having_key(key)
            case OneOf(key, values):
                return self._having(key, values)
            case Between():
                return self._between(condition)

    def _having_key(self, key: str) -> BitMap:
        number = self._values.key(key)
        if number in self._columns:
            return self._columns[number].held
        return self._rows_read(number, self._values.of_key(number))

    def _having(self, key: str, values: Sequence[str]) -> BitMap:
        attributes = self._values.find(key, values)
        attributes = attributes[attributes != EMPTY]
        kept = [self._kept[number] for number in attributes.tolist() if number in self._kept]
        rest = attributes[[number not in self._kept for number in attributes.tolist()]]
        return BitMap.union(*kept, self._rows_read(self._values.key(key), rest))

    def _between(self, bounds: Between) -> BitMap:
        key = self._values.key(bounds.key)
        attributes = self._values.of_key(key)
        self._read(len(attributes) + READ_IN_FULL * self._values.ties(attributes, bounds))
        return self._rows_read(key, attributes[self._values.within(attributes, bounds)])

    def _rows_read(self, key: int, attributes: Integers) -> BitMap:
        """The rows that have one of these attributes (n,) of a key."""
        if not len(attributes):
            return BitMap()
        self._read(len(self._column(key).rows))
        return self._rows_of(key, attributes)

    def _rows_of(self, key: int, attributes: Integers) -> BitMap:
        column = self._column(key)
        own = column.attributes
        if len(attributes) == 1:
            found = own == attributes.item(0)
        else:
            passes = np.zeros(len(self._values.strings), np.bool_)
            passes[attributes] = True
            found = passes[own]
        return _bitmap(column.rows[found]) & self._held

    def _read(self, items: int) -> None:
        self._left -= items
        if self._left < 0:
            raise TooCostly(f"the filter needs more than {MOST_READ:,} values to be read")

    def _column(self, key: int) -> _Column:
        """The column that has the items of a key."""
        # Once columns have to be shared, no new key gets its own: it may have items in the shared one.
        if key not in self._columns and (EMPTY in self._columns or len(self._columns) >= OWN_COLUMNS):
            key = EMPTY
        return self._columns.setdefault(key, _Column())

    def _add(self, rows: Integers, attributes: Integers) -> None:
        """These rows have these attributes, item by item (n,)."""
        keys = self._values.keys[attributes]
        for key in np.unique(keys).tolist():
            own, column = keys == key, self._column(key)
            column.add(rows[own], attributes[own])
            if key in self._columns:
                column.held |= _bitmap(rows[own])
        self._keep(rows, attributes)

    def _keep(self, rows: Integers, attributes: Integers) -> None:
        """Bring the bitmaps up to date with items (n,) that are new."""
        distinct = np.unique(attributes)
        for attribute in distinct[self._values.strings.held(distinct) >= MANY].tolist():
            if attribute in self._kept:
                more = _bitmap(rows[attributes == attribute])
                self._kept[attribute] |= more
                self._kept_rows += len(more)
            else:
                key = int(self._values.keys[attribute])
                self._kept[attribute] = kept = self._rows_of(key, np.array([attribute]))
                self._kept_rows += len(kept)


def _packed(rows: BitMap) -> NDArray[np.uint8]:
    return np.frombuffer(rows.serialize(), np.uint8)


def _unpacked(data: NDArray[np.uint8]) -> BitMap:
    return BitMap.deserialize(data.tobytes())


def _bitmap(rows: NDArray[Any]) -> BitMap:
    """The rows (n,) as a bitmap. From an array of the standard library it is made ten times faster than from
    one of numpy."""
    return BitMap(array("I", rows.astype(np.uint32).tobytes()))
