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
  hurnet schemas --openapi > openapi.json
"""


@click.command(epilog=EPILOG)
@click.option(
    "--asyncapi",
    is_flag=True,
    help="Print the AsyncAPI 3 document instead: topics as they are set here, headers, requests and replies.",
)
@click.option("--openapi", is_flag=True, help="Print the OpenAPI document of the gateway instead.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write files NAME.json into this folder instead of printing one JSON object.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it on one line.")
def schemas(asyncapi: bool, openapi: bool, out: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of each message in Kafka.

    TextEvent, Query, Answer, Feedback, DeadLetter and Asked, each field with its meaning, unit and default.
    """
    from hurnet_schemas import MESSAGES

    if asyncapi and openapi:
        raise click.UsageError("Choose between --asyncapi and --openapi.")
    if openapi:
        _give(known := _openapi(), {"openapi": known}, out, as_json)
    elif asyncapi:
        document = _asyncapi()
        _give(document, {"asyncapi": document}, out, as_json)
    else:
        all_of_them = {message.__name__: message.model_json_schema() for message in MESSAGES}
        _give(all_of_them, all_of_them, out, as_json)


def _asyncapi() -> Any:
    from importlib.metadata import version

    from hurnet_stream.operations.asyncapi import document
    from hurnet_stream.settings import settings

    return document(settings.load().kafka, version("hurnet-stream"))


def _openapi() -> Any:
    from importlib.metadata import version
    from importlib.util import find_spec

    from hurnet_stream.errors import ConfigurationError

    if find_spec("starlette") is None:
        raise ConfigurationError("the document needs more: pip install 'hurnet-stream[gateway]'")
    from hurnet_stream.gateway.openapi import document

    return document(version("hurnet-stream"))


def _give(printed: Any, files: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Print it, or write the files."""
    from hurnet_stream.terminal.screen import say, say_json

    if out is None:
        say_json(printed) if as_json else click.echo(_json(printed))
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, document in files.items():
            file = out / f"{name}.json"
            file.write_text(_json(document) + "\n", "utf-8")
            say_json({"file": str(file)}) if as_json else say(str(file))
    except OSError as error:
        raise click.UsageError(f"can't write to {out}: {error.strerror}") from None


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
