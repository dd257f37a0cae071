"""Compiles every *.c beside it into one shared library, for the package's installation and by hand."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from hurnet_stream.core.native import LIBRARY, digest, sources

FLAGS: Final = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-pthread", "-Wall", "-Wextra")
TIMEOUT_S: Final = 300


def build(folder: Path = LIBRARY.parent) -> str | None:
    """Compile the kernels in `folder` into its kernels.so; returns None if that was done, else one line that
    says why not.

    Never raises for what a machine may lack: a compiler, a folder that can be written to.
    """
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or shutil.which("gcc") or "clang"]
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch, LIBRARY.name)
            files = [str(source) for source in sources(folder) if source.suffix == ".c"]
            define = f'-DHURNET_SOURCES="{digest(folder)}"'
            command = [*compiler, *FLAGS, define, "-o", str(made), *files]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
            made.replace(folder / LIBRARY.name)  # in one step: another process may be loading it
    except subprocess.CalledProcessError as error:
        return f"{shlex.join(compiler)} failed: {error.stderr.strip()}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def main() -> None:
    """`python -m hurnet_stream.core.native.build`: ends with 1 if nothing was built."""
    if failed := build():
        sys.exit(f"no native kernels: {failed}")
    print(f"built {LIBRARY}")


if __name__ == "__main__":
    main()
