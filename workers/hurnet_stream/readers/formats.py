"""From the bytes of a value to what they say: JSON of any shape, and plain text. Others are by a schema."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic_core import from_json

from hurnet_schemas import InvalidMessage


class Format(Protocol):
    """What reads the bytes of one format."""

    def decode(self, raw: bytes) -> Any:
        """What they say, made of dicts with texts as keys, lists, texts, numbers, booleans and None. Raises
        `InvalidMessage`, and `TransientError` while the registry does not answer."""


class Json:
    """JSON of any shape. It is at most 200 levels deep, and a number has at most 4,300 digits."""

    def decode(self, raw: bytes) -> Any:
        """What it says. Raises `InvalidMessage`."""
        utf8(raw)
        try:
            return from_json(raw)
        except ValueError as error:
            hint = _hint(raw)
            raise InvalidMessage("not-json", f"the value is no JSON: {str(error)[:200]}{hint}") from None


class PlainText:
    """A text in UTF-8, as it is."""

    def decode(self, raw: bytes) -> str:
        """The text. Raises `InvalidMessage`."""
        return utf8(raw)


def utf8(raw: bytes) -> str:
    """The text in `raw`. Raises `InvalidMessage`."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        hint = _hint(raw)
        raise InvalidMessage("not-utf8", f"byte {error.start} of {len(raw)} is not UTF-8{hint}") from None


def plain_key(raw: bytes | None) -> Any:
    """What a key says without a schema: JSON if it is that, otherwise a text; None if it is neither."""
    if raw is None:
        return None
    try:
        return from_json(raw)
    except ValueError:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return None


def _hint(raw: bytes) -> str:
    if len(raw) > 5 and raw[0] == 0:
        return (
            "; it begins as records with the id of a schema do: format is then avro, protobuf or json-schema"
        )
    return ""
