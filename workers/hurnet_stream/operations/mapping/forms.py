"""Which format the values of a topic have, and what they are wrapped in.

most values                                             so the format is
begin with a byte 0 and the id of a schema              what the registry says of that schema
are a JSON object or list                               json
are UTF-8                                               text
anything else                                           none that hurnet reads

most values                                             so the envelope is
have op and after or before, in payload or not          debezium
have specversion, or headers ce_specversion             cloudevents
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from hurnet_schemas import InvalidMessage
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Record, Schemas
from hurnet_stream.readers import wire
from hurnet_stream.readers.envelopes import payload
from hurnet_stream.readers.formats import Format, Json, PlainText
from hurnet_stream.readers.schemas import NAMES

MOST: Final = 0.5
"""The share of values that decides."""
SCHEMAS_MOST: Final = 20
"""Schemas that are asked for."""

FormatName = Literal["json", "text", "avro", "protobuf", "json-schema"]
EnvelopeName = Literal["", "cloudevents", "debezium"]


@dataclass(frozen=True, slots=True)
class Form:
    """A format and an envelope, with the reason for each."""

    format: FormatName
    envelope: EnvelopeName
    why_format: str
    why_envelope: str


def format_of(records: Sequence[Record], schemas: Schemas | None) -> tuple[FormatName, str]:
    """The format of most values, and why. Raises `ConfigurationError` if it is none that hurnet reads or
    needs a registry that there isn't, and `TransientError` while the registry does not answer."""
    values = [record.value for record in records if record.value]
    if not values:
        raise ConfigurationError(f"none of the {len(records):,} records has a value")
    marked = [value for value in values if len(value) >= wire.HEADER_BYTES and value[0] == wire.MAGIC]
    ids = [struct.unpack_from(">i", value, 1)[0] for value in marked]
    if len(ids) > MOST * len(values):
        return _by_schema(Counter(ids), len(ids) / len(values), schemas)
    objects = [isinstance(_decoded(Json(), value), dict | list) for value in values]
    if sum(objects) > MOST * len(values):
        return "json", f"{_percent(sum(objects), len(values))} of the values are JSON objects"
    texts = [_decoded(PlainText(), value) is not None for value in values]
    if sum(texts) > MOST * len(values):
        return "text", f"{_percent(sum(texts), len(values))} of the values are UTF-8, and no JSON"
    begin = Counter(value[:4] for value in values).most_common(1)[0][0].hex(" ")
    raise ConfigurationError(
        "the values are no JSON, no UTF-8, and don't begin with the id of a schema; most begin with"
        f" the bytes {begin}. What wrote them, and can it write JSON, or by a schema registry?"
    )


def envelope_of(records: Sequence[Record], form: Format) -> tuple[EnvelopeName, str]:
    """What most values are wrapped in, and why. Raises `TransientError` if the registry does not answer."""
    values = [(record, payload(_decoded(form, record.value))) for record in records if record.value]
    if (changes := sum(_is_change(value) for _, value in values)) > MOST * len(values):
        return "debezium", f"{_percent(changes, len(values))} of the values have op, before and after"
    if (events := sum(_is_event(record, value) for record, value in values)) > MOST * len(values):
        return (
            "cloudevents",
            f"{_percent(events, len(values))} of the records have specversion, id, source and type",
        )
    return "", "no envelope is to be seen"


def _by_schema(ids: Counter[int], share: float, schemas: Schemas | None) -> tuple[FormatName, str]:
    if schemas is None:
        raise ConfigurationError(
            f"{share:.0%} of the values begin with a byte 0 and the id of a schema ({next(iter(ids))}), and"
            " there is no registry to ask: set HURNET_REGISTRY_URL"
        )
    kinds: Counter[Any] = Counter()
    for number, count in ids.most_common(SCHEMAS_MOST):
        try:
            kinds[schemas.schema(number).kind] += count
        except InvalidMessage:
            kinds[""] += count
    ((kind, _),) = kinds.most_common(1)
    if not kind:
        raise ConfigurationError(f"the registry knows no schema {next(iter(ids))}, by which most values are")
    numbers = ", ".join(map(str, sorted(ids)[:5])) + (", ..." if len(ids) > 5 else "")
    name: Any = NAMES[kind]
    return name, f"{share:.0%} of the values are by schema {numbers}, which is {kind.title()}"


def _decoded(form: Format, value: bytes | None) -> Any:
    try:
        return None if value is None else form.decode(value)
    except InvalidMessage:
        return None


def _is_change(value: Any) -> bool:
    return isinstance(value, dict) and "op" in value and ("after" in value or "before" in value)


def _is_event(record: Record, value: Any) -> bool:
    if record.header("ce_specversion") is not None:
        return True
    return isinstance(value, dict) and {"specversion", "source", "type"} <= value.keys()


def _percent(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.0%}"
