"""What a shelf asks of the operating system: a lock and descriptors."""

from __future__ import annotations

import fcntl
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

from hurnet_stream.errors import ConfigurationError

FILES_MOST: Final = 1 << 16
"""Files that may be mapped at once, if the system lets us: each takes a descriptor."""


def locked(path: Path) -> int:
    """A lock that is held as long as this descriptor is open. Raises ConfigurationError if another process
    holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(
            f"HURNET_RESPONDER_FOLDER: another process uses {path.parent}: each responder needs its own"
        ) from None
    return descriptor


def opened_before(path: Path) -> int:
    """How often a folder was opened since it was last closed in order, by the file that says so."""
    try:
        return max(1, int(path.read_text()))
    except FileNotFoundError:
        return 0
    except ValueError:
        return 1


def allow_files() -> None:
    """Each mapped file takes a descriptor: have as many as may be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MOST if most == resource.RLIM_INFINITY else min(most, FILES_MOST)
    with suppress(OSError, ValueError):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
