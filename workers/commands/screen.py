"""What commands print with: results on standard output, all else on standard error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

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
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def facts(rows: Iterable[tuple[str, object]]) -> RenderableType:
    """Names and what they stand for, one a line, wrapped under themselves."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, Text(str(value)))
    return made


def watermarks_text(watermarks: dict[int, int]) -> str:
    """partition=offset,... as `hurnet ask --after` takes it."""
    return ",".join(f"{partition}={offset}" for partition, offset in sorted(watermarks.items()))


def hush() -> None:
    """What client libraries have to say reaches a person as our own errors, once."""
    import logging

    logging.getLogger("kafka").setLevel(logging.CRITICAL)
