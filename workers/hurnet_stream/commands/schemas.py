"""`hurnet schemas`: the JSON Schema of each message."""

from __future__ import annotations

import json
from pathlib import Path

import click

EPILOG = """\b
Examples:
  hurnet schemas | jq .Query
  hurnet schemas --out schemas/
"""


@click.command(epilog=EPILOG)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write one file NAME.json for each message into this folder, instead of printing one JSON object.",
)
def schemas(out: Path | None) -> None:
    """Print the JSON Schema of each message in Kafka.

    TextEvent, Query, Answer, Feedback and DeadLetter, each field with its meaning, unit and default.
    """
    from hurnet_schemas import MESSAGES
    from hurnet_stream.terminal.screen import say

    known = {message.__name__: message.model_json_schema() for message in MESSAGES}
    if out is None:
        click.echo(json.dumps(known, indent=2, ensure_ascii=False))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, schema in known.items():
            file = out / f"{name}.json"
            file.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", "utf-8")
            say(str(file))
    except OSError as error:
        raise click.UsageError(f"can't write to {out}: {error.strerror}") from None
