"""Asks lines of a file, many at once; answers come in the order of the lines.

Lines are read in a thread of their own, so that the answer to a line is there also if the next line takes
long to come: a program may write a question, read its answer, and then write the next one.
"""

from __future__ import annotations

import contextlib
import io
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

import click

from hurnet_schemas import InvalidMessage, Query, Reply
from hurnet_stream.client import Client
from hurnet_stream.client.many import result
from hurnet_stream.errors import HurnetError
from hurnet_stream.terminal.lines import Line, decoded

Wrong = click.UsageError | InvalidMessage | HurnetError

LINES_AT_ONCE: Final = 128
"""The last of them waits for all others, and its time-out must not pass meanwhile."""
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """A line, and its reply or why there is none."""

    line: Line
    outcome: Reply | Wrong


def ask_lines(
    client: Client,
    lines: Iterable[Line],
    make: Callable[[str], Query],
    timeout_s: float,
    at_once: int = LINES_AT_ONCE,
) -> Generator[Asked, None, None]:
    """Ask each line, `at_once` at a time. `make` raises `UsageError` if a line is no question."""
    begun = queue.Queue[tuple[Line, Future[Reply] | Wrong] | BaseException | None]()
    room, stopped = threading.Semaphore(at_once), threading.Event()

    def begin() -> None:
        try:
            for line in lines:
                while not room.acquire(timeout=_LOOK_S):
                    if stopped.is_set():
                        return
                begun.put((line, _asked(client, line, make, timeout_s)))
        except BaseException as error:  # whatever it is: who reads the answers is told
            begun.put(error)
        begun.put(None)

    threading.Thread(target=begin, name="questions", daemon=True).start()
    try:
        while (next_one := begun.get()) is not None:
            if isinstance(next_one, BaseException):
                raise next_one
            yield _ended(*next_one)
            room.release()
    finally:
        stopped.set()


def _asked(
    client: Client, line: Line, make: Callable[[str], Query], timeout_s: float
) -> Future[Reply] | Wrong:
    try:
        return client.submit(make(decoded(line)), timeout=timeout_s)
    except (click.UsageError, InvalidMessage, HurnetError) as error:
        return error


def _ended(line: Line, begun: Future[Reply] | Wrong) -> Asked:
    if not isinstance(begun, Future):
        return Asked(line, begun)
    try:
        return Asked(line, result(begun))
    except HurnetError as error:
        return Asked(line, error)


def standard_input() -> BinaryIO:
    """Standard input as bytes, so that a line that is not UTF-8 is reported, whatever the locale would make
    of it. It is not buffered: a thread may still read it when the program ends."""
    with contextlib.suppress(io.UnsupportedOperation, AttributeError):
        return cast(BinaryIO, open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
    return sys.stdin.buffer
