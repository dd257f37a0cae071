"""`hurnet schemas`: the JSON Schema of each message, and the AsyncAPI document of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

EPILOG = """\b
Examples:
  hurnet schemas | jq .Query
  hurnet schemas --out schemas/
  hurnet schemas --asyncapi > asyncapi.json
"""


@click.command(epilog=EPILOG)
@click.option(
    "--asyncapi",
    is_flag=True,
    help="Print the AsyncAPI 3 document instead: topics as they are set here, headers, requests and replies.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write files NAME.json into this folder instead of printing one JSON object.",
)
def schemas(asyncapi: bool, out: Path | None) -> None:
    """Print the JSON Schema of each message in Kafka.

    TextEvent, Query, Answer, Feedback and DeadLetter, each field with its meaning, unit and default.
    """
    from hurnet_schemas import MESSAGES

    if asyncapi:
        _give({"asyncapi": _asyncapi()}, out, one=True)
    else:
        _give({message.__name__: message.model_json_schema() for message in MESSAGES}, out)


def _asyncapi() -> Any:
    from importlib.metadata import version

    from hurnet_stream.operations.asyncapi import document
    from hurnet_stream.settings import settings

    return document(settings.load().kafka, version("hurnet-stream"))


def _give(documents: dict[str, Any], out: Path | None, *, one: bool = False) -> None:
    """Print them as one object, or `one` alone; or write a file of each."""
    from hurnet_stream.terminal.screen import say

    if out is None:
        click.echo(_json(next(iter(documents.values())) if one else documents))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            file = out / f"{name}.json"
            file.write_text(_json(document) + "\n", "utf-8")
            say(str(file))
    except OSError as error:
        raise click.UsageError(f"can't write to {out}: {error.strerror}") from None


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
