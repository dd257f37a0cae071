"""What a value is wrapped in: CloudEvents 1.0, and the changes of a database as Debezium writes them.

    Debezium       {"op": "u", "before": {...}, "after": {"id": 7, ...}, "source": {...}, "ts_ms": 1}
                   the same as {"schema": ..., "payload": the same}
        c, r, u    a row is there: `after` is the value
        d          it is gone: its key deletes, and `before` is the value for an expression `key`
        m, and records without op that tell of a transaction or that the connector lives: nothing to remember
    CloudEvents    {"specversion": "1.0", "id": ..., "source": ..., "type": ..., "data": the value}
                   or headers ce_specversion, ce_id, ..., and the record's value is the value

What is around the value stays in reach of expressions, as `envelope`: envelope.type, envelope.source.table.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from hurnet_schemas import InvalidMessage
from hurnet_stream.ports import Record
from hurnet_stream.readers.formats import Format, Json, PlainText
from hurnet_stream.readers.values import kind


class Opened(NamedTuple):
    """A record out of its envelope. `envelope` is what is around the value, None without an envelope."""

    value: Any
    envelope: Mapping[str, Any] | None = None
    deletes: bool = False
    """Whether the record says that what came under its key is gone."""
    says: bool = True
    """False if it says nothing that could be remembered or deleted."""


TOMBSTONE: Final = Opened(None, deletes=True)
_ATTRIBUTES: Final = ("id", "source", "type")
"""What each CloudEvent has, beside specversion."""
_CE: Final = "ce_"
_STRUCTURED: Final = "application/cloudevents+"
_ROW_IS_THERE: Final = ("c", "r", "u")


def bare(_record: Record, raw: bytes, form: Format) -> Opened:
    """A value without an envelope. Raises `InvalidMessage`, and what `form` raises."""
    return Opened(form.decode(raw))


def debezium(_record: Record, raw: bytes, form: Format) -> Opened:
    """The row of a change. Raises `InvalidMessage`, and what `form` raises."""
    change = payload(form.decode(raw))
    if not isinstance(change, dict):
        raise _not_debezium(f"it is {kind(change)}")
    operation = change.get("op")
    if operation is None and _is_service_record(change):
        return Opened(None, says=False)
    around = {name: part for name, part in change.items() if name not in ("before", "after")}
    if operation in _ROW_IS_THERE:
        if not isinstance(change.get("after"), dict):
            raise _not_debezium(f"op is {operation}, and `after` is {kind(change.get('after'))}")
        return Opened(change["after"], around)
    if operation == "d":
        return Opened(change.get("before"), around, deletes=True)
    if operation == "m":
        return Opened(None, around, says=False)
    if operation == "t":
        raise InvalidMessage(
            "invalid-message",
            "op is t: the table was emptied, and which rows that were is not said. `hurnet forget` with a"
            " context empties that context",
        )
    raise _not_debezium(f"op is {kind(operation)}" if not isinstance(operation, str) else "op is unknown")


def payload(value: Any) -> Any:
    """What is beside a schema, if JSON was written with one; otherwise the value itself."""
    if isinstance(value, dict) and value.keys() == {"schema", "payload"}:
        return value["payload"]
    return value


def _is_service_record(change: Mapping[str, Any]) -> bool:
    """Whether it is a heartbeat, tells of a transaction's begin or end, or of a changed table."""
    names = change.keys()
    return names == {"ts_ms"} or {"status", "id"} <= names or "ddl" in names or "tableChanges" in names


def _not_debezium(why: str) -> InvalidMessage:
    return InvalidMessage(
        "invalid-message",
        f"no change of Debezium: {why}. A change has op (c, r, u, d) and `after` with the row; if the"
        " connector unwraps rows (ExtractNewRecordState), leave envelope out",
    )


def cloudevents(record: Record, raw: bytes, form: Format) -> Opened:
    """The data of an event. Raises `InvalidMessage`, and what `form` raises."""
    attributes = {
        name[len(_CE) :]: (value or b"").decode(errors="replace")
        for name, value in record.headers
        if name.startswith(_CE)
    }
    content_type = (record.header("content-type") or b"").decode(errors="replace")
    if attributes and not content_type.startswith(_STRUCTURED):
        _check(attributes, "the header ce_")
        return Opened(form.decode(raw), attributes)
    if content_type.startswith("application/cloudevents-batch"):
        raise InvalidMessage("invalid-message", "a batch of CloudEvents: Kafka has one event a record")
    if not content_type.startswith(_STRUCTURED) and raw[:1] != b"{":
        raise InvalidMessage(
            "invalid-message",
            "no CloudEvent: there are no headers ce_id, ce_source, ce_type, ce_specversion, and the value is"
            " no JSON object with these",
        )
    return _structured(Json().decode(raw), form)


def _structured(event: Any, form: Format) -> Opened:
    if not isinstance(event, dict):
        raise InvalidMessage("invalid-message", f"a CloudEvent is an object, and this is {kind(event)}")
    around = {name: part for name, part in event.items() if name not in ("data", "data_base64")}
    _check(around, "")
    if "data_base64" in event:
        return Opened(form.decode(_bytes_of(event["data_base64"])), around)
    data = event.get("data")
    if isinstance(form, Json) or (isinstance(form, PlainText) and isinstance(data, str)):
        return Opened(data, around)
    wanted = "a text" if isinstance(form, PlainText) else "bytes in data_base64"
    raise InvalidMessage("invalid-message", f"`data` is {kind(data)}, and by `format` it must be {wanted}")


def _check(attributes: Mapping[str, Any], where: str) -> None:
    version = attributes.get("specversion")
    if version is None:
        raise InvalidMessage("invalid-message", f'no CloudEvent: {where}specversion, "1.0", is missing')
    if version != "1.0":
        raise InvalidMessage("unknown-version", f"{where}specversion must be 1.0, and is another version")
    for name in _ATTRIBUTES:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise InvalidMessage("invalid-message", f"{where}{name} is missing, and each CloudEvent has it")


def _bytes_of(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise InvalidMessage("invalid-message", "data_base64 is no base64") from None
