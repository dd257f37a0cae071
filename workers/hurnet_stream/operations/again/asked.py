"""What is asked again: a query, and the reply that it got.

answers/0/42    the answer's record; it names the query's record, which has the question
a line of JSON  what `hurnet ask --json` printed: a Reply, which has all of it in itself
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from hurnet_schemas import Answer, InvalidMessage, Query, Receipt
from hurnet_schemas.base import shortened
from hurnet_schemas.detail import DETAILS
from hurnet_schemas.places import record_place
from hurnet_schemas.reply import Reply
from hurnet_stream.core.paper.kernel_features import PATTERN
from hurnet_stream.ports import Record

Decoded = TypeVar("Decoded")
RecordName = tuple[str, int, int]
"""Topic, partition and offset."""
ReadRecord = Callable[[RecordName], Record | str]
"""Gives a record of Kafka, or says why it is not there."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that asking again needs and that is not there: `what` it is in one word, and `why` in a
    sentence. `entry` and `deletion` are records (topic/partition/offset), `when` is ISO 8601."""

    what: str
    why: str
    entry: str | None = None
    deletion: str | None = None
    when: str | None = None

    def as_dict(self) -> dict[str, str]:
        """The fields that have a value, for JSON."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, and the reply that it got, which has a receipt."""

    query: Query
    then: Reply


def record_name(text: str) -> RecordName | None:
    """Topic, partition and offset of a record that is named like answers/0/42; None if it is not."""
    try:
        topic, partition, offset, _ = record_place(text)
    except ValueError:
        return None
    return topic or "", partition, offset


def from_line(raw: bytes) -> Asked | Missing:
    """What a line of JSON holds. Raises `InvalidMessage` if it is no reply."""
    return _from_reply(Reply.decode(raw))


def from_kafka(name: RecordName, read: ReadRecord) -> Asked | Missing:
    """What the record of an answer and that of its query hold. Raises `InvalidMessage` if the record is no
    answer, or the other no query."""
    record = read(name)
    if isinstance(record, str):
        return Missing("record", record)
    answer = _decoded(Answer.decode, record)
    if answer.receipt is None:
        return _without_receipt(answer)
    queried = record_name(answer.receipt.query)
    asked = (
        read(queried) if queried else f"the receipt names no record: {shortened(answer.receipt.query, 80)}"
    )
    if isinstance(asked, str):
        return Missing("question", asked)
    query = _decoded(Query.decode, asked)
    _check(answer.receipt)
    return Asked(_timeless(query), Reply.of(answer, query.text, record.coordinates))


def _decoded(decode: Callable[[bytes | None], Decoded], record: Record) -> Decoded:
    try:
        if record.fault:
            raise InvalidMessage(record.fault.reason, record.fault.detail)
        return decode(record.value)
    except InvalidMessage as error:
        raise InvalidMessage(error.reason, f"{record.coordinates}: {error.detail}") from None


def _from_reply(then: Reply) -> Asked | Missing:
    receipt = then.receipt
    if receipt is None:
        return _without_receipt(then)
    _check(receipt)
    fields = {
        "text": then.question,
        "context": receipt.context,
        "exclude": receipt.exclude,
        # As many as came: a query that asked for more got no more.
        "top_k": max(1, len(then.candidates) + (then.candidates_dropped or 0)),
        "neighbours": len(then.neighbours),
        "detail": receipt.detail,
        "filter": _filter(receipt.filter),
    }
    try:
        return Asked(Query.model_validate({k: v for k, v in fields.items() if v is not None}), then)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(shortened(str(part), 40) for part in problem["loc"])
        raise InvalidMessage("invalid-message", f"{_PLACES.get(place, place)}: {problem['msg']}") from None


_PLACES = {
    "text": "question",
    "detail": "receipt.detail",
    "context": "receipt.context",
    "top_k": "candidates",
}
"""Where a field of the query stands in a reply."""


def _check(receipt: Receipt) -> None:
    """Raises `InvalidMessage` for figures that no responder can have had."""
    features = receipt.weights.features if receipt.weights else None
    wrong = {
        "half_life": not 0 <= (receipt.half_life or 0) <= 1e9,
        "p": receipt.p is not None and not 1 < receipt.p < 1e6,
        "deleting": any(count < 0 for count in (receipt.deleting or {}).values()),
        "detail": receipt.detail not in (None, *DETAILS),
        "error_rate_set": not 0 <= (receipt.error_rate_set or 0) <= 1,
        "weights.features": features is not None and not re.fullmatch(PATTERN, features.partition("/")[0]),
        "weights.pane": receipt.weights is not None and not abs(receipt.weights.pane or 0) < 1 << 40,
    }
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise InvalidMessage("invalid-message", f"receipt.{found[0]}: no responder gives such a value")


def _filter(encoded: str | None) -> Any:
    try:
        return None if encoded is None else json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("invalid-message", f"receipt.filter: not JSON: {error}") from None


def _without_receipt(answer: Answer) -> Missing:
    why = f": {answer.reason}" if answer.reason else ""
    return Missing(
        "receipt", f"the question was {answer.outcome}{why}; nothing was scored, so there is no receipt"
    )


def _timeless(query: Query) -> Query:
    """The query without what it waits for."""
    return query.model_copy(update={"min_watermarks": {}, "timeout_ms": None})
