"""Rows of files that are no texts: told to a person, the first ones one by one, and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TextIO

import click

from hurnet_stream.terminal.screen import say

if TYPE_CHECKING:
    from hurnet_stream.operations.files.rows import Reject

SHOWN: Final = 20


@dataclass(slots=True)
class Rejects:
    """Takes what was rejected."""

    file: TextIO | None = None
    count: int = 0

    @classmethod
    @contextmanager
    def into(cls, path: Path | None) -> Iterator[Self]:
        """All of them go to the file at `path`, if one is given."""
        if path is None:
            yield cls()
            return
        try:
            with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
                yield cls(file)
        except OSError as error:
            raise click.FileError(str(path), str(error.strerror)) from error

    def __call__(self, name: str, reject: Reject) -> None:
        self.count += 1
        if self.count <= SHOWN:
            where = f"line {reject.line:,}" if name == "-" else f"{name}:{reject.line}"
            say(f"{where}: {reject.reason}: {reject.message}", err=True)
        if self.count == SHOWN:
            say("further invalid rows are only counted", err=True)
        if self.file:
            raw = {"file": name, "line": reject.line, "reason": reject.reason, "message": reject.message}
            self.file.write(json.dumps(raw | {"row": reject.raw}, ensure_ascii=False, default=str) + "\n")
