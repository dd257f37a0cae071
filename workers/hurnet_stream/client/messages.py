"""From what a caller says to the messages of the topics.

Everything is checked here, before anything is sent: what is wrong raises `InvalidRequest`, which names the
field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from hurnet_schemas import Coordinates, Feedback, Query, TextEvent
from hurnet_schemas.base import shortened
from hurnet_schemas.places import EXAMPLES, Marks, Place, place
from hurnet_schemas.query import WAITING
from hurnet_schemas.text import RecordKey
from hurnet_stream.client.errors import InvalidRequest
from hurnet_stream.client.transport import Forget, Keyed

MessageT = TypeVar("MessageT", bound=BaseModel)
Entry = Coordinates | tuple[int, int] | str
"""The `entry` of a candidate; partition and offset in the topic of texts; or a name, such as tickets/3/41."""
Teachable = str | tuple[str, str] | Mapping[str, Any] | TextEvent
"""A text; a text and its answer; the fields of a `TextEvent`, and `key`; or a `TextEvent`."""

_KEY = TypeAdapter[str](RecordKey)

PATIENCE_S = 2.0
"""A query itself may wait so much shorter than its client does, so that its reply has time to come."""
QUERY_S_MOST = 60.0
TEXTS_MOST, BYTES_MOST = 1_000, 1 << 20
"""Of texts that are sent together. A single one may be longer."""


def patience_s(timeout_s: float) -> float:
    """How long a server may wait, if its reply must come within `timeout_s`."""
    return min(QUERY_S_MOST, max(timeout_s - PATIENCE_S, timeout_s / 2))


def query(question: str | Query, fields: Mapping[str, Any], timeout_s: float) -> Query:
    """The query of a question, which waits a little less than `timeout_s`. `fields` are for what it does not
    say itself."""
    wait_ms = max(1, round(1000 * patience_s(timeout_s)))
    said = _said(question) if isinstance(question, Query) else {"text": question}
    try:
        return made(Query, {"timeout_ms": wait_ms, **fields, **said})
    except InvalidRequest as error:  # callers say it by another name
        raise InvalidRequest(error.why, error.where.replace("min_watermarks", "after", 1)) from None


def keyed(text: Teachable, fields: Mapping[str, Any]) -> Keyed:
    """A text to teach. `fields` are for what it does not say itself."""
    all_fields = {**fields, **_fields(text)}
    key = _key(all_fields.pop("key", None))
    return Keyed(made(TextEvent, all_fields), key)


def _fields(text: Teachable) -> Mapping[str, Any]:
    if isinstance(text, TextEvent):
        return _said(text)
    if isinstance(text, tuple):
        if len(text) != 2:
            raise InvalidRequest(f"it has {len(text)} parts, and a pair is a text and its answer", "text")
        return {"text": text[0], "answer": text[1]}
    return text if isinstance(text, Mapping) else {"text": text}


def _said(message: BaseModel) -> dict[str, Any]:
    """The fields that were given when the message was made."""
    return {name: getattr(message, name) for name in message.model_fields_set}


def feedback(
    question: str | Feedback, answer: str | None, given: str | None, retract: bool, fields: Mapping[str, Any]
) -> Feedback:
    """The feedback that says that `answer` is right, or that `given` was wrong, or both.

    answer    given     verdict
    "a"       -         wrong, and "a" is right
    "a"       "b"       wrong, and "a" is right
    "a"       "a"       right
    -         "b"       wrong
    -         -         retracted, if `retract`
    """
    if isinstance(question, Feedback):
        said = {"answer": answer, "given": given, "verdict": "retracted" if retract else None}
        return made(Feedback, {**said, **fields, **_said(question)})
    if retract and (answer is not None or given is not None):
        raise InvalidRequest("takes back all that was said of the question: it has no answer", "retract")
    if not retract and answer is None and given is None:
        raise InvalidRequest("say what is right (answer), what was wrong (given), or retract", "answer")
    right = answer is not None and answer == given
    verdict = "retracted" if retract else "right" if right else "wrong"
    said = {"question": question, "verdict": verdict, "answer": answer, "given": None if right else given}
    return made(Feedback, {**said, **fields})


def forget(entry: Entry | None, key: str | None, context: str | None) -> Forget:
    """What is to be deleted. Raises `InvalidRequest` unless it is one thing."""
    if (entry is None) == (key is None):
        raise InvalidRequest("name one thing to forget: an entry or a key", "entry")
    if entry is None:
        return Forget(key=_key(key), context=made(TextEvent, {"text": "-", "context": context}).context)
    if context is not None:
        raise InvalidRequest("is for a key; an entry needs none", "context")
    return Forget(entry=_place(entry))


def _place(entry: Entry) -> Place:
    """The record of an entry that a caller names. Raises `InvalidRequest`."""
    if isinstance(entry, str):
        try:
            return place(entry)
        except ValueError as error:
            raise InvalidRequest(str(error), "entry") from None
    if isinstance(entry, tuple) and len(entry) == 2:
        return made(Coordinates, {"partition": entry[0], "offset": entry[1]}).place
    if not isinstance(entry, Coordinates):
        raise InvalidRequest(
            f"it is a candidate's `entry`, (partition, offset) or a name, as in {EXAMPLES}", "entry"
        )
    return entry.place


def waiting(watermarks: Marks, context: str | None, timeout_s: float) -> Query:
    """A query that nobody wants the answer to: when it comes, these watermarks were seen."""
    fields = {"id": WAITING, "context": context, "min_watermarks": watermarks}
    try:
        return query("seen?", fields, timeout_s)
    except InvalidRequest as error:
        raise InvalidRequest(error.why, error.where.replace("after", "watermarks", 1)) from None


class Portions:
    """Texts in order, as lists that are sent together. What is wrong is named by its number from 0."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self._number = 0
        self._size = 0
        self.rest: list[Keyed] = []

    def add(self, text: Teachable) -> list[Keyed]:
        """Add a text; returns a list to send if this text does not fit into it, else an empty one. Raises
        `InvalidRequest`."""
        made = numbered(text, self._fields, self._number)
        self._number += 1
        size, full = _size(made), list[Keyed]()
        if self.rest and (len(self.rest) == TEXTS_MOST or self._size + size > BYTES_MOST):
            full, self.rest, self._size = self.rest, [], 0
        self.rest.append(made)
        self._size += size
        return full


def numbered(text: Teachable, fields: Mapping[str, Any], number: int) -> Keyed:
    """As `keyed`, of one of many."""
    try:
        return keyed(text, fields)
    except InvalidRequest as error:
        raise error.within(f"texts.{number}") from None


def _size(text: Keyed) -> int:
    """About how many bytes it takes."""
    event = text.event
    pairs = sum(len(name) + len(value) for name, value in event.metadata.items())
    return 4 * (len(event.text) + len(event.answer or "") + pairs) + 100


def _key(key: object) -> str | None:
    try:
        return None if key is None else _KEY.validate_python(key)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"a record's key is a text of 1 to 1,024 bytes: {why}", "key") from None


def made(kind: type[MessageT], fields: Mapping[str, Any]) -> MessageT:
    """The message of these fields but those that are None. Raises `InvalidRequest`."""
    try:
        return kind.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or kind.__name__
        raise InvalidRequest(first["msg"].removeprefix("Value error, "), shortened(where, 80)) from None
