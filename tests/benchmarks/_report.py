"""What every benchmark ends with: tables for people, and the same figures by name for programs."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hurnet_stream.runtime.logs import configure
from hurnet_stream.settings.settings import LogSettings
from hurnet_stream.terminal.screen import console, hush, table


def say(what: str) -> None:
    """What a long benchmark is at, on standard error."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Report:
    """Figures by name, units in their names, and the tables that show them."""

    figures: dict[str, float] = field(default_factory=dict)
    _tables: list[tuple[str, Sequence[str], list[Sequence[object]]]] = field(default_factory=list)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Columns whose names begin with ">" are numbers."""
        self._tables.append((title, columns, list(rows)))

    def show(self) -> None:
        out = console()
        out.print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
        for title, columns, rows in self._tables:
            out.print(table(columns, rows, title))

    def write(self, file: Path) -> None:
        """What could not be measured (a peer that is not installed, say) is left out."""
        known = {name: value for name, value in self.figures.items() if math.isfinite(value)}
        rounded = {name: float(f"{value:.4g}") for name, value in known.items()}
        file.write_text(json.dumps(rounded, indent=2) + "\n", "utf-8")


def main(
    measure: Callable[[int], Report],
    rounds: int,
    parser: argparse.ArgumentParser | None = None,
    into: argparse.Namespace | None = None,
) -> None:
    """`python -m tests.benchmarks.NAME [--json FILE] [--rounds N]`; `measure` is given the rounds. One with
    options of its own brings their parser, and in a namespace their defaults; that is where they are put."""
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, metavar="FILE", help="write {figure: number} to it")
    parser.add_argument("--rounds", type=int, default=rounds, help="of everything (default: %(default)s)")
    arguments = parser.parse_args(namespace=into)
    hush()
    configure(LogSettings(level="warning"), "benchmark")
    report = measure(max(1, arguments.rounds))
    report.show()
    if arguments.json:
        report.write(arguments.json)


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least a share `q` of them does not exceed: a value that was measured."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 1 else f"{seconds * 1000:,.0f}"
