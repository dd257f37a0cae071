"""The demo from its first line to its last."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from rich.console import Console, RenderableType

from hurnet_schemas import InvalidMessage
from hurnet_stream.demo import correcting
from hurnet_stream.demo.asking import (
    ALL_CANDIDATES,
    AT_ONCE,
    RATE,
    SIGNALS,
    TIMED,
    Asked,
    accuracy,
    ask_all,
    is_right,
    latencies,
    lost_answers,
    lost_texts,
)
from hurnet_stream.demo.data import DemoData, Pair, load
from hurnet_stream.demo.stream import stream
from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.exit_codes import DONE, INTERRUPTED, NOT_WELL
from hurnet_stream.local.system import LocalSystem, interruptible
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.terminal.client import Client, NoReply
from hurnet_stream.terminal.lines import decoded
from hurnet_stream.terminal.questions import explained, query_of, typed
from hurnet_stream.terminal.screen import console, now_try, table
from hurnet_stream.visible import visible

WORKERS = ("ingest", "ingest", "solver", "responder", "feedback")
OVERRIDES = {"HURNET_SOLVE_INTERVAL": "2", "OMP_NUM_THREADS": "1"}
NONSENSE = Pair("do purple triangles taste of wednesday", "", "nonsense", "")

STREAMING = (
    "\nstreaming {:,} texts into one context: what people say to a smart home and small talk, both in"
    " English and Portuguese, and what the support of a bike rental is asked"
)
ASKING = (
    "\nasking {} questions that were not in the stream: home phrasings from templates it never saw,"
    " small talk with a typo"
)
LEGEND = (
    "rule: how hurnet answers. nearest neighbour: plain similarity search. The others are parts of the rule,"
    " each alone."
)
LATENCY = "from sending a question to having read its answer, at {:g} a second: p50 {:.0f} ms, p99 {:.0f} ms"


def run(keep: Path | None, interactive: bool) -> int:
    """Run the demo; returns the exit code: 0, 1 if something was lost, 130 after Ctrl-C."""
    screen = console()
    screen.print("hurnet demo: real texts through a real Kafka and a real Valkey, on this machine only")
    try:
        with interruptible(), _folder(keep) as folder:
            code = _Demo(screen, folder, interactive).run()
    except KeyboardInterrupt:
        screen.print("\nstopped; everything has been ended")
        return INTERRUPTED
    screen.print(advice(), soft_wrap=True)
    return code


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise ConfigurationError(
                f"the demo needs an empty folder, and {keep} holds files: name a new one"
            )
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="hurnet-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class _Demo:
    def __init__(self, screen: Console, folder: Path, interactive: bool) -> None:
        self._screen = screen
        self._folder = folder
        self._interactive = interactive
        self._began = time.monotonic()

    def run(self) -> int:
        clean = {name: value for name, value in os.environ.items() if not name.upper().startswith("HURNET_")}
        system = LocalSystem(self._folder, self._say, KafkaSettings(), clean | OVERRIDES)
        with ThreadPoolExecutor(1) as pool, system:
            data = pool.submit(load)  # meanwhile the servers start
            system.start_servers()
            system.start_workers(WORKERS)
            try:
                lost = self._show(system, data.result())
            except TransientError:
                system.check()  # if a process has died, that is the reason to tell
                raise
            self._say(f"\nending everything; that was {time.monotonic() - self._began:.0f} s")
        return NOT_WELL if lost else DONE

    def _show(self, system: LocalSystem, data: DemoData) -> bool:
        self._say(STREAMING.format(len(data.stream)))
        placed = stream(system, data.stream, self._screen)
        with Client(system.kafka) as client:
            self._say(ASKING.format(len(data.questions)))
            everything = ask_all(client, system, "all", data.questions, ALL_CANDIDATES, AT_ONCE)
            self._say(results(everything))
            self._say(LEGEND)
            timed = ask_all(client, system, "timed", data.questions[:TIMED], 1, RATE)
            median, slowest = latencies(timed)
            self._say(LATENCY.format(RATE, 1000 * median, 1000 * slowest))
            shown = ask_all(client, system, "shown", [*examples(everything), NONSENSE], 1, RATE)
            for item in shown:
                self._say(f"\n? {item.pair.text}")
                self._say(explained(item.answer, advise=False))
            counts = {"all": len(everything), "timed": len(timed), "shown": len(shown)}
            asked = [f"{name}-{i}" for name, count in counts.items() for i in range(count)]
            lost = lost_texts(system, placed) + lost_answers(system, asked)
            self._say(_verdict(lost, len(placed), len(asked)))
            correcting.show(system, client, data.stream, self._say)
            if self._interactive and not lost:
                self._converse(client)
        return bool(lost)

    def _converse(self, client: Client) -> None:
        self._say("\nyour turn: ask, in English or Portuguese (an empty line ends)")
        for line in typed():
            try:
                answer = client.ask(query_of(decoded(line), None, 1, {}, 10), 10)
                self._say(explained(answer, advise=False))
            except (click.UsageError, InvalidMessage, NoReply) as error:
                self._say(f"Error: {error}")

    def _say(self, what: RenderableType) -> None:
        if isinstance(what, str):
            what = visible(what, keep="\n")
        self._screen.print(what, soft_wrap=not self._screen.is_terminal)


def advice() -> str:
    """What to try next: three commands."""
    return now_try(
        "for a system of your own",
        "{hurnet} up --workers          # Kafka, Valkey and the workers; then it says how to teach and ask",
        "{hurnet} evaluate --help       # your own pairs and questions, without servers",
        "{hurnet} settings              # what can be set, and what one sets first",
    )


def results(asked: Sequence[Asked]) -> RenderableType:
    """Right answers by set, in percent: of the rule, and of each of its signals alone."""
    sets = sorted({item.pair.origin for item in asked})
    rows = [(name, [item for item in asked if item.pair.origin == name]) for name in sets]
    return table(
        ("right answers, %", ">asked", *(f">{name}" for name in SIGNALS), ">abstained"),
        (
            (
                name,
                len(items),
                *(f"{100 * accuracy(items, signal):.1f}" for signal in SIGNALS.values()),
                sum(item.answer.outcome != "answered" for item in items),
            )
            for name, items in [*rows, ("all", list(asked))]
        ),
    )


def examples(asked: Sequence[Asked]) -> list[Pair]:
    """One question of each kind that the rule answers right with a high score. Those that the nearest
    neighbour answers wrong come first."""

    def preference(item: Asked) -> tuple[bool, float]:
        return is_right(item, "memory"), -item.answer.candidates[0].scores.combined

    right = [item for item in asked if item.answer.outcome == "answered" and is_right(item)]
    kinds = [[a for a in right if a.pair.origin == kind] for kind in ("home en", "home pt-BR", "support")]
    return [min(kind, key=preference).pair for kind in kinds if kind]


def _verdict(lost: Sequence[str], texts: int, questions: int) -> str:
    if lost:
        return f"\nLOST: {'; '.join(lost)}"
    return (
        f"\nnothing lost: the {texts:,} texts that Kafka acknowledged are in the store, each once;"
        f" {questions:,} questions have {questions:,} answers, each once"
    )
