"""The program as it was, out of git's history: what an upgrade begins with, and a rollback ends with.

It is the last one before metrics had a room of their own. It writes stores of format 1 and knows no traces.
There is no release yet whose wheel could be had; with the first one, this becomes that wheel.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GONE = "workers/hurnet_stream/metrics.py"
"""The old program has this file, and the newer ones do not."""


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout


def exported(folder: Path) -> str:
    """The old program in `folder`; returns the PYTHONPATH that starts it.

    Skips the test if there is no history to take it from: in a source archive or a shallow clone. CI clones
    all of it, and counts a skipped test as failed.
    """
    try:
        removal = _git("log", "-1", "--format=%H", "--diff-filter=D", "--", GONE).decode().strip()
        archive = _git("archive", f"{removal}^", "workers", "schemas")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the old program is taken from git's history, and here is none: clone without --depth")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return os.pathsep.join(str(folder / name) for name in ("workers", "schemas"))
