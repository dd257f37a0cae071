"""Protobuf: the message that a value says it is, by the descriptors of its schema.

Field names are as in the .proto file. Fields that the message leaves out have their defaults, as in any
language: a text is "", which counts as nothing. Those with presence (messages, `optional`, one of several)
are not there. Enums are texts, times are as in 2026-11-28T12:00:00Z, bytes are base64, and wrapped values
are the values.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from hurnet_schemas import InvalidMessage
from hurnet_stream.ports import ProtoCompiler, Schema
from hurnet_stream.readers import wire

VALUES_MOST: Final = 100_000
"""Values in one record."""
_WRAPPERS: Final = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_AS_TEXT: Final = frozenset(("google.protobuf.Timestamp", "google.protobuf.Duration"))


def compiler(compiler: ProtoCompiler) -> Callable[[Schema], Callable[[bytes], Any]]:
    """Makes what reads values of a schema, with descriptors that `compiler` makes."""
    return lambda schema: compiled(compiler.compiled(schema))


def compiled(descriptors: bytes) -> Callable[[bytes], Any]:
    """What reads values of the last file of a serialised FileDescriptorSet. Raises `InvalidMessage`."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    pool = descriptor_pool.DescriptorPool()
    try:
        for file in files.file:
            pool.Add(file)
        top = pool.FindFileByName(files.file[-1].name)
    except Exception as error:  # whatever a schema can do to the library
        raise InvalidMessage(
            "invalid-message", f"its descriptors can't be loaded: {type(error).__name__}"
        ) from None
    messages = [top.message_types_by_name[each.name] for each in files.file[-1].message_type]

    def decode(raw: bytes) -> Any:
        indexes, begins = wire.message_indexes(raw)
        kind = _chosen(messages, indexes)
        try:
            message = message_factory.GetMessageClass(kind).FromString(raw[begins:])
        except DecodeError:
            raise InvalidMessage("invalid-message", f"the bytes are no message {kind.full_name}") from None
        return _Plain().message(message)

    return decode


def _chosen(messages: list[Descriptor], indexes: tuple[int, ...]) -> Descriptor:
    kind: Descriptor | None = None
    for index in indexes:
        among = messages if kind is None else list(kind.nested_types)
        if not 0 <= index < len(among):
            raise InvalidMessage(
                "invalid-message", f"it has no message {list(indexes)}: there are {len(among)} of them"
            )
        kind = among[index]
    if kind is None:
        raise InvalidMessage("invalid-message", "which message it is is not said")
    return kind


class _Plain:
    """A message as JSON would have it, with a limit of values."""

    def __init__(self) -> None:
        self._values = 0

    def message(self, message: Message) -> Any:
        """All fields of a message, or what it stands for. Raises `InvalidMessage`."""
        kind = message.DESCRIPTOR
        if kind.full_name in _WRAPPERS:
            return self._one(kind.fields_by_name["value"], message.value)
        if kind.full_name in _AS_TEXT:
            try:
                return message.ToJsonString()
            except ValueError:
                return None  # a time that no calendar has
        if kind.full_name in ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"):
            return self._free(message)
        return {
            field.name: self._field(field, message)
            for field in kind.fields
            if not field.has_presence or message.HasField(field.name)
        }

    def _free(self, message: Message) -> Any:
        """A Struct, which is any JSON."""
        self._spend(message.ByteSize() // 2)
        try:
            return json_format.MessageToDict(message)
        except (ValueError, json_format.Error, RecursionError):
            return None

    def _field(self, field: FieldDescriptor, message: Message) -> Any:
        value = getattr(message, field.name)
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            of = kind.fields_by_name["value"]
            return {_key(key): self._one(of, value[key]) for key in value}
        if field.is_repeated:
            return [self._one(field, item) for item in value]
        return self._one(field, value)

    def _one(self, field: FieldDescriptor, value: Any) -> Any:
        self._spend(1)
        if field.message_type is not None:
            return self.message(value)
        if field.enum_type is not None:
            named = field.enum_type.values_by_number.get(value)
            return named.name if named else value
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value

    def _spend(self, values: int) -> None:
        self._values += values
        if self._values > VALUES_MOST:
            raise InvalidMessage("invalid-message", f"the record has more than {VALUES_MOST:,} values")


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
