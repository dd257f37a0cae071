"""The demo's first half: texts into Kafka, watched until all of them can be answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.live import Live

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.kafka import KafkaSink
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.demo.data import Pair
from hurnet_stream.demo.figures import Figures, read
from hurnet_stream.errors import HurnetError
from hurnet_stream.local.system import LocalSystem
from hurnet_stream.ports import Outgoing
from hurnet_stream.terminal.screen import facts

WINDOW = 512
"""Most texts that are on the way. So the stream is as fast as the workers, and no queue builds up before
them."""
CHUNK = 64
"""Texts that are sent together."""
PATIENCE_S = 120.0
LIVE_S, LINE_S = 0.25, 2.0
"""Seconds between two looks at the figures: on a terminal, and otherwise."""

EntryId = tuple[int, int]


class Stuck(HurnetError):
    """The workers run, but do not get done."""


@dataclass(slots=True)
class Progress:
    """How many of `total` texts are sent, since when (monotonic seconds), and what the workers say."""

    total: int
    began: float
    sent: int = 0
    ended: float | None = None
    figures: Figures = field(default_factory=Figures)

    @property
    def rate(self) -> float:
        return self.figures.rows / max(1e-9, (self.ended or time.monotonic()) - self.began)


class Display(Protocol):
    """Shows how far the stream is."""

    def show(self, progress: Progress) -> None: ...


def stream(system: LocalSystem, pairs: Sequence[Pair], console: Console) -> dict[EntryId, Pair]:
    """Send all texts; returns once all of them can be answers and the weights have learned from them.

    Returns where Kafka has put each text. Raises `ProcessDied`, and `Stuck` if it takes too long.
    """
    progress = Progress(len(pairs), time.monotonic())
    placed: dict[EntryId, Pair] = {}
    store = RedisEntryStore(connect(system.redis))
    with contextlib.ExitStack() as stack:
        sink = KafkaSink(system.kafka)
        stack.callback(sink.close)
        stack.callback(store.close)
        display = stack.enter_context(displayed(console))
        for _ in _turns(system, progress, display):
            rows = sum(state.rows for state in store.states().values())
            if progress.sent < len(pairs) and progress.sent - rows <= WINDOW - CHUNK:
                chunk = pairs[progress.sent : progress.sent + CHUNK]
                placed |= zip(_send(sink, system.kafka.texts, chunk), chunk, strict=True)
                progress.sent += len(chunk)
                continue
            if progress.figures.rows == len(pairs):
                progress.ended = progress.ended or time.monotonic()
                if progress.figures.certificate.get("count") == len(pairs):
                    break
            time.sleep(0.005)
    return placed


def _turns(system: LocalSystem, progress: Progress, display: Display) -> Iterator[None]:
    """Turns without an end; looks at the workers now and then in between."""
    looked = 0.0
    while True:
        yield
        now = time.monotonic()
        if now - looked < LIVE_S:
            continue
        looked = now
        system.check()
        with contextlib.suppress(OSError):  # a worker that is too busy to answer is asked again later
            progress.figures = read(system.workers)
        display.show(progress)
        if now - progress.began > PATIENCE_S:
            raise Stuck(f"not done after {PATIENCE_S:g} s (`hurnet demo --keep DIR` keeps the workers' logs)")


def _send(sink: KafkaSink, topic: str, chunk: Sequence[Pair]) -> Sequence[EntryId]:
    events = (TextEvent(text=p.text, answer=p.answer, metadata={"set": p.origin}) for p in chunk)
    return sink.send([Outgoing(topic, event.encode()) for event in events])


@contextlib.contextmanager
def displayed(console: Console) -> Iterator[Display]:
    """A table that changes if this is a terminal, otherwise a line every two seconds."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8) as live:
            yield _Table(live)
    else:
        yield _Lines(console)


class _Table:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, progress: Progress) -> None:
        self._live.update(facts(_facts(progress)))


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = time.monotonic()

    def show(self, progress: Progress) -> None:
        if time.monotonic() - self._shown >= LINE_S:
            self._shown = time.monotonic()
            self._console.print(
                "  " + ", ".join(f"{name} {value}" for name, value in _facts(progress)), soft_wrap=True
            )


def _facts(progress: Progress) -> list[tuple[str, str]]:
    figures = progress.figures
    fresh = "-" if figures.freshness is None else f"{1000 * figures.freshness:,.0f} ms"
    return [
        ("texts in Kafka", f"{progress.sent:,} of {progress.total:,}"),
        ("answerable", f"{figures.rows:,} ({progress.rate:,.0f} a second)"),
        ("on the way", f"{progress.sent - figures.rows:,}, of them not yet read {figures.lag:,}"),
        ("freshness p50", fresh),
        ("weights", certificate(figures)),
    ]


def certificate(figures: Figures) -> str:
    """The weights in force in one line."""
    if not figures.version:
        return "none yet"
    figure = figures.certificate
    return (
        f"version {figures.version} of {figure['count']:,.0f} pairs: condition {figure['condition']:.3g},"
        f" effective rank {figure['effective_rank']:.0f}, residual {figure['residual']:.3g}"
    )
