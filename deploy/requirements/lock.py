"""`make lock`: what the image installs, each package with the SHA-256 of all its files.

    base.txt     what hurnet-stream needs
    EXTRA.txt    what an extra needs beyond that (build argument EXTRAS)
    build.txt    what makes the wheel

The versions are those of constraints.txt, so that the image runs what the tests have tested.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "pyproject.toml"
NOT_FOR_WORKERS = {"local", "dev", "bench", "simd", "client"}
PYTHON = "3.13"
"""That of the image."""


def main() -> None:
    """Write all files anew."""
    base = _locked(str(PROJECT))
    _write("base", base)
    project = tomllib.loads(PROJECT.read_text())
    for extra in sorted(set(project["project"]["optional-dependencies"]) - NOT_FOR_WORKERS):
        more = _locked(str(PROJECT), "--extra", extra)
        _write(extra, {name: lines for name, lines in more.items() if base.get(name) != lines})
    _write("build", _locked("-", given="\n".join(project["build-system"]["requires"])))


def _locked(*source: str, given: str | None = None) -> dict[str, str]:
    """By package: its line and those of its hashes."""
    options = ("--universal", "--generate-hashes", "--no-annotate", "--no-header", "--quiet")
    command = [sys.executable, "-m", "uv", "pip", "compile", *options, "--python-version", PYTHON]
    constraints = str(PROJECT.with_name("constraints.txt"))
    done = subprocess.run(
        [*command, "--constraints", constraints, *source],
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        block.split("==")[0]: block for block in re.findall(r"^\S.*(?:\n .*)*", done.stdout, re.MULTILINE)
    }


def _write(name: str, locked: dict[str, str]) -> None:
    (HERE / f"{name}.txt").write_text("\n".join(locked.values()) + "\n")


if __name__ == "__main__":
    main()
