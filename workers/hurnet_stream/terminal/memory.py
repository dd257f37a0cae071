"""How much memory a command can still have here."""

from __future__ import annotations

from pathlib import Path

MACHINE = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """What the machine and the container can still give, with what caches would make way for; None if the
    system does not say it."""
    told = [free for free in (_of_machine(), _of_container()) if free is not None]
    return min(told, default=None)


def _of_machine() -> int | None:
    return _figure(MACHINE, "MemAvailable:", 1 << 10)


def _of_container() -> int | None:
    """What its limit leaves beside what is in use and is no cache."""
    limit, used = _figure(CONTAINER / "memory.max"), _figure(CONTAINER / "memory.stat", "anon")
    return None if limit is None or used is None else max(0, limit - used)


def _figure(file: Path, name: str = "", unit: int = 1) -> int | None:
    """The number behind this name on a line of a file; on the first line, without a name."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
        told = next(words for words in lines if not name or words[:1] == [name])
        return int(told[1 if name else 0]) * unit
    except (OSError, ValueError, LookupError, StopIteration):  # "max" is no number, too
        return None
