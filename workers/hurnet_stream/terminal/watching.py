"""`hurnet status --watch`: looks again and again, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from types import FrameType
from typing import TYPE_CHECKING

from hurnet_stream.overview.system_reader import SystemReader
from hurnet_stream.overview.system_status import Status
from hurnet_stream.settings.redaction import redacted
from hurnet_stream.settings.settings import Settings
from hurnet_stream.terminal.complaints import Complaint, complaints
from hurnet_stream.terminal.screen import console, moment, say_json
from hurnet_stream.terminal.trends import Trends
from hurnet_stream.terminal.watch_screen import picture, rates

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

Show = Callable[[Status, Trends, Sequence[Complaint]], None]


def lines(settings: Settings, pages: Sequence[str], interval_s: float) -> None:
    """One JSON object a line for each look: that of `hurnet status --json`, with the time, what flows a
    second, and what is wrong."""

    def show(status: Status, trends: Trends, wrong: Sequence[Complaint]) -> None:
        told = {
            "time": moment(round(time.time() * 1000)),
            "wrong": [complaint.text for complaint in wrong if complaint.bad],
            "rates": rates(trends),
        }
        say_json(told | status.as_dict())
        sys.stdout.flush()

    _watch(settings, pages, interval_s, show)


def screen(settings: Settings, pages: Sequence[str], interval_s: float) -> None:
    """A picture that is drawn anew at each look; one below the other if it is no terminal."""
    out = console()
    head = f"hurnet status, every {interval_s:g} s, until Ctrl-C. Kafka {settings.kafka.bootstrap}"
    with _canvas(out) as draw:
        _watch(
            settings,
            pages,
            interval_s,
            lambda status, trends, wrong: draw(list(picture(out, status, trends, wrong, _clock() + head))),
        )


def _watch(settings: Settings, pages: Sequence[str], interval_s: float, show: Show) -> None:
    trends = Trends()
    with _until_told(), closing(SystemReader(settings, pages)) as reader:
        while True:
            began = time.monotonic()
            status = reader.look()
            trends.add(status)
            show(status, trends, [_safe(each) for each in complaints(status, trends)])
            time.sleep(max(0.0, interval_s - (time.monotonic() - began)))


def _safe(complaint: Complaint) -> Complaint:
    # A reason may quote an error of a client library, and with it an address and its password.
    return Complaint(complaint.bad, redacted(complaint.text))


@contextlib.contextmanager
def _until_told() -> Iterator[None]:
    """Ends by Ctrl-C or by SIGTERM."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _canvas(out: Console) -> Iterator[Callable[[list[RenderableType]], None]]:
    from rich.console import Group
    from rich.live import Live

    if not out.is_terminal:
        yield lambda parts: out.print(Group(*parts))
        return
    last: list[RenderableType] = []

    def draw(parts: list[RenderableType]) -> None:
        last[:] = parts
        live.update(Group(*parts), refresh=True)

    with (
        Live(console=out, screen=True, auto_refresh=False, vertical_overflow="ellipsis") as live,
        _given_back_while_stopped(live),
    ):
        yield draw
    out.print(Group(*last))  # the last picture stays when the screen is given back


@contextlib.contextmanager
def _given_back_while_stopped(live: Live) -> Iterator[None]:
    """The shell has its screen and cursor after Ctrl-Z, and the picture comes back with `fg`."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        live.stop()
        os.kill(os.getpid(), signal.SIGSTOP)
        live.start(refresh=True)

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _clock() -> str:
    return time.strftime("%H:%M:%S ")
