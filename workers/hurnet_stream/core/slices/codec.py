"""Messages of coordinators and slices as bytes: plain values in msgpack, arrays as they lie in memory.

    "HSL", version     4 bytes
    length of header   4 bytes
    header             msgpack of the message: each dataclass is [name, field, field, ...], and an array an
                       extension that says its type and shape
    arrays             in the order in which the header names them, each from a multiple of 64 bytes on

Arrays are read where they lie, so a message of megabytes costs no copy. Nothing in it is run or trusted: a
name that is no message, a field of another type, an array that is not as long as its shape says, and bytes
that belong to nothing make it unreadable. Both ends must be of one version.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar, get_args

import msgpack
import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.conditions import Condition
from hurnet_stream.core.slices.messages import Asked, Descriptions, Given, Reply, Request

VERSION: Final = 1
"""Changes with every change of the messages."""
MOST_BYTES: Final = 1 << 28
"""Of one message. Those who make them stay far below it."""
MOST_DEPTH: Final = 64
"""Of conditions in conditions."""

_HEAD: Final = struct.Struct("<3sBI")
_NAME: Final = b"HSL"
_ALIGNED: Final = 64
_ARRAY: Final = 1
"""The number of the extension."""

_ARRAYS: Final[dict[str, tuple[str, int]]] = {
    "Integers": ("<i8", 1),
    "Pairs": ("<i8", 2),
    "Floats": ("<f8", 1),
    "Flags": ("|b1", 1),
    "Vectors": ("<i2", 2),
    "Terms": ("<u8", 2),
    "Doubles": ("<f8", 2),
}
"""By the name of the type of a field: how its numbers are stored, and how many dimensions it has."""

_ASKED: Final = get_args(Asked)
_GIVEN: Final = get_args(Given)
_CONDITIONS: Final = get_args(Condition)
_CLASSES: Final = {each.__name__: each for each in (Request, Reply, *_ASKED, *_GIVEN, *_CONDITIONS)}

M = TypeVar("M", Request, Reply)


def encode(message: Request | Reply) -> bytes:
    """The message as bytes, for `decode`."""
    arrays: list[NDArray[Any]] = []
    header = msgpack.packb(_plain(message, arrays))
    parts = [_HEAD.pack(_NAME, VERSION, len(header)), header]
    at = _HEAD.size + len(header)
    for array in arrays:
        parts += [bytes(-at % _ALIGNED), array.data if array.size else b""]
        at += -at % _ALIGNED + array.nbytes
    return b"".join(parts)


def decode(kind: type[M], encoded: bytes) -> M:
    """The request or reply that was encoded. Raises ValueError for bytes that are none."""
    if len(encoded) > MOST_BYTES:
        raise ValueError(f"a message of {len(encoded)} bytes")
    try:
        message = _decoded(encoded)
    except (struct.error, msgpack.UnpackException, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"not a message of slices: {type(error).__name__}: {error}") from error
    if not isinstance(message, kind):
        raise ValueError(f"a {type(message).__name__}, not a {kind.__name__}")
    return message


def _plain(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """The value as msgpack takes it; its arrays are put behind those that there are."""
    if isinstance(value, np.ndarray):
        stored = value.dtype.newbyteorder("<")
        arrays.append(np.ascontiguousarray(value, stored))
        return msgpack.ExtType(_ARRAY, msgpack.packb([stored.str, value.shape]))
    if type(value) in _CLASSES.values():
        return [type(value).__name__, *(_plain(getattr(value, f.name), arrays) for f in fields(value))]
    if isinstance(value, tuple):
        plain = not value or type(value[0]) in (str, dict)  # thousands of strings, or of rows' metadata
        return list(value) if plain else [_plain(item, arrays) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _decoded(encoded: bytes) -> Any:
    name, version, length = _HEAD.unpack_from(encoded)
    if name != _NAME or version != VERSION:
        raise ValueError(f"not a message of version {VERSION}: {name!r} {version}")
    begin = _HEAD.size + length
    arrays = _Arrays(encoded, begin)
    header = msgpack.unpackb(encoded[_HEAD.size : begin], strict_map_key=False, ext_hook=arrays.read)
    if arrays.at != len(encoded):
        raise ValueError(f"{len(encoded)} bytes, of which {arrays.at} are a message")
    return _message(header, MOST_DEPTH)


class _Arrays:
    """The arrays of a message, which are read in their order."""

    def __init__(self, encoded: bytes, at: int) -> None:
        self._encoded = encoded
        self.at = at

    def read(self, code: int, data: bytes) -> NDArray[Any]:
        dtype, shape = msgpack.unpackb(data)
        if code != _ARRAY or (dtype, len(shape)) not in _ARRAYS.values():
            raise ValueError(f"an array of type {dtype} and shape {shape}")
        count = 1
        for size in shape:
            count *= size
        begin = self.at + -self.at % _ALIGNED
        self.at = begin + count * np.dtype(dtype).itemsize
        if min(shape) < 0 or self.at > len(self._encoded):
            raise ValueError(f"an array of {count} numbers is cut off")
        flat = np.frombuffer(self._encoded, dtype, count, begin if count else 0)
        if not (flat.flags.aligned and flat.dtype.isnative):
            flat = flat.astype(flat.dtype.newbyteorder("="))
        return flat.reshape(shape)


def _message(value: Any, depth: int) -> Any:
    """The dataclass that [name, field, ...] says."""
    if not isinstance(value, list) or not value or not depth:
        raise ValueError("no message where one should be")
    kind = _CLASSES[value[0]]
    wanted = fields(kind)
    if len(value) != len(wanted) + 1:
        raise ValueError(f"a {value[0]} of {len(value) - 1} fields, not {len(wanted)}")
    pairs = zip(wanted, value[1:], strict=True)
    return kind(*(_field(str(each.type), item, depth - 1) for each, item in pairs))


def _field(name: str, value: Any, depth: int) -> Any:
    """The value of a field whose type has this name."""
    if name in _ARRAYS:
        if (
            not isinstance(value, np.ndarray)
            or (value.dtype.newbyteorder("<").str, value.ndim) != _ARRAYS[name]
        ):
            raise TypeError(f"not {name}: {type(value).__name__}")
        return value
    return _READ[name](value, depth)


def _of(*kinds: type) -> Callable[[Any, int], Any]:
    def read(value: Any, _: int) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"{type(value).__name__} in place of {kinds[0].__name__}")
        return value

    return read


def _items(kind: type, value: Any) -> list[Any]:
    items: list[Any] = _of(list)(value, 0)
    if set(map(type, items)) - {kind}:
        raise TypeError(f"{set(map(type, items))} in place of {kind.__name__}")
    return items


def _one_of(*kinds: type) -> Callable[[Any, int], Any]:
    def read(value: Any, depth: int) -> Any:
        message = _message(value, depth)
        if type(message) not in kinds:
            raise TypeError(f"a {type(message).__name__} in place of a {kinds[0].__name__}")
        return message

    return read


def _many_of(*kinds: type) -> Callable[[Any, int], Any]:
    one = _one_of(*kinds)
    return lambda value, depth: tuple(one(item, depth) for item in _of(list)(value, depth))


def _strings(value: Any, _: int = 0) -> tuple[str, ...]:
    return tuple(_items(str, value))


def _by_shard(value: Any, _: int) -> dict[int, int]:
    numbers: dict[int, int] = _of(dict)(value, 0)
    for number in (*numbers.keys(), *numbers.values()):
        _of(int)(number, 0)
    return numbers


def _metadata(value: Any, _: int) -> tuple[dict[str, str], ...]:
    rows = tuple(_items(dict, value))
    _items(str, [string for row in rows for pair in row.items() for string in pair])
    return rows


_READ: Final[dict[str, Callable[[Any, int], Any]]] = {
    "str": _of(str),
    "int": _of(int),
    "bool": _of(bool),
    "float | str | None": _of(float, str, type(None)),
    "Strings": _strings,
    "tuple[str, ...]": _strings,
    "tuple[Strings, ...]": lambda value, _: tuple(map(_strings, _items(list, value))),
    "Mapping[int, int]": _by_shard,
    "Metadata": _metadata,
    "Condition": _one_of(*_CONDITIONS),
    "Descriptions": _one_of(Descriptions),
    "tuple[Condition, ...]": _many_of(*_CONDITIONS),
    "tuple[Asked, ...]": _many_of(*_ASKED),
    "tuple[Given, ...]": _many_of(*_GIVEN),
}
"""By the name of the type of any other field: how it is read."""

_UNREAD: Final = {f"{f.type}" for each in _CLASSES.values() for f in fields(each)} - {*_READ, *_ARRAYS}
if _UNREAD:
    raise TypeError(f"messages have fields that are not read here: {_UNREAD}")
