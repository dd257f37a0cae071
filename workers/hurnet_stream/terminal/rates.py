"""How far a long work has come: a bar on a terminal, or a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

EVERY_S: Final = 10.0
"""Between two lines, where there is no terminal."""

Tell = Callable[[int, int], None]
"""Told the steps that are done, and the things that were made so far."""


@contextmanager
def rated(label: str, total: int | None, things: str) -> Iterator[Tell]:
    """Shows steps of `total` (None: not known), things a second, and the time that is left."""
    if not sys.stderr.isatty():
        yield _Lines(label, total, things)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from hurnet_stream.terminal.screen import console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[made]}"),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, made="")

        def tell(done: int, made: int) -> None:
            rate = made / max(0.001, time.monotonic() - began)
            bar.update(task, completed=done, made=f"{made:,} {things}, {rate:,.0f}/s")

        yield tell


class _Lines:
    def __init__(self, label: str, total: int | None, things: str) -> None:
        self._label, self._total, self._things = label, total, things
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, made: int) -> None:
        now = time.monotonic()
        if now - self._told < EVERY_S:
            return
        self._told = now
        from hurnet_stream.terminal.screen import say

        seconds = now - self._began
        line = f"{self._label}: {made:,} {self._things}, {made / seconds:,.0f}/s"
        if self._total and done:
            left = seconds * max(0, self._total - done) / done
            line += f", {min(1.0, done / self._total):.0%}, {left:,.0f} s left"
        say(line, err=True)
