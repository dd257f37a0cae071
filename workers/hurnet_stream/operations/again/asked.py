"""What is asked again: a query, and the reply that it got.

answers/0/42    the answer's record; it names the query's record, which has the question
a line of JSON  what `hurnet ask --json` printed: a Reply, which has all of it in itself
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from hurnet_schemas import Answer, InvalidMessage, MixReceipt, Query, Receipt, WeightsReceipt
from hurnet_schemas.base import shortened
from hurnet_schemas.detail import DETAILS
from hurnet_schemas.places import record_place
from hurnet_schemas.reply import Reply
from hurnet_stream.core.paper.kernel_features import PATTERN
from hurnet_stream.core.places import SPAN
from hurnet_stream.core.solve.weights import MAX_RIDGE
from hurnet_stream.ports import Record

COUNT_MOST: Final = 1 << 53
"""More entries than a store holds."""
FACTOR_MOST: Final = 1e6
"""More than a part of an answer ever counts."""

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
    if not is_of(answer, query):
        why = f"{asked.coordinates} holds another question today: its topic was made anew since"
        return Missing("question", why)
    return Asked(_timeless(query), Reply.of(answer, query.text, record.coordinates))


def is_of(answer: Answer, query: Query) -> bool:
    """Whether a query that stands where the answer's receipt says may be the one that was answered. A topic
    that is made anew gives its offsets again, to what others ask in other contexts."""
    context = answer.receipt.context if answer.receipt else query.context
    return query.context == context and query.id in (None, answer.id)


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
        raise InvalidMessage(
            "invalid-message", f"{_PLACES.get(place, place)}: {problem['msg'].removeprefix('Value error, ')}"
        ) from None


_PLACES = {
    "text": "question",
    "detail": "receipt.detail",
    "context": "receipt.context",
    "top_k": "candidates",
}
"""Where a field of the query stands in a reply."""


def _check(receipt: Receipt) -> None:
    """Raises `InvalidMessage` for figures that no responder can have had."""
    wrong = {
        "half_life": not (not receipt.half_life or 60 <= receipt.half_life <= 1e9),
        "p": receipt.p is not None and not 1 < receipt.p < 1e6,
        "deleting": not _within(0, COUNT_MOST, *(receipt.deleting or {}).values()),
        "beyond": not _within(0, SPAN, *(receipt.beyond or {}).values()),
        "detail": receipt.detail not in (None, *DETAILS),
        "threshold": not _within(0, 1, receipt.threshold),
        "error_rate_set": not _within(0, 1, receipt.error_rate_set),
        "probability": not _within(0, 1, receipt.probability),
        "lowest_probability": not _within(0, 1, receipt.lowest_probability),
        "rows": not _within(0, COUNT_MOST, receipt.rows, receipt.rows_of_context),
        **(_wrong_weights(receipt.weights) if receipt.weights else {}),
        **(_wrong_mix(receipt.mix) if receipt.mix else {}),
    }
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise InvalidMessage("invalid-message", f"receipt.{found[0]}: no responder gives such a value")


def _wrong_weights(weights: WeightsReceipt) -> dict[str, bool]:
    features = weights.features
    return {
        "weights.features": features is not None and not re.fullmatch(PATTERN, features.partition("/")[0]),
        "weights.pane": not abs(weights.pane or 0) < 1 << 40,
        "weights.ridge": not 0 <= weights.ridge < MAX_RIDGE,
        "weights.beyond": not _within(0, SPAN, *(weights.beyond or {}).values()),
    }


def _wrong_mix(mix: MixReceipt) -> dict[str, bool]:
    factors = mix.memory, mix.lexical, mix.words, mix.weights
    return {"mix": not (_within(0, 1, mix.meaning) and _within(0, FACTOR_MOST, *factors))}


def _within(least: float, most: float, *values: float | None) -> bool:
    """Whether all values that there are lie between these. What is no number lies nowhere."""
    return all(value is None or least <= value <= most for value in values)


def _filter(encoded: str | None) -> Any:
    try:
        return None if encoded is None else json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage("invalid-message", f"receipt.filter: not JSON: {error}") from None


def _without_receipt(answer: Answer) -> Missing:
    outcome, reason = shortened(answer.outcome, 80), f": {answer.reason}" if answer.reason else ""
    if answer.outcome in ("answered", "abstained"):
        return Missing("receipt", f"the question was {outcome}, and its receipt did not fit into the message")
    return Missing(
        "receipt", f"the question was {outcome}{reason}; nothing was scored, so there is no receipt"
    )


def _timeless(query: Query) -> Query:
    """The query without what it waits for."""
    return query.model_copy(update={"min_watermarks": {}, "timeout_ms": None})
