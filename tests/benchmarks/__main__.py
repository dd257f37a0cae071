"""Runs the benchmarks one after the other, each in a process of its own, and gathers their figures."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("[a-z]*.py"))


def main() -> None:
    """`python -m tests.benchmarks [--only NAME] [--json FILE] -- ARGS`: ARGS are the benchmark's own."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=main.__doc__)
    parser.add_argument("--only", choices=NAMES, help="run this one alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("args", nargs="*", help="arguments of the benchmark")
    chosen = parser.parse_args()
    figures = {
        name: _run(name, chosen.args, bool(chosen.json)) for name in ([chosen.only] if chosen.only else NAMES)
    }
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


def _run(name: str, args: list[str], wants_figures: bool) -> object:
    print(f"> benchmark {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        output = ["--json", str(file)] if wants_figures else []
        done = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *output, *args], check=False)
        if done.returncode:
            sys.exit(done.returncode)
        return json.loads(file.read_text()) if file.exists() else None


if __name__ == "__main__":
    main()
