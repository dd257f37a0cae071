"""A prompt with line editing and a history that stays, by the standard library's readline.

A text that is pasted with line ends in it comes as one question, since readline takes a paste as a whole. The
history is a file of one line for each question (white space in a question, line ends too, becomes one space),
the newest last; only its owner may read it, and it is cut to the newest when it has twice as many as it may.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final

import click

_PASTES_IN_BRACKETS: Final = "\x1b[?2004h"
_OWNER_ONLY: Final = 0o600
_BYTES_MOST: Final = 4 << 20
"""Of a history file that are read."""


@dataclass(frozen=True, slots=True)
class History:
    """The newest questions in a file. With `most` 0, or without a file, nothing is read or written."""

    file: Path | None
    most: int

    def load(self) -> list[str]:
        """The newest questions, the newest last. A file that can't be read is as good as none."""
        lines: list[str] = []
        with contextlib.suppress(OSError), self._opened(os.O_RDONLY) as file:
            size = os.fstat(file.fileno()).st_size
            begin = file.seek(max(0, size - _BYTES_MOST))
            lines = file.read(_BYTES_MOST).decode("utf-8", "replace").split("\n")[bool(begin) : -1]
            if begin or len(lines) > 2 * self.most:
                self._write(lines[-self.most :], anew=True)
        return lines[-self.most :]

    def add(self, question: str) -> None:
        """Remember a question. A history that can't be written must not keep anybody from asking."""
        if line := " ".join(question.split()):
            with contextlib.suppress(OSError):
                self._write([line])

    def _write(self, lines: Sequence[str], anew: bool = False) -> None:
        with self._opened(os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
            os.fchmod(file.fileno(), _OWNER_ONLY)
            if anew:
                file.truncate(0)
            file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))

    def _opened(self, how: int) -> BinaryIO:
        """The file, if it is one and ours. Raises `OSError`, and waits for nobody at the other end of a
        pipe."""
        if not self.most or self.file is None:
            raise FileNotFoundError
        if how & os.O_CREAT:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = os.open(self.file, how | os.O_NOFOLLOW | os.O_NONBLOCK, _OWNER_ONLY)
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            os.close(number)
            raise PermissionError
        return os.fdopen(number, "rb" if how == os.O_RDONLY else "ab")


def history_file() -> Path | None:
    """Where the questions are remembered, as the XDG Base Directory Specification has it; None if nobody has
    a home here."""
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    with contextlib.suppress(RuntimeError):
        folder = named if named.is_absolute() else Path.home() / ".local" / "state"
        return folder / "hurnet" / "history" if folder.is_absolute() else None
    return None


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
            typed = self._edited(label) if self._edits else self._plain(label)
        except EOFError:
            click.echo(err=True)
            return None
        text = typed.strip()
        if self._edits and text:
            _remember(" ".join(text.split()))
            self._history.add(text)
        return text

    def _edited(self, label: str) -> str:
        with _kept_while_stopped(label):
            return input(label)

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
            _remember(line)
        readline.set_completer_delims("")
        readline.set_completer(self._completed)
        readline.parse_and_bind("tab: complete")
        readline.parse_and_bind(f"set enable-bracketed-paste {'on' if _takes_escapes() else 'off'}")
        return True

    def _completed(self, begun: str, number: int) -> str | None:
        fitting = [f"{word} " for word in self._words if begun and word.startswith(begun)]
        return fitting[number] if number < len(fitting) else None


def _takes_escapes() -> bool:
    return os.environ.get("TERM", "dumb") != "dumb"


@contextlib.contextmanager
def _kept_while_stopped(label: str) -> Iterator[None]:
    """After Ctrl-Z the shell has its terminal as it was, and after `fg` the line can be edited on."""
    import readline
    import termios

    usual = termios.tcgetattr(0)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        editing = termios.tcgetattr(0)
        termios.tcsetattr(0, termios.TCSADRAIN, usual)
        os.kill(os.getpid(), signal.SIGSTOP)
        termios.tcsetattr(0, termios.TCSADRAIN, editing)
        pastes = _PASTES_IN_BRACKETS if _takes_escapes() else ""
        sys.stdout.write(f"{pastes}{label}{readline.get_line_buffer()}")
        sys.stdout.flush()

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _remember(line: str) -> None:
    import readline

    with contextlib.suppress(ValueError):  # it has a NUL, or a letter that this locale has not
        readline.add_history(line)
