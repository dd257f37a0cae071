"""`hurnet produce`: texts from files into Kafka."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import NOT_WELL

if TYPE_CHECKING:
    from hurnet_stream.operations.backfilling import Progress, Sending, Span
    from hurnet_stream.operations.files.columns import Columns
    from hurnet_stream.operations.files.source import TextSource
    from hurnet_stream.ports import Headers, Tracer
    from hurnet_stream.settings.settings import Settings

EPILOG = """\b
Examples:
  hurnet produce faq.csv                     # columns text, answer, key; others are metadata
  hurnet produce tickets.parquet --text subject --answer solution.text --key id --metadata product
  hurnet produce docs/                       # of .md and .txt files each is one text
  hurnet produce s3://bucket/faq/ --dry-run  # needs: pip install 'hurnet-stream[files]'
  printf 'turn on the light\\tlight_on\\n' | hurnet produce --context home
  hurnet produce tickets.jsonl --key customer    # then: hurnet forget --key
"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--context", metavar="NAME", help="The context of texts that name none. Default: default.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["auto", "csv", "jsonl", "lines", "parquet"]),
    default="auto",
    show_default=True,
    help="What the files are, whatever their names say. lines: a text, or a text, TAB, its answer.",
)
@click.option(
    "--text", metavar="COLUMN", default="", help="The column of the text. Default: text, or question."
)
@click.option("--answer", metavar="COLUMN", default="", help="The column of the answer. Default: answer.")
@click.option(
    "--context-from", metavar="COLUMN", default="", help="The column of the context. Default: context."
)
@click.option(
    "--key",
    "--key-field",
    metavar="COLUMN",
    default="",
    help="The column of the record's key, or one of the metadata. Default: key. Records with the same key go "
    "to the same partition.",
)
@click.option("--timestamp", metavar="COLUMN", default="", help="The column of the record's time.")
@click.option("--metadata", metavar="COLUMN", multiple=True, help="Take these, and no others, as metadata.")
@click.option("--again", is_flag=True, help="Send all of it, even what an earlier run has sent.")
@click.option("--no-resume", is_flag=True, help="Keep no note of how far it came, and use no transactions.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, and send nothing.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write what is no text to this file: a JSON object a row.",
)
@click.option("--skip-invalid", is_flag=True, help="Exit with 0 even if rows were invalid.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def produce(
    files: tuple[str, ...],
    context: str | None,
    rejects: Path | None,
    skip_invalid: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Send the texts of files to Kafka.

    FILE is CSV, a JSON object a line, Parquet, or plain lines; a folder of these and of documents; a URL
    (s3://, gs://, https://); or - for standard input, which is the default. Any of them may be compressed by
    gzip, Zstandard or bzip2.

    Each text is sent once: whatever ended a command, the same command goes on where it stopped, and sends
    nothing that was sent. Of a file that has grown it sends what is new. Kafka keeps the note for this as
    long as offsets of a group (7 days, unless it is told otherwise). Standard input has no such note.

    Rows that are no texts are told by file and line and left out; the exit code is then 1. The watermarks
    printed at the end are for `hurnet ask --after`.
    """
    from hurnet_stream.terminal.lines import context_name
    from hurnet_stream.terminal.rejects import Rejects
    from hurnet_stream.terminal.screen import hush

    hush()
    named = files or ("-",)
    if "-" in named and len(named) > 1:
        raise click.UsageError("- is standard input, and stands alone.")
    source, name = _source(named, chosen), context_name(context)
    with Rejects.into(rejects) as told:
        if chosen["dry_run"]:
            invalid = _rehearsed(source, name, told, as_json)
        else:
            invalid = _sent(source, name, told, as_json, _Job(named, **_only(chosen, "again", "no_resume")))
    if invalid and not skip_invalid:
        sys.exit(NOT_WELL)


def _only(chosen: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: chosen[name] for name in names}


class _Job:
    """Which texts, and whether it goes on."""

    def __init__(self, files: tuple[str, ...], *, again: bool, no_resume: bool) -> None:
        self._files = files
        self.again = again
        self.resumes = not no_resume and "-" not in files

    def name(self, settings: Settings) -> str:
        """Under which it goes on; "" if it does not."""
        from hurnet_stream.operations.backfilling import job_name
        from hurnet_stream.operations.files.found import identity

        if not self.resumes:
            return ""
        names = tuple(identity(file) for file in self._files)
        return job_name(f"{settings.redis.prefix}-produce/", settings.kafka.texts, names)


def _source(files: tuple[str, ...], chosen: dict[str, Any]) -> TextSource:
    from hurnet_stream.operations.files.columns import Columns
    from hurnet_stream.operations.files.found import found
    from hurnet_stream.operations.files.source import TextSource

    names = _only(chosen, "text", "answer", "key", "timestamp", "metadata")
    columns: Columns = Columns(context=chosen["context_from"], **names)
    return TextSource(found(files, chosen["kind"]), columns)


def _sent(source: TextSource, context: str, told: Any, as_json: bool, job: _Job) -> int:
    """Send everything; returns how many rows were invalid."""
    from hurnet_stream.adapters.kafka import KafkaBackfill
    from hurnet_stream.operations.backfilling import Progress, Sending
    from hurnet_stream.operations.files.encoded import Encoder
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.rates import rated
    from hurnet_stream.wiring.tracing import traced

    chosen = settings.load()
    progress, began = Progress(), time.monotonic()
    name = job.name(chosen)
    try:
        with (
            closing(KafkaBackfill(chosen.kafka, name)) as backfill,
            traced(chosen.traces, "produce") as tracer,
            rated("sending", source.found.size, "texts") as tell,
        ):
            span = spanned(tracer, chosen.kafka.texts)
            sending: Sending = Sending(backfill, Encoder(context), progress, span, resumes=bool(name))
            sending.run(source.drafts(), told, lambda: tell(source.done, progress.count), again=job.again)
    finally:
        if progress.begun:
            show = report_json if as_json else report
            show(progress, source, chosen.kafka.texts, time.monotonic() - began)
    return progress.invalid


def spanned(tracer: Tracer | None, topic: str) -> Span:
    """With a tracer each block is a span, which its records name."""
    from hurnet_stream.client.spans import sent
    from hurnet_stream.ports import Work

    def send(block: Callable[[Headers], None], count: int) -> None:
        with sent(tracer, Work("send", topic, count)) as trace:
            block((trace.header,) if trace else ())

    return send


def _rehearsed(source: TextSource, context: str, told: Any, as_json: bool) -> int:
    """Read and check everything; returns how many rows were invalid."""
    from hurnet_stream.operations.files.encoded import Encoder
    from hurnet_stream.operations.files.rows import Reject
    from hurnet_stream.terminal.rates import rated
    from hurnet_stream.terminal.rehearsing import rehearsed, rehearsed_json

    encoder, first, valid, invalid = Encoder(context), list[Any](), 0, 0
    with rated("checking", source.found.size, "texts") as tell:
        for name, draft in source.drafts():
            record = draft if isinstance(draft, Reject) else encoder.encoded(draft)
            if isinstance(record, Reject):
                told(name, record)
                invalid += 1
                continue
            if len(first) < 5:
                first.append(record)
            valid += 1
            if valid % 10_000 == 0:
                tell(source.done, valid)
    show = rehearsed_json if as_json else rehearsed
    show(source, first, valid, invalid)
    return invalid


def report(progress: Progress, source: TextSource, topic: str, seconds: float) -> None:
    """Say how it went. The watermarks are for `hurnet ask --after`."""
    from hurnet_schemas.places import watermarks_text
    from hurnet_stream.terminal.screen import say

    before = f"; {progress.before:,} were sent before" if progress.before else ""
    line = f"up to line {progress.last_line:,}"
    say(f"sent {progress.count:,} texts to {topic} in {seconds:.1f} s ({line}{before})")
    for note in source.notes:
        say(note, err=True)
    if source.found.passed_over:
        say(f"passed over {source.found.passed_over:,} files that hold no texts by their names", err=True)
    if progress.invalid:
        say(f"left out {progress.invalid:,} invalid rows", err=True)
    if progress.watermarks:
        say(f"watermarks {watermarks_text(progress.watermarks)}")


def report_json(progress: Progress, source: TextSource, topic: str, seconds: float) -> None:
    """The same as one JSON object."""
    from hurnet_stream.terminal.screen import say_json

    told = {
        "topic": topic,
        "sent": progress.count,
        "sent_before": progress.before,
        "invalid": progress.invalid,
        "last_line": progress.last_line,
        "files": len(source.found.inputs),
        "passed_over": source.found.passed_over,
        "columns": source.columns,
        "notes": source.notes,
        "watermarks": {str(p): offset for p, offset in sorted(progress.watermarks.items())},
        "seconds": round(seconds, 3),
    }
    say_json(told)
