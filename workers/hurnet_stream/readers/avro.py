"""Avro: the schema is compiled by fastavro, and the bytes are walked before fastavro reads them.

fastavro's reader is C, and follows what bytes say: a list that is 100,000 lists deep would end the process,
and a list of 10^12 nulls, which take no bytes, would never end. So the same steps are taken first without
making anything, with a count of values and a limit of depth:

    schema   {"type": "array", "items": "null"}
    bytes    80 80 80 80 80 40 00      a block of 10^12 nulls, then the end
    walk     1,000,000 values are reached: refused, after a millisecond

Dates, times, decimals and UUIDs become texts, as JSON would have them; bytes become base64.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import fastavro
from fastavro.schema import SchemaParseException, parse_schema

from hurnet_schemas import InvalidMessage
from hurnet_stream.ports import Schema
from hurnet_stream.readers.wire import HEADER_BYTES

VALUES_MOST: Final = 100_000
"""Values in one record."""
DEPTH_MOST: Final = 100
DECIMAL_BYTES_MOST: Final = 128
_FIXED_WIDTH: Final = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_LONG_BYTES: Final = 10
_ONLY: Final = "value"


def compiled(schema: Schema) -> Callable[[bytes], Any]:
    """What reads values of this schema. Raises `InvalidMessage` if it is wrong."""
    names: dict[str, Any] = {}
    try:
        for text in schema.references.values():
            parse_schema(json.loads(text), named_schemas=names)
        # A record of one field has the bytes of that field. fastavro keeps the names of a record with it, and
        # loses them if the schema is only a name, or a union of names.
        fields = [{"name": _ONLY, "type": json.loads(schema.text)}]
        parsed = parse_schema(
            {"type": "record", "name": "hurnet_value", "fields": fields}, named_schemas=names
        )
    except RecursionError:
        raise InvalidMessage("invalid-message", "it is nested too deeply") from None
    except Exception as error:  # whatever a schema can do to fastavro
        raise InvalidMessage("invalid-message", f"it is no schema of Avro: {_said(error)}") from None

    def decode(raw: bytes) -> Any:
        try:
            _Walk(raw, names).over(parsed)
            read: Any = fastavro.schemaless_reader(io.BytesIO(raw[HEADER_BYTES:]), parsed, None)
            return plain(read[_ONLY])
        except InvalidMessage:
            raise
        except Exception as error:
            raise InvalidMessage("invalid-message", f"the bytes don't fit it: {_said(error)}") from None

    return decode


def plain(value: Any) -> Any:
    """The same as JSON has it."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value


def _said(error: Exception) -> str:
    return f"{type(error).__name__}" + (
        f", {error!s:.150}" if isinstance(error, SchemaParseException) else ""
    )


class _Walk:
    """One pass over a value's bytes, by its schema, that makes nothing. Raises `InvalidMessage`."""

    def __init__(self, raw: bytes, names: Mapping[str, Any]) -> None:
        self._raw = raw
        self._names = names
        self._place = HEADER_BYTES
        self._values = 0

    def over(self, schema: Any) -> None:
        """All of the value."""
        self._value(schema, 0)
        if left := len(self._raw) - self._place:
            raise _wrong(f"{left:,} bytes are left behind the value")

    def _value(self, schema: Any, depth: int) -> None:
        self._values += 1
        if self._values > VALUES_MOST:
            raise _wrong(f"the record has more than {VALUES_MOST:,} values")
        if depth > DEPTH_MOST:
            raise _wrong(f"the record is more than {DEPTH_MOST} levels deep")
        if isinstance(schema, list):
            self._union(schema, depth)
        elif isinstance(schema, dict):
            self._complex(schema, depth)
        elif schema in _FIXED_WIDTH:
            self._skip(_FIXED_WIDTH[schema])
        elif schema in ("int", "long"):
            self._long()
        elif schema in ("string", "bytes"):
            self._skip(self._long())
        else:
            self._value(self._names[schema], depth)

    def _complex(self, schema: Mapping[str, Any], depth: int) -> None:
        kind = schema["type"]
        if kind in ("record", "error"):
            for each in schema["fields"]:
                self._value(each["type"], depth + 1)
        elif kind in ("array", "map"):
            self._blocks(schema["items"] if kind == "array" else schema["values"], kind == "map", depth)
        elif schema.get("logicalType") == "decimal":
            self._decimal(schema["size"] if kind == "fixed" else self._long())
        elif kind == "fixed":
            self._skip(schema["size"])
        elif kind == "enum":
            self._index(schema["symbols"], "an enum")
        else:
            self._value(kind, depth + 1)

    def _union(self, branches: list[Any], depth: int) -> None:
        self._value(branches[self._index(branches, "a union")], depth + 1)

    def _blocks(self, items: Any, keyed: bool, depth: int) -> None:
        while count := self._long():
            if count < 0:  # then the size of the block in bytes follows
                count = -count
                self._long()
            for _ in range(count):
                if keyed:
                    self._skip(self._long())
                self._value(items, depth + 1)

    def _decimal(self, size: int) -> None:
        # A number of a million digits would take minutes.
        if size > DECIMAL_BYTES_MOST:
            raise _wrong(
                f"byte {self._place}: a decimal has {size:,} bytes, and {DECIMAL_BYTES_MOST} at most"
            )
        self._skip(size)

    def _index(self, choices: list[Any], of: str) -> int:
        index = self._long()
        if not 0 <= index < len(choices):
            raise _wrong(f"byte {self._place}: {of} has no branch {index}")
        return index

    def _skip(self, size: int) -> None:
        if not 0 <= size <= len(self._raw) - self._place:
            raise _wrong(f"byte {self._place}: the value ends within a text, or its length is wrong")
        self._place += size

    def _long(self) -> int:
        number = 0
        for at, byte in enumerate(self._raw[self._place : self._place + _LONG_BYTES]):
            number |= (byte & 0x7F) << (7 * at)
            if byte < 0x80:
                self._place += at + 1
                return (number >> 1) ^ -(number & 1)
        raise _wrong(f"byte {self._place}: the value ends within a number")


def _wrong(why: str) -> InvalidMessage:
    return InvalidMessage("invalid-message", f"the bytes don't fit it: {why}")
