"""Receipts as a person names them, and what came of asking them again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

from hurnet_schemas import InvalidMessage

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hurnet_stream.operations.again.asked import Asked, Missing, RecordName
    from hurnet_stream.operations.again.replayed import Replayed
    from hurnet_stream.ports import Record
    from hurnet_stream.settings.settings import KafkaSettings

MOST_BYTES = 4 << 20
"""Of a file that holds a receipt: an answer has at most 0.9 MB."""
SHOWN = 20
"""Differences and missing things that a person is shown."""


def asked(receipt: str, kafka: KafkaSettings) -> Asked | Missing:
    """The question and reply that `receipt` names: a record, a file, or - for standard input. Raises
    `BadParameter` if it names nothing or what it names is no reply."""
    from hurnet_stream.operations.again.asked import from_kafka, from_line, record_name

    try:
        name = record_name(receipt)
        if name is None:
            return from_line(_line(receipt))
        with _Records(kafka) as records:
            return from_kafka(name, records.read)
    except InvalidMessage as error:
        raise click.BadParameter(str(error), param_hint=f"RECEIPT {receipt}") from None


def _line(receipt: str) -> bytes:
    """The one object of JSON in a file, on a line or on several."""
    try:
        raw = _content(receipt)
    except (FileNotFoundError, ValueError):
        raise click.BadParameter(
            f"{receipt!r} is neither a record (as answers/0/42) nor a file", param_hint="RECEIPT"
        ) from None
    except OSError as error:
        raise click.BadParameter(f"{receipt}: {error.strerror}", param_hint="RECEIPT") from None
    if len(raw) > MOST_BYTES:
        raise click.BadParameter(
            f"{receipt} has more than {MOST_BYTES >> 20} MiB, and no receipt is as long", param_hint="RECEIPT"
        )
    lines = [line for line in raw.splitlines() if line.strip()]
    if not lines:
        raise click.BadParameter(f"{receipt} holds no line", param_hint="RECEIPT")
    if len(lines) > 1 and _is_object(lines[0]):
        raise click.BadParameter(
            f"{receipt} holds {len(lines):,} lines, and one receipt is asked again at a time: hand over one"
            " of them, as `sed -n 2p FILE | hurnet replay -` does with the second",
            param_hint="RECEIPT",
        )
    return b"\n".join(lines)


def _content(receipt: str) -> bytes:
    """The first bytes of a file in UTF-8, one more than it may have. Raises OSError and ValueError."""
    from hurnet_stream.terminal.lines import in_utf8

    with ExitStack() as stack:
        source: Any = sys.stdin.buffer
        if receipt != "-":
            source = stack.enter_context(open(receipt, "rb"))  # noqa: PTH123 - "" is no path, not "."
        content = bytearray()
        for piece in in_utf8(source):
            content += piece
            if len(content) > MOST_BYTES:
                break
        return bytes(content)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


class _Records:
    """Single records of Kafka, by their names."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> _Records:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, name: RecordName) -> Record | str:
        """The record, or why it is not there."""
        from hurnet_stream.adapters.kafka import KafkaHistory
        from hurnet_stream.errors import ConfigurationError

        topic, partition, offset = name
        history = self._stack.enter_context(closing(KafkaHistory(self._settings, topic)))
        place = f"{topic}/{partition}/{offset}"
        try:
            ranges = history.offset_ranges()
        except ConfigurationError as error:
            return f"{place}: {error}"
        held = ranges.get(partition)
        if held is None:
            return f"{place}: the topic {topic} has no partition {partition}, only {_listed(ranges)}"
        if offset >= held.end:
            return f"{place}: partition {partition} ends before offset {held.end}"
        if offset < held.first:
            return f"{place} is gone: the topic's retention took all before offset {held.first}"
        found = next((r for block in history.read(partition, offset, offset) for r in block), None)
        return found or f"{place} holds no record: it is a transaction's marker, or was compacted away"


def _listed(partitions: object) -> str:
    return ", ".join(map(str, sorted(partitions)))  # type: ignore[call-overload]


def outcome(replayed: Replayed) -> RenderableType:
    """What came of it, for a person."""
    from rich.console import Group
    from rich.text import Text

    from hurnet_stream.terminal.answers import explained
    from hurnet_stream.terminal.screen import facts

    parts: list[RenderableType] = [Text(_verdict(replayed), style="bold")]
    parts.append(facts([(f"  {missing.what}", missing.why) for missing in replayed.missing[:SHOWN]]))
    if replayed.differences:
        parts.append(facts(_differences(replayed)))
    if replayed.now and replayed.differences:
        parts.append(explained(replayed.now, advise=False))
    return Group(*parts)


def _verdict(replayed: Replayed) -> str:
    today = "today " if replayed.between else ""
    if replayed.same:
        return f"{today}the same answer, to the bit".capitalize()
    if replayed.now is None:
        return "It can't be asked again"
    if not replayed.differences:
        return "The same answer, as far as it can be asked again"
    then, now = replayed.then, replayed.now
    if then and (then.answer, then.outcome) == (now.answer, now.outcome):
        return f"{today}the same answer, and other figures".capitalize()
    return f"{today}another answer".capitalize()


def _differences(replayed: Replayed) -> Iterator[tuple[str, object]]:
    for difference in replayed.differences[:SHOWN]:
        yield f"  {difference.field}", f"{_short(difference.then)} then, {_short(difference.now)} now"
    if (more := len(replayed.differences) - SHOWN) > 0:
        yield "  and", f"{more} more"
    for why in dict.fromkeys(difference.why for difference in replayed.differences):
        yield "  why", why


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
