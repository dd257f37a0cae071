"""`hurnet backup`: a copy of a whole store as one file."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from hurnet_stream import disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.core.stored.backup import Writer

EPILOG = """\b
Examples:
  hurnet backup /backups/2026-11-27.hurnet
  hurnet backup - | zstd | ssh elsewhere 'cat > store.hurnet.zst'
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def backup(file: Path, force: bool, as_json: bool) -> None:
    """Copy the whole store into FILE; - is standard output.

    May run beside the workers: the copy is the store at one moment, without what was deleted before the
    reading ended. Entries, deletions, keys' digests, audits and mixes are in it. The solver's checkpoint and
    the weights are not, since a solver learns them again, exactly. FILE appears once it is whole. It holds
    all texts: keep it as safe as the store, and only as long as deleted texts may exist anywhere.
    """
    from hurnet_stream.adapters.redis import connect_serving
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush, say, say_json

    hush()
    if str(file) != "-" and file.exists() and not force:
        raise click.BadParameter(f"{file} exists: choose another name, or --force", param_hint="FILE")
    began = time.monotonic()
    chosen = settings.load()
    segments = segments_at(chosen.segments)
    with closing(connect_serving(chosen.redis, segments)) as connection, opened(file) as out:
        writer, rows = copy(connection, out)
    seconds = time.monotonic() - began
    to_stderr = str(file) == "-"
    if as_json:
        report = {"rows": rows, "frames": writer.frames, "bytes": writer.bytes, "seconds": round(seconds, 3)}
        say_json(report, err=to_stderr)
    else:
        say(f"copied {rows:,} rows, {writer.bytes:,} bytes, in {seconds:.1f} s", err=to_stderr)


def copy(connection: Connection, out: IO[bytes]) -> tuple[Writer, int]:
    """Write the backup to `out`. Returns the writer, and how many rows the store had."""
    from hurnet_stream.adapters.redis.copying import StoreCopy
    from hurnet_stream.core.stored.backup import Writer
    from hurnet_stream.terminal.screen import progress

    total = sum(state.rows for state in StoreCopy(connection, lambda _: None).states().values())
    with progress("copying", total) as advance:
        writer = Writer(out.write)
        for part in StoreCopy(connection, advance).parts():
            writer.add(part)
        writer.finish()
    return writer, total


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """A file to write. It takes its name only once it is on the disk, and is readable by its owner alone."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = file.with_name(f"{file.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
        disk.sync(file.parent)
    except OSError as error:
        raise click.FileError(str(file), str(error.strerror)) from error
    finally:
        part.unlink(missing_ok=True)
