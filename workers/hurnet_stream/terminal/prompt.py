"""A prompt with line editing and a history that stays, by the standard library's readline.

A text that is pasted with line ends in it comes as one question, since readline takes a paste as a whole. The
history is a file of one line for each question (white space in a question, line ends too, becomes one space),
the newest last; only its owner may read it, and it is cut to the newest when it has twice as many as it may.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class History:
    """The newest questions in a file. With `most` 0 nothing is read or written."""

    file: Path
    most: int

    def load(self) -> list[str]:
        """The newest questions, the newest last. A file that can't be read is as good as none."""
        if not self.most:
            return []
        try:
            lines = self.file.read_text("utf-8", errors="replace").split("\n")[:-1]
        except OSError:
            return []
        if len(lines) > 2 * self.most:
            self._write(lines[-self.most :], os.O_TRUNC)
        return lines[-self.most :]

    def add(self, question: str) -> None:
        """Remember a question."""
        if self.most and (line := " ".join(question.split())):
            self._write([line], os.O_APPEND)

    def _write(self, lines: Sequence[str], how: int) -> None:
        # A history that can't be written must not keep anybody from asking.
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how
            with os.fdopen(os.open(self.file, flags, _OWNER_ONLY), "wb") as out:
                os.fchmod(out.fileno(), _OWNER_ONLY)
                out.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))


def history_file() -> Path:
    """Where the questions are remembered, as the XDG Base Directory Specification has it."""
    named = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return folder / "hurnet" / "history"


class Prompt:
    """Reads what a person types. `words` are completed with TAB at the beginning of a line."""

    def __init__(self, history: History, words: Sequence[str] = ()) -> None:
        self._history = history
        self._words = words
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # so that a question is refused, and not the line
        self._edits = sys.stdout.isatty() and self._use_readline()

    def read(self, label: str) -> str | None:
        """The next text, without white space around it; None at the end (Ctrl-D)."""
        try:
            typed = input(label) if self._edits else self._plain(label)
        except EOFError:
            click.echo(err=True)
            return None
        text = typed.strip()
        if self._edits and text:
            self._remember(text)
        return text

    def _plain(self, label: str) -> str:
        """If answers go to a file, the label must not."""
        click.echo(label, nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    def _use_readline(self) -> bool:
        try:
            import readline
        except ImportError:  # it is optional in Python
            return False
        readline.set_auto_history(False)
        for line in self._history.load():
            readline.add_history(line)
        readline.set_completer_delims("")
        readline.set_completer(self._completed)
        readline.parse_and_bind("tab: complete")
        readline.parse_and_bind("set enable-bracketed-paste on")
        return True

    def _remember(self, text: str) -> None:
        import readline

        readline.add_history(" ".join(text.split()))
        self._history.add(text)

    def _completed(self, begun: str, number: int) -> str | None:
        fitting = [f"{word} " for word in self._words if begun and word.startswith(begun)]
        return fitting[number] if number < len(fitting) else None
