"""`hurnet map`: look at a topic or a file, and propose the table that reads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.exit_codes import DONE, NOT_THERE

if TYPE_CHECKING:
    from hurnet_stream.operations.mapping.survey import Survey, Tools
    from hurnet_stream.ports import Record
    from hurnet_stream.settings.settings import Settings

EPILOG = """\b
Examples:
  hurnet map tickets            # what is in the topic, and a table for it
  hurnet map tickets --write hurnet.toml                 # the table, added to a settings file
  hurnet map tickets --text value.subject --answer value.resolution
  hurnet map faq.csv --hide-samples                      # a file; nothing that it holds is shown
  hurnet map tickets --answer '' --json | jq .candidates
"""
_PARTS = ("text", "answer", "context", "key", "weight", "timestamp", "when", "format", "envelope", "keys")


@click.command("map", epilog=EPILOG)
@click.argument("source", metavar="TOPIC|FILE")
@click.option(
    "--samples", type=click.IntRange(10, 20_000), default=1_000, show_default=True, help="Records to look at."
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 600),
    default=30.0,
    show_default=True,
    help="Seconds to read for at most.",
)
@click.option(
    "--text", metavar="EXPRESSION", help="Where the text is, in JMESPath over value, key, headers, ..."
)
@click.option("--answer", metavar="EXPRESSION", help="Where the answer is. '': each text is its own answer.")
@click.option("--context", metavar="EXPRESSION", help="Where the context is; \"'faq'\" is that name for all.")
@click.option("--key", metavar="EXPRESSION", help="Where the key is. '': it is the record's own.")
@click.option("--weight", metavar="EXPRESSION", help="Where the weight is.")
@click.option("--timestamp", metavar="EXPRESSION", help="Where the time is. '': it is the record's own.")
@click.option("--when", metavar="EXPRESSION", help="Which records are taken. '': all.")
@click.option(
    "--keys", type=click.Choice(["upsert", "append"]), help="Whether a text replaces what its key held."
)
@click.option(
    "--chunk", type=click.IntRange(0), help="The most characters of a piece of a long text. 0: whole."
)
@click.option(
    "--format",
    type=click.Choice(["json", "text", "avro", "protobuf", "json-schema"]),
    help="What values are.",
)
@click.option(
    "--envelope", type=click.Choice(["", "cloudevents", "debezium"]), help="What values are wrapped in."
)
@click.option(
    "--metadata", metavar="NAME=EXPRESSION", multiple=True, help="One of the metadata. May be repeated."
)
@click.option("--embedder", help="Embedder to try with. Default: the one of the settings.")
@click.option(
    "--write", type=click.Path(dir_okay=False, path_type=Path), help="Add the table to this settings file."
)
@click.option(
    "--hide-samples", is_flag=True, help="Show nothing that records hold, only figures and names of fields."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def map_topic(  # noqa: PLR0913 - an option each
    source: str,
    samples: int,
    timeout: float,
    embedder: str | None,
    write: Path | None,
    hide_samples: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Propose the table that reads a topic or a file.

    It looks at a sample, and proposes the table [topics.NAME] of a settings file.

    Takes records from all partitions, old and new, without joining a group or changing anything. Finds format
    and envelope, proposes where text, answer, key and the rest are, with the reason for each, and tries it:
    what would be taken and rejected, and how many questions would be answered rightly, by leaving each pair
    out. Options say what is known better. Nothing is written without --write. A FILE is CSV, JSON lines,
    Parquet or plain lines.

    The table goes to standard output, what was found to standard error. Exit code 3: there is nothing to look
    at, or nothing in it looks like a text.
    """
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.mapping import described, show
    from hurnet_stream.terminal.screen import hush, say, say_json

    hush()
    chosen = settings.load()
    name, records, summary = _sampled(source, samples, timeout, chosen)
    say(summary, err=True)
    if not records:
        sys.exit(NOT_THERE)
    found = _surveyed(name, records, _given(**given), embedder, chosen)
    if as_json:
        say_json({"source": source, "sample": summary, **described(found, not hide_samples)})
    else:
        show(found, not hide_samples)
    for note in found.notes:
        say(note, err=True)
    _end(found, source, write, as_json)


def _given(metadata: tuple[str, ...], chunk: int | None, **expressions: str | None) -> Mapping[str, Any]:
    """What was said with options, by the names of the settings."""
    given: dict[str, Any] = {name: value for name, value in expressions.items() if value is not None}
    if chunk is not None:
        given["chunk"] = chunk
    for each in metadata:
        name, equals, expression = each.partition("=")
        if not equals:
            raise click.BadParameter(f"{each!r} must be NAME=EXPRESSION", param_hint="--metadata")
        given[f"metadata.{name}"] = expression
    return given


def _sampled(source: str, samples: int, timeout: float, chosen: Settings) -> tuple[str, list[Record], str]:
    """The name for the table, the records, and a sentence about them."""
    from hurnet_stream.operations.mapping.rows import rows_of

    if (path := Path(source)).is_file():
        name, records, rows = rows_of(path, samples)
        return name, records, f"{source}: {len(records):,} of {rows} rows"
    if "/" in source:  # no topic has such a name
        raise click.BadParameter(f"{source!r} is neither a topic nor a file", param_hint="TOPIC|FILE")
    from hurnet_stream.adapters.kafka.reading.sampling import sample
    from hurnet_stream.terminal.screen import moment

    if source == chosen.kafka.texts:
        raise click.ClickException(
            f"{source} is the topic of texts: its messages are hurnet's own, and need no table"
        )
    taken = sample(chosen.kafka, source, samples, timeout)
    records = list(taken.records)
    if not records:
        return source, [], f"{source} holds no records"
    times = [record.timestamp_ms for record in records]
    summary = (
        f"{source}: {len(records):,} of at most {taken.offsets:,} records, of {len(taken.held):,} partitions"
    )
    summary += f", from {moment(min(times))} to {moment(max(times))}"
    return source, records, summary + (f"; the time of {timeout:g} s was up" if taken.cut_short else "")


def _surveyed(
    name: str, records: list[Record], given: Mapping[str, Any], embedder: str | None, chosen: Settings
) -> Survey:
    from hurnet_stream.operations.mapping.survey import survey

    return survey(name, records, given, _tools(embedder, chosen))


def _tools(embedder: str | None, chosen: Settings) -> Tools:
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.operations.mapping.survey import Tools
    from hurnet_stream.readers.making import Making

    schemas = protos = None
    if chosen.registry.url:
        from hurnet_stream.adapters.registry import Protoc, Registry

        schemas, protos = Registry(chosen.registry), Protoc()
    making = Making(chosen, schemas, protos)
    return Tools(making, schemas, load("hash512"), load(embedder or chosen.embedder.name), chosen.solve)


def _end(found: Survey, source: str, write: Path | None, as_json: bool) -> None:
    from hurnet_stream.operations.mapping.rows import sending
    from hurnet_stream.terminal.screen import say

    if not found.tried:
        sys.exit(NOT_THERE)
    proposal = found.tried[0].proposal
    if not as_json:
        say(proposal.toml().rstrip())
    if Path(source).is_file() and (command := sending(source, proposal.settings())):
        say(f"\nto send the file to the topic of texts instead:\n{command}", err=True)
    if write:
        _write(write, proposal.topic, proposal.toml())
        say(f"added to {write}; `hurnet --config {write} settings` tries it", err=True)
    sys.exit(DONE)


def _write(path: Path, topic: str, table: str) -> None:
    """Add the table to a settings file, or begin one. A table that is there already is not touched."""
    import tomllib

    from hurnet_stream.settings.settings import text_of

    try:
        there = text_of(path) if path.exists() else ""
        known = tomllib.loads(there)
        joined = f"{there.rstrip()}\n\n{table}" if there.strip() else table
        if topic in known.get("topics", {}):
            raise click.ClickException(f"{path} has a table [topics.{topic}] already: nothing was written")
        tomllib.loads(joined)
    except ValueError as error:
        raise click.ClickException(f"{path} is no TOML: {error}: nothing was written") from None
    path.write_text(joined, "utf-8")
