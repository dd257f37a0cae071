"""What commands print with: results on standard output, all else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from hurnet.visible import escaped_json, visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 160
"""Columns where no terminal says how many it has."""


def console(*, stderr: bool = False) -> Console:
    """A console that takes texts as they are: no markup, no guessed colours."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def say(text: str, *, err: bool = False) -> None:
    """A line for a person. What of it a terminal would obey is shown as escapes."""
    click.echo(visible(text, keep="\n"), err=err)


def say_json(value: object) -> None:
    """A JSON document on a line, for machines and terminals alike."""
    click.echo(visible_json(value, ascii_only=not _carries_everything()))


def say_message(encoded: bytes) -> None:
    """A message of ours as it is on the wire."""
    import json

    if _carries_everything():
        click.echo(escaped_json(encoded.decode()))
    else:
        say_json(json.loads(encoded))


def _carries_everything() -> bool:
    """Whether standard output can encode any text; in the locale C it may not."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], title: str | None = None
) -> RenderableType:
    """A table; columns whose names begin with ">" are numbers, to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in columns:
        made.add_column(
            name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold"
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(visible(str(cell))) for cell in row))
    return made


def facts(rows: Iterable[tuple[str, object]]) -> RenderableType:
    """Names and what they stand for, one a line, wrapped under themselves."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(visible(name), Text(visible(str(value))))
    return made


def watermarks_text(watermarks: dict[int, int]) -> str:
    """partition=offset,... as `hurnet ask --after` takes it."""
    return ",".join(f"{partition}={offset}" for partition, offset in sorted(watermarks.items()))


def moment(ms: int) -> str:
    """A record's timestamp in ISO 8601; one that no calendar has as the number it is."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def hush() -> None:
    """Set up what is logged while a command runs: our own warnings, on standard error. What client libraries
    have to say reaches a person as our own errors, once."""
    import logging

    from hurnet.runtime.logs import configure
    from hurnet.settings.settings import LogSettings

    configure(LogSettings(level="warning"))
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
