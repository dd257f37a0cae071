"""Prints the story: at most 80 columns, the same on a terminal and in a pipe."""

from __future__ import annotations

import textwrap

from rich.console import Console, RenderableType
from rich.text import Text

from hurnet_stream.visible import visible

COLUMNS = 80
INDENT = "   "
LABEL = 9
"""Columns of a label and of the blanks behind it."""


class Teller:
    """Prints, and remembers which claims of the story did not hold."""

    def __init__(self, console: Console) -> None:
        console.width = min(COLUMNS, console.width)
        self._console = console
        self._width = console.width - 1  # some terminals wrap a line that fills the last column
        self._scenes = 0
        self.failures: list[str] = []

    def scene(self, title: str) -> None:
        """Begin the next scene."""
        self._scenes += 1
        self._print(Text(f"\n{self._scenes}  {title}", style="bold"))

    def say(self, text: str, indent: str = INDENT) -> None:
        """A paragraph."""
        self._print(Text(self._filled(text, indent, indent)))

    def quote(self, label: str, text: str, style: str = "") -> None:
        """A text beside its label, such as `asked`."""
        first = f"{INDENT}{label:{LABEL}}"
        shown = Text(self._filled(text, first, " " * len(first)))
        shown.stylize(style, len(first))
        self._print(shown)

    def figure(self, name: str, value: int, remark: str = "") -> None:
        """A number with its name, and perhaps with more about it."""
        self.line(f"{name:20}{value:>8,}   {remark}".rstrip())

    def line(self, text: str = "") -> None:
        """A line as it is."""
        self._print(Text(f"{INDENT}{visible(text)}".rstrip()))

    def show(self, what: RenderableType) -> None:
        """A table, for example."""
        self._console.print(what)

    def expect(self, holds: bool, otherwise: str) -> bool:
        """A claim of the story. If it does not hold, `otherwise` says what is the case instead."""
        if not holds:
            self.failures.append(otherwise)
            self.quote("NOT SO", otherwise, "bold red")
        return holds

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _filled(self, text: str, first: str, then: str) -> str:
        lines = visible(text, keep="\n").split("\n")  # the end of a log has several
        indents = [first, *[then] * len(lines)]
        return "\n".join(
            textwrap.fill(line, self._width, initial_indent=indent, subsequent_indent=then)
            for line, indent in zip(lines, indents, strict=False)
        )
