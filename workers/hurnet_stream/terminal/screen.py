"""How commands print: results go to standard output, all else to standard error."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hurnet_stream.terminal.endings import tells_json
from hurnet_stream.visible import escaped_json, visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 160
"""Columns to write if neither a terminal nor COLUMNS says how many there are."""

Advance = Callable[[int], None]
"""Moves a progress bar on by that number of steps."""


def console(*, stderr: bool = False) -> Console:
    """A console that prints texts as they are: nothing in them is markup, and numbers have no colours."""
    from rich.console import Console

    class Printing(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # which ends the command as `endings` says

    plain: dict[str, Any] = {"color_system": None} if os.environ.get("NO_COLOR") else {}
    sized = re.fullmatch("[1-9][0-9]{0,4}", os.environ.get("COLUMNS", ""))
    if not sized:  # Rich would take 0 for a width, and fail at others
        plain["_environ"] = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    made = Printing(stderr=stderr, markup=False, highlight=False, emoji=False, **plain)
    if not made.is_terminal and not sized:
        made.width = PIPED_WIDTH
    return made


def say(text: str, *, err: bool = False) -> None:
    """Print a line for a person. Characters that a terminal would obey are shown as escapes.

    It is a JSON object if the command was called with --json."""
    if tells_json():
        click.echo(visible_json({"note": text}, ascii_only=True), err=err)
    else:
        click.echo(visible(text, keep="\n"), err=err)


def say_json(value: object, *, err: bool = False) -> None:
    """Print a value as JSON on one line, safe for a terminal, too."""
    click.echo(visible_json(value, ascii_only=not _carries_everything()), err=err)


def say_message(encoded: bytes) -> None:
    """Print a message as it is in Kafka."""
    import json

    if _carries_everything():
        click.echo(escaped_json(encoded.decode()))
    else:
        say_json(json.loads(encoded))


def _carries_everything() -> bool:
    """Whether standard output can encode any text. With LC_ALL=C it may not."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], title: str | None = None
) -> RenderableType:
    """A table. A column whose name begins with ">" is aligned to the right, as numbers are."""
    from rich.text import Text

    from hurnet_stream.terminal.layout import Rows

    cells = [[cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in row] for row in rows]
    return Rows(list(columns), cells, title and _cell(title))


def facts(rows: Iterable[tuple[str, object]]) -> RenderableType:
    """Two columns: names, and what they stand for."""
    from hurnet_stream.terminal.layout import Facts

    return Facts([(visible(name), _cell(value)) for name, value in rows])


def _cell(value: object) -> str:
    return isolated(visible(str(value)))


def isolated(text: str) -> str:
    """The text, set apart from its line if it has letters that are written from right to left.

    A terminal that can show them would otherwise move what stands beside them, numbers and columns too. The
    two characters around it (U+2068, U+2069) take no room, and are left out if nobody reads a terminal."""
    if not sys.stdout.isatty() or not any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return text
    return f"\u2068{text}\u2069"


def confirm(question: str, option: str) -> None:
    """Ask a person for a yes. Raises `Abort` if it is none, and `UsageError` with --json: a program says so
    by `option`."""
    if tells_json():
        raise click.UsageError(f"{question} A program is not asked: add {option}.")
    click.confirm(question, abort=True, err=True)


def now_try(where: str, *commands: str) -> str:
    """A few commands to try next. "{hurnet}" in them becomes the name that starts this program here."""
    lines = [command.replace("{hurnet}", program()) for command in commands]
    return "\n".join([f"\nnow try this, {where}:", *(f"  {line}" for line in lines)])


def program() -> str:
    """What a person types to start this program: its path, if the shell would not find it by its name."""
    if shutil.which("hurnet"):
        return "hurnet"
    started = Path(sys.argv[0])
    return str(started) if started.name == "hurnet" else f"{sys.executable} -m hurnet_stream"


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """A progress bar, if standard error is a terminal. `total` is in steps; None means that the end is
    unknown."""
    if not sys.stderr.isatty():
        yield lambda _steps: None
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda steps: bar.advance(task, steps)


def moment(ms: int) -> str:
    """A timestamp (milliseconds since 1970) in ISO 8601. One that no calendar has stays a number."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def hush() -> None:
    """Let a command log nothing but our own warnings, on standard error."""
    import logging

    from hurnet_stream.runtime.logs import configure
    from hurnet_stream.settings.settings import LogSettings

    configure(LogSettings(level="warning", format="json" if tells_json() else "console"))
    # What the client library has to say reaches a person once, as an error of ours.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
