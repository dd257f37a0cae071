"""Texts of files into Kafka, each once, whatever is killed in between.

The rows of the same files come in the same order each time, so a job that goes on reads them again from the
beginning and passes over as many as the note says. The note has a digest of those, and one that differs says
that the files are not what they were:

    run 1    rows 0 to 59,999    three blocks, and with the third the note "60,000 records, digest 7f3a..."
             killed
    run 2    rows 0 to 59,999    read again, not sent. Their digest is 7f3a...: these are they
             row 60,000          sent
    later    the files have new rows at their end: these are sent, and nothing else

While a block is being written, the next one is read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import pack
from typing import Any, Final

from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.operations.files.encoded import Encoded, Encoder
from hurnet_stream.operations.files.rows import Reject
from hurnet_stream.operations.files.source import Named
from hurnet_stream.ports import Backfill, Headers, Texts

BLOCK_RECORDS: Final = 20_000
BLOCK_BYTES: Final = 8 << 20
BLOCK_S: Final = 1.0
"""After which a block is sent that slow input has not filled."""
PATIENCE_S: Final = 120.0
"""How long a block is tried again while Kafka is away."""
NOTE_MOST: Final = 3_500
"""Bytes. A broker keeps 4,096 beside an offset, unless it is told otherwise."""


class FilesChanged(ConfigurationError):
    """The files are not those of which a part was sent."""


@dataclass(slots=True)
class Progress:
    """What has become of the rows so far: `count` were sent now, and `before` by earlier runs. `last_line` is
    that of the last row that was sent or rejected."""

    count: int = 0
    before: int = 0
    invalid: int = 0
    last_line: int = 0
    watermarks: dict[int, int] = field(default_factory=dict)
    begun: bool = False
    """Whether Kafka has answered, and something may have been sent."""


@dataclass(slots=True)
class Fingerprint:
    """A digest of records in their order, however they are grouped."""

    records: int = 0
    _streams: tuple[Any, ...] = field(default_factory=lambda: tuple(blake2b() for _ in range(4)))
    """Of all values, of their lengths, of all keys, and of their lengths, one behind the other."""

    def take(self, texts: Texts) -> None:
        values, sizes, keys, key_sizes = self._streams
        values.update(b"".join(texts.values))
        sizes.update(pack(f"<{len(texts.values)}q", *map(len, texts.values)))
        given: Sequence[bytes | None] = texts.keys or [None] * len(texts.values)
        keys.update(b"".join(key for key in given if key is not None))
        key_sizes.update(pack(f"<{len(given)}q", *(-1 if key is None else len(key) for key in given)))
        self.records += len(texts.values)

    def hex(self) -> str:
        digests = b"".join(stream.digest() for stream in self._streams)
        return blake2b(digests, digest_size=16).hexdigest()


@dataclass(slots=True)
class Block:
    """Records that are gathered until they are sent together."""

    values: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    times: list[int | None] = field(default_factory=list)
    size: int = 0
    last_line: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, record: Encoded, line: int) -> None:
        value, key, timestamp_ms = record
        self.values.append(value)
        self.keys.append(key)
        self.times.append(timestamp_ms)
        self.size += len(value)
        self.last_line = line

    @property
    def full(self) -> bool:
        count = len(self.values)
        if count >= BLOCK_RECORDS or self.size >= BLOCK_BYTES:
            return True
        return count % 16 == 1 and time.monotonic() - self.began > BLOCK_S

    def texts(self, headers: Headers = ()) -> Texts:
        keys = self.keys if any(key is not None for key in self.keys) else ()
        times = self.times if any(at is not None for at in self.times) else ()
        return Texts(self.values, keys, times, headers)


Span = Callable[[Callable[[Headers], None], int], None]
"""Calls the sending of a number of texts with headers for them."""


def untraced(send: Callable[[Headers], None], _count: int) -> None:
    send(())


class Sending:
    """One job: the rows of files, in blocks, by way of `backfill`."""

    def __init__(
        self,
        backfill: Backfill,
        encoder: Encoder,
        progress: Progress,
        span: Span = untraced,
        *,
        resumes: bool = True,
    ) -> None:
        """`resumes` says whether `backfill` keeps notes."""
        self._backfill = backfill
        self._resumes = resumes
        self._encoder = encoder
        self._progress = progress
        self._span = span
        self._print = Fingerprint()
        self._marks: dict[int, int] = {}
        """The watermarks of the whole job."""

    def run(
        self,
        drafts: Iterator[Named],
        reject: Callable[[str, Reject], None],
        advance: Callable[[], None],
        *,
        again: bool = False,
    ) -> None:
        """Send all rows that were not sent before, or all of them if they are to be sent `again`. `advance`
        is called now and then. Raises `FilesChanged`, `TransientError` and what reading raises;
        `progress` is right at any moment."""
        note = json.loads(self._backfill.resume() or "{}")
        self._progress.begun = True
        passed = 0 if again else int(note.get("records", 0))
        if not again:
            self._marks = _ends(note)
        blocks = self._blocks(drafts, reject, advance)
        blocks = self._unsent(blocks, passed, str(note.get("digest", "")))
        with ThreadPoolExecutor(1) as writer:
            pending: Future[None] | None = None
            try:
                for block in blocks:
                    if pending:
                        pending.result()
                    pending = writer.submit(self._write, block)
                    advance()
            finally:
                if pending:
                    pending.result()

    def _blocks(
        self, drafts: Iterator[Named], reject: Callable[[str, Reject], None], advance: Callable[[], None]
    ) -> Iterator[Block]:
        block = Block()
        for name, draft in drafts:
            record = draft if isinstance(draft, Reject) else self._encoder.encoded(draft)
            if isinstance(record, Reject):
                self._progress.invalid += 1
                self._progress.last_line = max(self._progress.last_line, record.line)
                reject(name, record)
                continue
            block.add(record, draft.line)
            if block.full:
                yield block
                advance()
                block = Block()
        if block.values:
            yield block

    def _unsent(self, blocks: Iterator[Block], passed: int, digest: str) -> Iterator[Block]:
        """The blocks without the first `passed` records, whose digest must be this."""
        for block in blocks:
            left = passed - self._print.records
            if left <= 0:
                yield block
                continue
            texts = block.texts()
            self._print.take(texts.part(0, left))
            self._progress.last_line = block.last_line
            if self._print.records == passed:
                self._check(digest, passed)
                if left < len(block.values):
                    yield _rest(block, left)
        if self._print.records < passed:
            raise _changed(passed, f"they have only {self._print.records:,} now")

    def _check(self, digest: str, passed: int) -> None:
        if self._print.hex() != digest:
            raise _changed(passed, "they are others now")
        self._progress.before = passed
        self._progress.watermarks = dict(self._marks)

    def _write(self, block: Block) -> None:
        def send(headers: Headers) -> None:
            texts = block.texts(headers)
            self._print.take(texts)
            self._settle(texts)

        self._span(send, len(block.values))
        self._progress.count += len(block.values)
        self._progress.last_line = block.last_line
        self._progress.watermarks = dict(self._marks)

    def _settle(self, texts: Texts) -> None:
        """Write the texts, and find out what became of them if that is not known."""
        deadline = time.monotonic() + PATIENCE_S
        digest = self._print.hex()
        ends: Mapping[int, int] | None = None
        while ends is None:
            try:
                ends = self._backfill.write(texts, self._note)
            except TransientError:
                if not self._resumes:
                    raise
                note = self._resumed(deadline)
                if note.get("digest") == digest:
                    ends = _ends(note)
        self._marks = _later(self._marks, ends)

    def _resumed(self, deadline: float) -> dict[str, Any]:
        """The note that is there. Raises `TransientError` if Kafka is away until the deadline."""
        while True:
            try:
                return dict(json.loads(self._backfill.resume() or "{}"))
            except TransientError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _note(self, ends: Mapping[int, int]) -> str:
        note: dict[str, Any] = {"records": self._print.records, "digest": self._print.hex()}
        marked = json.dumps(note | {"ends": _later(self._marks, ends)}, separators=(",", ":"))
        return marked if len(marked) <= NOTE_MOST else json.dumps(note)


def _ends(note: Mapping[str, Any]) -> dict[int, int]:
    return {int(partition): int(offset) for partition, offset in note.get("ends", {}).items()}


def _later(marks: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
    return {p: max(marks.get(p, -1), ends.get(p, -1)) for p in (*marks, *ends)}


def _rest(block: Block, first: int) -> Block:
    values, keys, times = block.values[first:], block.keys[first:], block.times[first:]
    return Block(values, keys, times, sum(map(len, values)), block.last_line)


def _changed(passed: int, how: str) -> FilesChanged:
    return FilesChanged(
        f"the first {passed:,} texts of these files were sent before, and {how}: --again sends all of them"
        " from the beginning. (The files, or the options that say what is taken from them, have changed.)"
    )


def job_name(family: str, topic: str, names: tuple[str, ...]) -> str:
    """The name of a job: the same for the same files and topic."""
    said = json.dumps([topic, *names]).encode()
    return f"{family}{blake2b(said, digest_size=12).hexdigest()}"
