"""Files that `hurnet backup` and `hurnet forget --log` have written, read again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import click

from hurnet_stream.adapters.redis.backup_contents import Contents
from hurnet_stream.core.formats import NewerFormat
from hurnet_stream.core.stored.backup import MAGIC, Part, parts
from hurnet_stream.core.stored.batch import MAX_OFFSET, Deletion
from hurnet_stream.errors import Unreadable, UpgradeNeeded

LINE_BYTES_MAX = 4 << 20


def parts_of(file: Path, advance: Callable[[int], None] = lambda _: None) -> Iterator[Part]:
    """The parts of a backup. Raises `Unreadable` if they are damaged, `UpgradeNeeded` if they are newer."""
    try:
        with _opened(file) as source:

            def read(count: int) -> bytes:
                advance(count)
                return source.read(count)

            yield from parts(read)
    except OSError as error:
        raise click.FileError(str(file), str(error.strerror)) from error
    except NewerFormat as error:
        raise UpgradeNeeded(str(error)) from error
    except ValueError as error:
        raise Unreadable(f"{file}: {error}") from error


def _opened(file: Path) -> IO[bytes]:
    return sys.stdin.buffer if str(file) == "-" else file.open("rb")


def deletions_of(file: Path) -> Iterator[tuple[int, Deletion]]:
    """What a newer backup, or the lines of `hurnet forget --log`, say was deleted."""
    with file.open("rb") as source:
        is_backup = source.read(len(MAGIC)) == MAGIC
    yield from _of_backup(file) if is_backup else _of_log(file)


def _of_backup(file: Path) -> Iterator[tuple[int, Deletion]]:
    contents = Contents(keeps_audits=True)
    for part in parts_of(file):
        contents.take(part)
    yield from ((audit.partition, audit.deletion) for audit in contents.audits)
    # A deletion has its audit once the solver has unlearned it. Until then only its targets are known.
    for partition, offsets in contents.gone.items():
        yield partition, Deletion(MAX_OFFSET, 0, targets=tuple(sorted(offsets)))


def _of_log(file: Path) -> Iterator[tuple[int, Deletion]]:
    with file.open("rb") as lines:
        number = 0
        while line := lines.readline(LINE_BYTES_MAX):
            number += 1
            try:
                fields = json.loads(line)
                _, partition, offset = fields["record"].rsplit("/", 2)
                targets = tuple(sorted(int(entry.rpartition("/")[2]) for entry in fields["entries"]))
                key = None if fields["key_blake2b"] is None else bytes.fromhex(fields["key_blake2b"])
                yield int(partition), Deletion(int(offset), 0, key, targets, fields["context"])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise click.BadParameter(
                    f"line {number} of {file} is none of `hurnet forget --log`", param_hint="--deletions"
                ) from error
