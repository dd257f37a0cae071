"""Tools that are no Python packages. `.ci/run` installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def needed(tool: str) -> str:
    """The path of a tool. In CI it must be there; elsewhere the test is skipped without it."""
    if path := shutil.which(tool):
        return path
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {tool} (.ci/run installs it)")
    pytest.skip(f"{tool} is not installed (.ci/run says how)")


def run(
    tool: str, *arguments: str, given: str | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with `given` as its standard input."""
    command = [needed(tool), *arguments]
    return subprocess.run(
        command, input=given, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
