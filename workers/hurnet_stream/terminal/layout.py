"""Tables, and names beside what they stand for, in any width.

A table of Rich takes 4 ms for ten facts, and `hurnet ask < file` prints them for every question. In a narrow
terminal it leaves columns out without a word. So facts are laid out here, and rows for which a table has no
room become facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

_GAP: Final = 2
_INDENT: Final = 4
_NARROWEST: Final = 24
"""Of values that stand beside their names. If there is less room, they stand below."""
_WORD: Final = 20
"""Longer words may be broken in a column of a table."""
_BETWEEN: Final = 3
_DIM: Final = Style(dim=True)


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, neither with line ends in it. Long values are wrapped within their column."""

    rows: Sequence[tuple[str, str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        left = max((cell_len(name) for name, _ in self.rows), default=0) + _GAP
        beside = options.max_width - left >= _NARROWEST
        room = max(1, options.max_width - (left if beside else _INDENT))
        for name, value in self.rows:
            lines = [value] if cell_len(value) <= room else _wrapped(console, value, room)
            begin, following = set_cell_size(name, left), " " * left
            if not beside:
                yield from (Segment(name, _DIM), Segment.line())
                begin = following = " " * _INDENT
            for number, line in enumerate(lines):
                yield Segment(following if number else begin, _DIM)
                yield from (Segment(line), Segment.line())


@dataclass(frozen=True, slots=True)
class Rows:
    """A table; each row as facts if there is no room for it. A column whose name begins with ">" is aligned
    to the right, as numbers are."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]
    title: str | None

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        if self._needs() <= options.max_width:
            yield self._table()
            return
        yield Text(self.title or "", style="italic")
        names = [name.removeprefix(">") for name in self.columns]
        for row in self.rows:
            cells = (cell.plain for cell in row)
            yield Facts([(name, cell) for name, cell in zip(names, cells, strict=False) if cell])
            yield Text()

    def _needs(self) -> int:
        columns = [
            [name, *(row[i].plain for row in self.rows if i < len(row))]
            for i, name in enumerate(self.columns)
        ]
        return sum(_BETWEEN + _longest_word(cells) for cells in columns) - _BETWEEN

    def _table(self) -> Table:
        made = Table(box=box.SIMPLE_HEAD, title=self.title, title_justify="left", pad_edge=False)
        for name in self.columns:
            justify = "right" if name.startswith(">") else "left"
            made.add_column(name.removeprefix(">"), justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            made.add_row(*row)
        return made


def _longest_word(cells: Sequence[str]) -> int:
    return min(_WORD, max((cell_len(word) for cell in cells for word in cell.split()), default=0))


def _wrapped(console: Console, text: str, width: int) -> list[str]:
    return [line.plain.rstrip() for line in Text(text).wrap(console, width, overflow="fold")]
