"""The standard streams of a command, whatever it was started with."""

from __future__ import annotations

import io
import os
import sys
from typing import Final

_MISSING: Final = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))
"""How what is closed is opened instead. What is written to standard output fails then, since otherwise a
command would say that it has written what nobody has; an error that nobody can read is no second error."""


def prepare() -> None:
    """Open the streams that are closed (`hurnet ask <&-`), so that no file takes their place, and let none
    end a command by a letter that its terminal can't show."""
    for number, (name, flags, mode) in enumerate(_MISSING):
        if getattr(sys, name) is None:
            _hold(number, flags)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _hold(number: int, flags: int) -> None:
    nothing = os.open(os.devnull, flags)
    if nothing != number:
        os.dup2(nothing, number)
        os.close(nothing)
