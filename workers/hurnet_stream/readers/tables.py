"""What the table of a topic makes of a record: the parts of a text that is to be remembered.

    [topics.tickets]                    {"id": 7, "subject": "Login", "votes": 3}
    text = "value.subject"              text     Login
    key = "value.id"                    key      7
    weight = "value.votes"              weight   3
    answer = "value.resolution"         none: what is not there is no error, unless it is the text

Everything that is wrong is told with its place, as in "[topics.tickets] weight = value.votes: ...".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hurnet_schemas import InvalidMessage, TextEvent
from hurnet_schemas.base import MAX_TEXT
from hurnet_stream.readers import values
from hurnet_stream.readers.expressions import Expression
from hurnet_stream.settings.settings import TopicSettings

Parts = Mapping[str, Any]
"""A record as expressions see it: value, key, headers, topic, partition, offset, timestamp, envelope."""
_OPTIONAL = ("answer", "context", "weight")


@dataclass(frozen=True, slots=True)
class Found:
    """A text and what belongs to it, before the limits of a text are checked."""

    text: str
    optional: dict[str, Any] = field(default_factory=dict)
    """Those of answer, context, weight and metadata that there are."""
    timestamp_ms: int | None = None


class Table:
    """The compiled expressions of one topic. Raises ValueError if one is wrong."""

    def __init__(self, topic: str, settings: TopicSettings) -> None:
        self._where = f"[topics.{topic}]"
        sources = {name: getattr(settings, name) for name in ("text", *_OPTIONAL, "key", "timestamp", "when")}
        if settings.format == "text":
            sources["text"] = sources["text"] or "value"
        self._expressions = {name: Expression(name, source) for name, source in sources.items() if source}
        self._metadata = {
            name: Expression(f"metadata.{name}", source)
            for name, source in settings.metadata.items()
            if source
        }
        everything = [*self._expressions.values(), *self._metadata.values()]
        self.looks_at = frozenset[str]().union(*(expression.looks_at for expression in everything))
        """The parts of a record that the expressions look at."""

    @property
    def has_key(self) -> bool:
        """Whether an expression, and not the record, says what the key is."""
        return "key" in self._expressions

    def takes(self, parts: Parts) -> bool:
        """Whether `when` is true of the record, as JMESPath has it: neither false nor null nor empty.
        Raises `InvalidMessage`."""
        when = self._expressions.get("when")
        if when is None:
            return True
        found = self._found(when, parts, lambda value: value)
        return not (found is None or found is False or found in ("", [], {}))

    def key(self, parts: Parts) -> bytes | None:
        """The key of the record, by the expression. Raises `InvalidMessage`."""
        key: str | None = self._found(self._expressions["key"], parts, values.text_of)
        return None if key is None else key.encode("utf-8", "replace")

    def refuse_key(self) -> InvalidMessage:
        """What is wrong with a record that deletes, if the expression finds no key in it."""
        return self._wrong(
            self._expressions["key"],
            "nothing is there, since a record that deletes has no value: take it from the record's key, as in"
            " key.id, or leave `key` out",
            "tombstone",
        )

    def read(self, parts: Parts) -> Found:
        """The text and what belongs to it. Raises `InvalidMessage`."""
        where = self._expressions["text"]
        text: str | None = self._found(where, parts, values.text_of)
        if text is None:
            raise self._wrong(
                where,
                "no text is there. Records that have none are left out by `when`, as in"
                f' when = "{where.place.removeprefix("text = "):.60}"',
                "blank-text",
            )
        optional: dict[str, Any] = {}
        for name in _OPTIONAL:
            convert = values.weight_of if name == "weight" else values.text_of
            self._put(optional, name, self._expressions.get(name), parts, convert)
        metadata: dict[str, Any] = {}
        for name, expression in self._metadata.items():
            self._put(metadata, name, expression, parts, values.text_of)
        if metadata:
            optional["metadata"] = metadata
        moment: dict[str, int] = {}
        self._put(moment, "ms", self._expressions.get("timestamp"), parts, values.milliseconds_of)
        return Found(text, optional, moment.get("ms"))

    def event(self, found: Found, piece: str) -> TextEvent:
        """The message that `piece`, all of the text or a chunk, amounts to. Raises `InvalidMessage`."""
        try:
            return TextEvent.of_fields({"text": piece, **found.optional})
        except InvalidMessage as error:
            raise self._explained(error) from None

    def _put(
        self,
        into: dict[str, Any],
        name: str,
        expression: Expression | None,
        parts: Parts,
        convert: Callable[[Any], Any],
    ) -> None:
        if expression is not None and (value := self._found(expression, parts, convert)) is not None:
            into[name] = value

    def _found(self, expression: Expression, parts: Parts, convert: Callable[[Any], Any]) -> Any:
        try:
            return convert(expression.find(parts))
        except ValueError as error:
            raise self._wrong(expression, str(error)) from None

    def _wrong(self, expression: Expression, why: str, reason: Any = "invalid-message") -> InvalidMessage:
        return InvalidMessage(reason, f"{self._where} {expression.place}: {why}")

    def _explained(self, error: InvalidMessage) -> InvalidMessage:
        """The same fault, with the place in the settings beside the field."""
        names = [*self._expressions, *(f"metadata.{name}" for name in self._metadata)]
        known = dict(zip(names, [*self._expressions.values(), *self._metadata.values()], strict=True))
        for name, why in error.faults:
            if name in known:
                hint = _HINTS.get(name, "")
                return self._wrong(known[name], f"{why}{hint}", error.reason)
        return InvalidMessage(error.reason, f"{self._where} {error.detail}")


_HINTS = {
    "context": " (a context is named with a-z, 0-9, `.`, `_` and `-`: slug(...) makes such a name)",
    "text": f" (chunk = N cuts texts of more than {MAX_TEXT:,} characters)",
}
