"""How commands end: with an exit code, and one line of what went wrong, never with a traceback.

    what happened                        on standard error                                    exit code
    an error of ours, or a wrong option  Error: no Kafka broker at ...                        2
    the same, with --json                {"error": "no Kafka ...", "kind": "kafka-failing",   2
                                          "exit_code": 2}
    Ctrl-C                               nothing more                                         130
    SIGTERM, or the terminal is gone     nothing                                              143, 129
    nobody reads any more (`| head`)     nothing                                              141
    standard output is full or closed    Error: can't write to standard output: ...           1
    a fault of hurnet itself             Error: a fault of hurnet: KeyError ... (file, line)  1

What is shown has no secrets, and nothing in it that a terminal would obey. Other lines on standard error
(warnings, how far it is) are {"note": "..."} with --json, so that a program can read both streams.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn

import click

from hurnet_stream.errors import HurnetError
from hurnet_stream.exit_codes import (
    HUNG_UP,
    INTERRUPTED,
    NOBODY_READS,
    NOT_WELL,
    NOTHING_DONE,
    TERMINATED,
)
from hurnet_stream.terminal.first_moments import ENDING, end_at_once
from hurnet_stream.visible import visible, visible_json

_JSON = "--json"
_META = "hurnet.json"
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)
"""Errors of a disk that is full, of a file that may not grow, and of a stream that is closed."""
_CODES = {signal.SIGHUP: HUNG_UP, signal.SIGTERM: TERMINATED}


@contextmanager
def heeding_signals() -> Iterator[None]:
    """A block that signals to end leave as Ctrl-C does, so that no transaction stays open, no half of a file,
    and a terminal is as it was. Behind it they end the process without a word: all is done but Python's own
    end. Signals that are ignored, or that somebody else heeds, stay so."""
    ours = [number for number in ENDING if signal.getsignal(number) is end_at_once]
    for number in ours:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_CODES[signal.Signals(number)])


class Failed(click.ClickException):
    """A command has failed. It is told as a line for a person, or as a JSON object."""

    def __init__(
        self, error: BaseException, exit_code: int, as_json: bool, message: str | None = None
    ) -> None:
        said = error.format_message() if isinstance(error, click.ClickException) else message or str(error)
        super().__init__(_safe(said))
        self.exit_code = exit_code  # type: ignore[misc]  # each error has its own
        self._kind = _kind(error)
        self._as_json = as_json
        # Of a wrong option: its message begins with how the command is called.
        self._usage = error if isinstance(error, click.UsageError) and error.ctx else None

    def show(self, file: IO[Any] | None = None) -> None:
        if self._as_json:
            told = {"error": self.format_message(), "kind": self._kind, "exit_code": self.exit_code}
            click.echo(visible_json(told, ascii_only=True), err=True)
        elif self._usage:
            # It puts the option's name before it by itself.
            self._usage.message = _safe(self._usage.message)  # type: ignore[misc]  # final for its definers
            self._usage.show(file)
        else:
            super().show(file)


def asked_for_json(arguments: Sequence[str]) -> bool:
    """Whether --json is among the options. It may also be a text, behind --."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return _JSON in options


def remember(ctx: click.Context, as_json: bool) -> None:
    """Note for the whole command, and for `tells_json`, whether --json was given."""
    ctx.meta[_META] = as_json


def tells_json() -> bool:
    """Whether the command that runs was called with --json."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and ctx.meta.get(_META))


@contextmanager
def told(as_json: bool) -> Iterator[None]:
    """A block whose errors end the command as this module says."""
    try:
        yield
    except click.Abort:  # a question was answered by no, or not at all
        raise Failed(HurnetError("nothing was done"), NOTHING_DONE, as_json) from None
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            click.echo(err=True)  # ends the line that has the terminal's ^C
        raise SystemExit(INTERRUPTED) from None
    except (HurnetError, click.ClickException) as error:
        # click's own is 1 for errors of files, as if something had been done.
        code = error.exit_code if isinstance(error, Failed) else NOTHING_DONE
        raise Failed(error, code, as_json) from error
    except OSError as error:
        _of_output(error, as_json)


def _of_output(error: OSError, as_json: bool) -> NoReturn:
    """End for an error of standard output. Any other one is raised again."""
    if isinstance(error, BrokenPipeError):
        _discard_output()
        raise SystemExit(NOBODY_READS) from None
    if error.errno in _NOT_WRITTEN:
        _discard_output()
        full = HurnetError(f"can't write to standard output: {error.strerror}")
        raise Failed(full, NOT_WELL, as_json) from error
    raise error


def flush_output(code: int) -> int:
    """Write what is left for standard output, and return the exit code, which is another if it fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            return NOBODY_READS
        click.echo(f"Error: can't write to standard output: {error.strerror}", err=True)
        return code or NOT_WELL
    return code


def _discard_output() -> None:
    """What is still to be written goes nowhere. Otherwise Python complains at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # it has no descriptor, as in a test
        return


def fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What `sys.excepthook` does with a fault of hurnet itself: tells it in one line."""
    last = traceback.extract_tb(trace)[-1:]
    where = f" ({Path(last[0].filename).name}, line {last[0].lineno})" if last else ""
    text = (
        f"a fault of hurnet: {kind.__name__}: {error}{where}. Please report it, with what"
        " `hurnet --traceback ...` prints for the same command"
    )
    Failed(error, NOT_WELL, asked_for_json(sys.argv[1:]), text).show()


def fault_in_full(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The same with its traceback, without secrets."""
    sys.stderr.write(_safe("".join(traceback.format_exception(kind, error, trace))))


def _safe(error: object) -> str:
    from hurnet_stream.settings.redaction import redacted

    return visible(redacted(str(error)), keep="\n")


def _kind(error: BaseException) -> str:
    """The name of its class in small letters: kafka-failing, configuration-error, no-such-option."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()
