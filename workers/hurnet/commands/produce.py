"""`hurnet produce`: texts from a file or standard input into Kafka."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import click

if TYPE_CHECKING:
    from hurnet.ports import Sink
    from hurnet.terminal.lines import Format, Line, Message

BATCH = 5_000
"""Messages sent together; what a batch costs to wait for is then nothing beside what it costs to send."""
SHOWN = 20
"""Bad lines that are told one by one."""

Advance = Callable[[int], None]
"""Told how many bytes of the input have been dealt with."""


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--context", metavar="NAME", help="The context of texts that name none (default: default).")
@click.option(
    "--format",
    "style",
    type=click.Choice(["auto", "jsonl", "lines"]),
    default="auto",
    show_default=True,
    help="jsonl: objects with text, answer, context, metadata. lines: a text, TAB, its answer if it has one.",
)
@click.option(
    "--key-field", metavar="F", help="text, answer, context or a metadata key: same key, same shard."
)
@click.option("--skip-invalid", is_flag=True, help="Exit with 0 though lines were invalid.")
def produce(
    file: BinaryIO, context: str | None, style: Format, key_field: str | None, skip_invalid: bool
) -> None:
    """Send the texts of a file to Kafka.

    One a line, from FILE or standard input. Every line is validated first; those that are invalid are told
    and left out, and the exit code is then 1.
    """
    from hurnet.adapters.kafka import KafkaSink
    from hurnet.settings import settings
    from hurnet.terminal.lines import context_name, parser, read_lines
    from hurnet.terminal.screen import hush

    hush()
    kafka = settings.load().kafka
    parse = parser(style, context_name(context), key_field)
    sent = Sent()
    sink = KafkaSink(kafka)
    began = time.monotonic()
    try:
        with progress(file) as advance:
            send_lines(read_lines(file), parse, sink, kafka.texts, sent, advance)
    finally:
        sink.close()
        report(sent, kafka.texts, time.monotonic() - began)
    if sent.invalid and not skip_invalid:
        sys.exit(1)


@dataclass(slots=True)
class Sent:
    """What has become of the lines so far; `last_line` is the last one that Kafka has or that was invalid."""

    count: int = 0
    invalid: int = 0
    last_line: int = 0
    watermarks: dict[int, int] = field(default_factory=dict)


def send_lines(
    lines: Iterator[Line],
    parse: Callable[[Line], Message],
    sink: Sink,
    topic: str,
    sent: Sent,
    advance: Advance,
) -> None:
    """Send all lines, a batch at a time; `sent` is right at any moment, also when this raises."""
    from hurnet.ports import Outgoing

    while batch := list(islice(lines, BATCH)):
        messages = [message for line in batch if (message := _parsed(line, parse, sent))]
        for partition, offset in sink.send([Outgoing(topic, m.value, m.key) for m in messages]):
            sent.watermarks[partition] = max(offset, sent.watermarks.get(partition, 0))
        sent.count += len(messages)
        sent.last_line = batch[-1].number
        advance(sum(line.size for line in batch))


def _parsed(line: Line, parse: Callable[[Line], Message], sent: Sent) -> Message | None:
    from hurnet.terminal.screen import say
    from hurnet_schemas import InvalidMessage

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
    """How it went; the watermarks are for `hurnet ask --after`."""
    from hurnet.terminal.screen import say, watermarks_text

    say(f"sent {sent.count:,} texts to {topic} in {seconds:.1f} s (up to line {sent.last_line:,})")
    if sent.invalid:
        say(f"left out {sent.invalid:,} invalid lines", err=True)
    if sent.watermarks:
        say(f"watermarks {watermarks_text(sent.watermarks)}")


@contextmanager
def progress(file: BinaryIO) -> Iterator[Advance]:
    """A bar on a terminal, by bytes where the input's size is known; otherwise nothing."""
    if not sys.stderr.isatty():
        yield lambda _size: None
        return
    from rich.progress import Progress

    from hurnet.terminal.screen import console

    with Progress(console=console(stderr=True), transient=True) as bar:
        size = os.fstat(file.fileno()).st_size or None if file is not sys.stdin.buffer else None
        task = bar.add_task("sending", total=size)
        yield lambda done: bar.advance(task, done)
