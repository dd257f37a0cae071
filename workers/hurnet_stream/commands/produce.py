"""`hurnet produce`: texts from a file or standard input into Kafka."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import click

from hurnet_stream.exit_codes import NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.ports import Sink, Tracer
    from hurnet_stream.terminal.lines import Format, Line, Message
    from hurnet_stream.terminal.screen import Advance

BATCH = 5_000
"""Messages that are sent together. Waiting for a batch then takes little time beside sending it."""
SHOWN = 20
"""How many invalid lines are reported one by one."""

EPILOG = """\b
Examples:
  hurnet produce faq.jsonl                   # lines: {"text": "...", "answer": "..."}
  printf 'turn on the light\\tlight_on\\n' | hurnet produce --context home
  hurnet produce tickets.jsonl --key-field customer    # then: hurnet forget --key
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--context", metavar="NAME", help="The context of texts that name none. Default: default.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["auto", "jsonl", "lines"]),
    default="auto",
    show_default=True,
    help="jsonl: objects with text and, if you like, answer, context, weight, metadata. lines: a text, or a "
    "text, TAB, its answer.",
)
@click.option(
    "--key-field",
    metavar="F",
    help="Take the record's key from this field: text, answer, context or a key "
    "of the metadata. Records with the same key go to the same partition.",
)
@click.option("--skip-invalid", is_flag=True, help="Exit with 0 even if lines were invalid.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def produce(
    file: BinaryIO,
    context: str | None,
    style: Format,
    key_field: str | None,
    skip_invalid: bool,
    as_json: bool,
) -> None:
    """Send the texts of a file to Kafka.

    Reads one text a line, from FILE or from standard input, and validates each before it is sent. Invalid
    lines are reported and left out; the exit code is then 1. The watermarks printed at the end are for
    `hurnet ask --after`.
    """
    from hurnet_stream.adapters.kafka import KafkaSink
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.lines import context_name, parser, read_lines
    from hurnet_stream.terminal.screen import hush, progress
    from hurnet_stream.wiring.tracing import traced

    hush()
    chosen = settings.load()
    kafka = chosen.kafka
    parse = parser(style, context_name(context), key_field)
    sent = Sent()
    sink = KafkaSink(kafka)
    began = time.monotonic()
    try:
        with progress("sending", _size(file)) as advance, traced(chosen.traces, "produce") as tracer:
            sending = Sending(sink, kafka.texts, tracer)
            send_lines(read_lines(file), parse, sending, sent, advance)
    finally:
        sink.close()
        tell = report_json if as_json else report
        tell(sent, kafka.texts, time.monotonic() - began)
    if sent.invalid and not skip_invalid:
        sys.exit(NOT_WELL)


@dataclass(slots=True)
class Sent:
    """What has become of the lines so far. `last_line` is the last one that was sent or invalid."""

    count: int = 0
    invalid: int = 0
    last_line: int = 0
    watermarks: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sending:
    """Where texts are sent to. With a `tracer` each batch is a span, which its records name."""

    sink: Sink
    topic: str
    tracer: Tracer | None = None

    def __call__(self, messages: Sequence[Message]) -> Sequence[tuple[int, int]]:
        """Send these; returns the (partition, offset) of each."""
        from hurnet_stream.client.spans import sent
        from hurnet_stream.ports import Outgoing, Work

        with sent(self.tracer, Work("send", self.topic, len(messages))) as trace:
            headers = (trace.header,) if trace else ()
            return self.sink.send([Outgoing(self.topic, m.value, m.key, headers) for m in messages])


def send_lines(
    lines: Iterator[Line], parse: Callable[[Line], Message], send: Sending, sent: Sent, advance: Advance
) -> None:
    """Send all lines, one batch after the other; `advance` is told the bytes that are done.

    `sent` is right at any moment, also if this raises."""
    while batch := list(islice(lines, BATCH)):
        messages = [message for line in batch if (message := _parsed(line, parse, sent))]
        for partition, offset in send(messages):
            sent.watermarks[partition] = max(offset, sent.watermarks.get(partition, 0))
        sent.count += len(messages)
        sent.last_line = batch[-1].number
        advance(sum(line.size for line in batch))


def _parsed(line: Line, parse: Callable[[Line], Message], sent: Sent) -> Message | None:
    from hurnet_schemas import InvalidMessage
    from hurnet_stream.terminal.screen import say

    try:
        return parse(line)
    except InvalidMessage as error:
        sent.invalid += 1
        if sent.invalid <= SHOWN:
            say(f"line {line.number}: {error}", err=True)
        if sent.invalid == SHOWN:
            say("further invalid lines are only counted", err=True)
        return None


def report(sent: Sent, topic: str, seconds: float) -> None:
    """Say how it went. The watermarks are for `hurnet ask --after`."""
    from hurnet_schemas.places import watermarks_text
    from hurnet_stream.terminal.screen import say

    say(f"sent {sent.count:,} texts to {topic} in {seconds:.1f} s (up to line {sent.last_line:,})")
    if sent.invalid:
        say(f"left out {sent.invalid:,} invalid lines", err=True)
    if sent.watermarks:
        say(f"watermarks {watermarks_text(sent.watermarks)}")


def report_json(sent: Sent, topic: str, seconds: float) -> None:
    """The same as one JSON object."""
    from hurnet_stream.terminal.screen import say_json

    told = {
        "topic": topic,
        "sent": sent.count,
        "invalid": sent.invalid,
        "last_line": sent.last_line,
        "watermarks": {str(p): offset for p, offset in sorted(sent.watermarks.items())},
        "seconds": round(seconds, 3),
    }
    say_json(told)


def _size(file: BinaryIO) -> int | None:
    """The bytes of the input, or None if it is a pipe."""
    return os.fstat(file.fileno()).st_size or None if file is not sys.stdin.buffer else None
