"""`hurnet export`: the entries of a context as a file."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

import click

from hurnet_stream.exit_codes import NOT_THERE, NOT_WELL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.adapters.redis.exporting import ContextExport
    from hurnet_stream.operations.exported import Vectors, Writer
    from hurnet_stream.places import Places
    from hurnet_stream.settings.settings import Settings

TRIES: Final = 3
"""How often the context is read if entries are deleted meanwhile."""
ENDINGS: Final = {".parquet": "parquet", ".jsonl": "jsonl", ".csv": "csv"}

EPILOG = """\b
Examples:
  hurnet export --context support support.jsonl
  hurnet export --context support --vectors int16 s3://bucket/support.parquet
  hurnet export --context support - | jq -r .text
  hurnet export out.parquet && hurnet produce out.parquet    # the same texts as new ones
"""


@click.command(epilog=EPILOG)
@click.argument("file")
@click.option("--context", metavar="NAME", help="The context to export. Default: default.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["auto", "parquet", "jsonl", "csv"]),
    default="auto",
    show_default=True,
    help="auto: by the name of FILE; jsonl for standard output.",
)
@click.option(
    "--vectors",
    type=click.Choice(["int16", "float32"]),
    help="The vector of each entry, too: as it is stored, or divided by its scale. Parquet only.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(
    file: str, context: str | None, kind: str, vectors: Vectors | None, force: bool, as_json: bool
) -> None:
    """Write a context to a file: Parquet, JSON or CSV.

    FILE is a path, s3:// or gs://, or - for standard output.
    May run beside the workers: the file is the context at one moment, as the watermarks that are printed say,
    without what was deleted. If entries are deleted while it is written, it is written anew; after three
    times the exit code is 1, and it is said how many of them are in the file. FILE appears once it is whole.

    Keys are not in it, since the store has only their digests. `hurnet produce` of it gives a context of the
    same entries, with their times. Exit code 3: there is no such context.
    """
    from hurnet_stream.adapters.redis import connect_serving
    from hurnet_stream.adapters.segments import segments_at
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.lines import context_name
    from hurnet_stream.terminal.screen import hush, say

    hush()
    name, form = context_name(context), _form(file, kind, vectors)
    _check(file, force)
    chosen = settings.load()
    with closing(
        connect_serving(chosen.redis, segments_at(chosen.segments), chosen.kafka.texts)
    ) as connection:
        exporting = _Exporting(connection, chosen, name, form, vectors or "")
        if name not in exporting.store.contexts():
            say(f"there is no context {name!r}", err=True)
            sys.exit(NOT_THERE)
        told = exporting.into(file)
    _report(told, file, as_json)
    if told["deleted_meanwhile"]:
        sys.exit(NOT_WELL)


def _form(file: str, kind: str, vectors: str | None) -> str:
    """The format of FILE. Raises `BadParameter` if that is not known, or has no vectors."""
    known = "jsonl" if file == "-" else ENDINGS.get(PurePosixPath(file.partition("?")[0]).suffix.lower())
    form = known if kind == "auto" else kind
    if form is None:
        told = f"{file}: a name that ends in {', '.join(ENDINGS)} says what to write, or --format does"
        raise click.BadParameter(told, param_hint="FILE")
    if vectors and form != "parquet":
        raise click.BadParameter("vectors are written to Parquet alone", param_hint="--vectors")
    return form


def _check(file: str, force: bool) -> None:
    from hurnet_stream.operations.files.opened import WEB, scheme_of

    if scheme_of(file) in WEB:
        raise click.BadParameter(
            "a web server takes no file: write to a path, s3:// or gs://", param_hint="FILE"
        )
    if file != "-" and not scheme_of(file) and Path(file).exists() and not force:
        raise click.BadParameter(f"{file} exists: choose another name, or --force", param_hint="FILE")


class _Exporting:
    """One context into one file."""

    def __init__(
        self, connection: Connection, chosen: Settings, context: str, form: str, vectors: Vectors
    ) -> None:
        from hurnet_stream.adapters.redis import RedisEntryStore
        from hurnet_stream.places import Places

        self._connection = connection
        self._context = context
        self._form = form
        self._vectors: Vectors = vectors
        self.store = RedisEntryStore(connection)
        self._places = Places.of(self.store.topics(), chosen.kafka.texts)

    def into(self, file: str) -> dict[str, Any]:
        """Write the file; returns what is told of it."""
        began = time.monotonic()
        with _opened(file) as out:
            rows, source, deleted = self._written(out)
            tries = 1
            while deleted and tries < TRIES and file != "-":
                out.seek(0)
                out.truncate()
                rows, source, deleted = self._written(out)
                tries += 1
        return {
            "context": self._context,
            "rows": rows,
            "watermarks": self._seen(source),
            "deleted_meanwhile": deleted,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _written(self, out: IO[bytes]) -> tuple[int, ContextExport, int]:
        """How many entries were written, from where, and how many of them have been deleted meanwhile."""
        from hurnet_stream.adapters.redis.exporting import ContextExport
        from hurnet_stream.terminal.rates import rated

        total = sum(state.rows for state in self.store.states().values())
        read = rows = 0
        with rated("exporting", total, "entries") as tell:

            def advance(count: int) -> None:
                nonlocal read
                read += count
                tell(read, rows)

            source = ContextExport(self._connection, self._context, advance)
            parts = source.entries()
            first = next(parts, None)
            writer = self._writer(out, source, self._places)
            while first is not None:
                writer.write(first.shard, first.entries, first.vectors)
                rows += len(first.entries)
                first = next(parts, None)
            writer.finish()
        return rows, source, source.deleted_meanwhile()

    def _seen(self, source: ContextExport) -> dict[str, int]:
        return {str(name): offset for name, offset in self._places.seen(source.watermarks).items()}

    def _writer(self, out: IO[bytes], source: ContextExport, places: Places) -> Writer:
        from hurnet_stream.operations.exported import Csv, JsonLines, Parquet

        if self._form == "jsonl":
            return JsonLines(out, places)
        if self._form == "csv":
            return Csv(out, places)
        identity = self.store.identity()
        about = {
            "context": self._context,
            "watermarks": self._seen(source),
            "made_ms": int(time.time() * 1000),
            "embedder": identity and identity.name,
            "fingerprint": identity and identity.fingerprint,
        }
        return Parquet(out, places, about, self._vectors, identity.dimension if identity else 0)


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    """A file to write, which takes its name only once it is whole."""
    from hurnet_stream.commands.backup import opened
    from hurnet_stream.operations.files.opened import readable, scheme_of, store_of

    if not scheme_of(file):
        with opened(Path(file)) as out:
            yield out
        return
    store, path = store_of(file)
    with tempfile.TemporaryFile() as out:
        yield out
        out.seek(0)
        with readable(file):
            there = store.open_output_stream(path)  # if it is not closed, nothing is there
            while piece := out.read(1 << 20):
                there.write(piece)
            there.close()


def _report(told: dict[str, Any], file: str, as_json: bool) -> None:
    from hurnet_schemas.places import watermarks_text
    from hurnet_stream.terminal.screen import say, say_json

    to_stderr = file == "-"
    if as_json:
        say_json(told, err=to_stderr)
        return
    say(f"exported {told['rows']:,} entries of {told['context']} in {told['seconds']:.1f} s", err=to_stderr)
    say(f"watermarks {watermarks_text(told['watermarks'])}", err=to_stderr)
    if told["deleted_meanwhile"]:
        say(
            f"{told['deleted_meanwhile']:,} of them were deleted while they were written: export again for a"
            " file without them",
            err=True,
        )
