"""Values whose bytes begin with the id of a schema: what reads by a schema is made once, and kept by the id.

A schema is input like a record: whoever may write records can register one. So one that is wrong, too large
or of another kind is remembered as that, and makes each of its records a dead letter that names the id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from hurnet_schemas import InvalidMessage
from hurnet_stream.ports import Schema, SchemaKind, Schemas
from hurnet_stream.readers import wire

Decode = Callable[[bytes], Any]
"""Reads a value, with the id of its schema before it. Raises `InvalidMessage`."""
NAMES: Final = {"AVRO": "avro", "PROTOBUF": "protobuf", "JSON": "json-schema"}
"""The kinds of schemas, as `format` calls them."""


class BySchema:
    """Reads values by the schemas of the registry. At most `kept` of these stay in memory."""

    def __init__(
        self, kind: SchemaKind, schemas: Schemas, compile_schema: Callable[[Schema], Decode], kept: int
    ) -> None:
        self._kind = kind
        self._schemas = schemas
        self._compile = compile_schema
        self._most = kept
        self._decoders: OrderedDict[int, Decode | InvalidMessage] = OrderedDict()

    def decode(self, raw: bytes) -> Any:
        """What the value says. Raises `InvalidMessage`, and `TransientError` while the registry does not
        answer."""
        number = wire.schema_id(raw)
        decode = self._decoder(number)
        try:
            return decode(raw)
        except InvalidMessage as error:
            raise InvalidMessage(error.reason, f"schema {number}: {error.detail}") from None

    def key(self, raw: bytes | None) -> Any:
        """What a key says: by a schema if it has one, otherwise as far as it can be read without."""
        from hurnet_stream.readers.formats import plain_key

        if raw is None or len(raw) <= wire.HEADER_BYTES or raw[0] != wire.MAGIC:
            return plain_key(raw)
        return self.decode(raw)

    def _decoder(self, number: int) -> Decode:
        decoder = self._decoders.get(number)
        if decoder is None:
            decoder = self._decoders[number] = self._made(number, self._schemas.schema(number))
            if len(self._decoders) > self._most:
                self._decoders.popitem(last=False)
        self._decoders.move_to_end(number)
        if isinstance(decoder, InvalidMessage):
            raise InvalidMessage(decoder.reason, decoder.detail)
        return decoder

    def _made(self, number: int, schema: Schema) -> Decode | InvalidMessage:
        if schema.kind != self._kind:
            return InvalidMessage(
                "invalid-message",
                f"schema {number} is of {NAMES[schema.kind]}, and `format` is {NAMES[self._kind]}",
            )
        try:
            return self._compile(schema)
        except InvalidMessage as error:
            return InvalidMessage(error.reason, f"schema {number} can't be used: {error.detail}")
