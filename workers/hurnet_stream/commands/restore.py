"""`hurnet restore`: a store from a backup, without what was deleted since."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet_stream.adapters.kafka.reading.histories import KafkaHistories
    from hurnet_stream.adapters.redis.backup_contents import Contents
    from hurnet_stream.core.stored.backup import Part
    from hurnet_stream.core.stored.batch import Deletion
    from hurnet_stream.settings.settings import Settings

WAY_OUT = (
    "So it can't be told what was deleted since the backup was taken: name a newer backup, or the output of"
    " `hurnet forget --log`, with --deletions, or accept with --accept-lost-deletions that deleted texts come"
    " back"
)

EPILOG = """\b
Examples:
  hurnet restore --check /backups/2026-11-27.hurnet
  HURNET_REDIS_PREFIX=hurnet-2 hurnet restore /backups/2026-11-27.hurnet
  hurnet restore old.hurnet --deletions new.hurnet --deletions forgotten.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--check", "only_check", is_flag=True, help="Write nothing: only say whether it could be done.")
@click.option(
    "--deletions",
    "lists",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A newer backup, or the output of `hurnet forget --log`: what was deleted there does not come back. "
    "May be repeated.",
)
@click.option(
    "--accept-lost-deletions",
    "accept",
    is_flag=True,
    help="Restore although nobody can tell what was deleted since: such texts come back.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def restore(file: Path, only_check: bool, lists: tuple[Path, ...], accept: bool, as_json: bool) -> None:
    """Fill an empty store from FILE; - is standard input.

    The store at HURNET_REDIS_URL under HURNET_REDIS_PREFIX must be empty. What was deleted since the backup
    was taken is read from the topic of texts, and is never in a store that a worker can open. If the topic no
    longer holds all that came since, it says which offsets are missing, and restores only with --deletions or
    --accept-lost-deletions. Afterwards start the workers: ingest reads what came since, and the solver learns
    from all entries. `hurnet verify` proves the result.

    Exit code 0: done, or with --check: it could be done. 2: nothing can be read there afterwards.
    """
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush, say, say_json

    hush()
    began = time.monotonic()
    with ExitStack() as stack:
        report = Restoring(settings.load(), lists, accept, stack).run(file, only_check)
    report |= {"seconds": round(time.monotonic() - began, 3)}
    if as_json:
        say_json(report)
    else:
        done = "could be restored" if only_check else "restored"
        say(
            f"{done}: {report['entries']:,} entries of {report['shards']} shards, taken at {report['made']},"
            f" in {report['seconds']:.1f} s. {report['deleted_since']:,} deletions came since"
        )
        if not only_check:
            say("start the workers; `hurnet verify` proves the result once they have caught up")


class Restoring:
    """One restore. What it opens is closed by `stack`."""

    def __init__(self, chosen: Settings, lists: Sequence[Path], accept: bool, stack: ExitStack) -> None:
        self._settings = chosen
        self._topic = chosen.kafka.texts
        self._lists = lists
        self._accept = accept
        self._stack = stack
        self._deleted_since = 0
        self._history: KafkaHistories | None = None

    def run(self, file: Path, only_check: bool) -> dict[str, Any]:
        """Raises `Unreadable` if the file is damaged, `StoreError` if it can't be restored."""
        from hurnet_stream.terminal.backup_files import deletions_of
        from hurnet_stream.terminal.screen import moment

        # The lists come first: if one can't be read, nothing was written yet.
        given = [deletion for path in self._lists for deletion in deletions_of(path)]
        contents = self._check(file) if only_check else self._fill(file, given)
        return {
            "entries": contents.entries,
            "shards": len(contents.shards),
            "made": moment(contents.made_ms),
            "deleted_since": self._deleted_since,
            "watermarks": {str(p): offset for p, offset in contents.watermarks.items()},
        }

    def _check(self, file: Path) -> Contents:
        from hurnet_stream.adapters.redis.backup_contents import Contents

        contents = Contents()
        self._take(file, contents.take, contents)
        for _ in self._from_kafka(contents):
            pass
        return contents

    def _fill(self, file: Path, given: Sequence[tuple[int, Deletion]]) -> Contents:
        from hurnet_stream.adapters.redis import connect_serving
        from hurnet_stream.adapters.redis.filling import StoreFiller
        from hurnet_stream.adapters.segments import segments_at
        from hurnet_stream.terminal.screen import progress

        segments = segments_at(self._settings.segments)
        connection = self._stack.enter_context(closing(connect_serving(self._settings.redis, segments)))
        filler = StoreFiller(connection)
        filler.begin()
        self._take(file, filler.take, filler.contents)
        filler.delete(given)
        filler.delete(self._from_kafka(filler.contents))
        rows = sum(shard.rows for shard in filler.contents.shards.values())
        with progress("erasing what was deleted since", rows) as advance:
            filler.contents.entries = filler.finish(advance)
        return filler.contents

    def _take(self, file: Path, take: Callable[[Part], object], contents: Contents) -> None:
        """Take all parts. Before the first item it is known whether anybody tells what was deleted since."""
        asked = False
        for part in self._parts(file):
            if not asked and part.kind not in "HSG":
                self._ask_kafka(contents)
                asked = True
            take(part)
        contents.check_complete()
        if not asked:
            self._ask_kafka(contents)

    def _ask_kafka(self, contents: Contents) -> None:
        """Open the topic, if it tells what was deleted since. Raises `StoreError` if nobody can tell, and
        that is not accepted."""
        from hurnet_stream import belonging
        from hurnet_stream.adapters.kafka.reading.histories import KafkaHistories
        from hurnet_stream.core.places import Topics
        from hurnet_stream.errors import ConfigurationError, StoreError, StoreGap, TransientError

        try:
            topics = Topics.of(contents.topics).with_texts(self._topic)
            if unknown := sorted(contents.topics.keys() - self._settings.topics.keys()):
                raise ConfigurationError(
                    f"the backup has entries of {', '.join(unknown)}, which has no table ([topics.NAME]) in"
                    " the settings: so what its records delete can't be read"
                )
            history = KafkaHistories(self._settings.kafka, topics)
            self._stack.callback(history.close)
            if contents.log:
                belonging.check(contents.log, history.log())
            self._check_reach(history, contents)
            self._history = history
        except (TransientError, StoreGap, ConfigurationError) as error:
            if not self._accept:
                raise StoreError(f"{error}. {WAY_OUT}") from error

    def _check_reach(self, history: KafkaHistories, contents: Contents) -> None:
        from hurnet_stream.errors import StoreError
        from hurnet_stream.operations.restoring import out_of_reach

        missing = out_of_reach(history, contents.watermarks)
        if self._accept or self._lists:
            return
        if missing:
            raise StoreError(f"Kafka no longer holds {', '.join(missing)} of {self._topic}. {WAY_OUT}")
        kept_ms = history.tombstones_kept_ms()
        if kept_ms is not None and time.time() * 1000 - contents.made_ms > kept_ms:
            raise StoreError(
                f"{self._topic} is compacted and may have dropped records that delete. {WAY_OUT}"
            )

    def _from_kafka(self, contents: Contents) -> Iterator[tuple[int, Deletion]]:
        """The deletions that came since."""
        from hurnet_stream.core.places import offset_of
        from hurnet_stream.operations.restoring import deletions_since
        from hurnet_stream.records import TextReader
        from hurnet_stream.terminal.screen import progress
        from hurnet_stream.wiring.reading import making

        if self._history is None:
            return
        ranges = self._history.offset_ranges()
        read = making(self._settings).readers(TextReader(), True).read
        behind = (
            max(0, offset_of(p, ranges[p].end) - offset_of(p, mark) - 1)
            for p, mark in contents.watermarks.items()
        )
        with progress("reading what was deleted since", sum(behind)) as advance:
            for deletion in deletions_since(self._history, contents.watermarks, advance, read):
                self._deleted_since += 1
                yield deletion
        self._check_reach(self._history, contents)  # retention may have taken some while this was read

    def _parts(self, file: Path) -> Iterator[Part]:
        from hurnet_stream.terminal.backup_files import parts_of
        from hurnet_stream.terminal.screen import progress

        size = file.stat().st_size if str(file) != "-" and file.exists() else None
        with progress("reading the backup", size) as advance:
            yield from parts_of(file, advance)
