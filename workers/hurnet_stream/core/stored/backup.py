"""A backup of a store, as a sequence of frames that is written and read once from its beginning to its end.

    HURNETBK                            8 bytes, then frames:
    kind, length, CRC-32C, content      1, 4 and 4 bytes, then `length` bytes of msgpack
    ...
    E  number of frames, SHA-256        of all bytes before this frame: what is cut off or changed shows

    kind   content
    H      JSON: format, when it was made, the store's meta and log, its contexts
    S      shard, watermark, rows, anchor, floor, compacted, context -> first offset     one for each shard
    G      shard, offsets: entries that are deleted, whether they are among the items or not
    I      shard, number, fields: an item, in the order of the numbers
    D      shard, offset of a deletion, number, offsets: a part of its targets
    K      shard, members of `keys`
    V      context, version of its weights
    M      context, version of its mix, mix or none
    A      audits of deletions, JSON each

A reader trusts nothing: each frame is bounded before it is read, and each value is checked by its reader.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgpack
from crc32c import crc32c

from hurnet_stream.core.formats import BACKUP, check_format

MAGIC: Final = b"HURNETBK"
FRAME_BYTES_MAX: Final = 16 << 20
"""An item holds a batch of 1 MiB, or a single larger text."""
END: Final = "E"
KINDS: Final = "HSGIDKVMA"

_HEAD = struct.Struct("<cII")


class Part(NamedTuple):
    """One frame: its kind, and what is in it."""

    kind: str
    content: Any


class Writer:
    """Writes parts by `write`, which takes bytes."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self.frames = self.bytes = 0
        self._put(MAGIC)

    def add(self, part: Part) -> None:
        self._frame(part.kind, msgpack.packb(part.content))
        self.frames += 1

    def finish(self) -> None:
        """Without this the backup counts as cut off."""
        self._frame(END, msgpack.packb([self.frames, self._digest.digest()]))

    def _frame(self, kind: str, content: bytes) -> None:
        if len(content) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(content)} bytes; at most {FRAME_BYTES_MAX}")
        self._put(_HEAD.pack(kind.encode(), len(content), crc32c(content)) + content)

    def _put(self, encoded: bytes) -> None:
        self._digest.update(encoded)
        self._write(encoded)
        self.bytes += len(encoded)


def parts(read: Callable[[int], bytes]) -> Iterator[Part]:
    """The parts of a backup, without its end. `read` returns as many bytes as it is asked for, if there are
    any left. Raises ValueError as soon as something is not what `Writer` writes: nothing counts before the
    iterator has come to its end."""
    digest = hashlib.sha256()
    if _exactly(read, len(MAGIC), digest) != MAGIC:
        raise ValueError("it is no backup of hurnet")
    for count in itertools.count():
        before = digest.digest()
        kind, content = _frame(read, digest)
        if kind == END:
            if content != [count, before]:
                raise ValueError("frames are missing, or their SHA-256 differs")
            if read(1):
                raise ValueError("something follows its end")
            return
        if (kind == "H") != (count == 0) or kind not in KINDS:
            raise ValueError(f"frame {count} has the kind {kind!r}")
        yield Part(kind, content)


def _frame(read: Callable[[int], bytes], digest: Any) -> tuple[str, Any]:
    kind, length, checksum = _HEAD.unpack(_exactly(read, _HEAD.size, digest))
    if length > FRAME_BYTES_MAX:
        raise ValueError(f"a frame says that it has {length} bytes")
    packed = _exactly(read, length, digest)
    if crc32c(packed) != checksum:
        raise ValueError("a frame's checksum differs")
    try:
        return kind.decode(), msgpack.unpackb(packed, strict_map_key=False)
    except (msgpack.UnpackException, UnicodeDecodeError, ValueError, TypeError) as error:
        raise ValueError(f"a frame can't be read ({error})") from error


def _exactly(read: Callable[[int], bytes], count: int, digest: Any) -> bytes:
    got = read(count)
    if len(got) != count:
        raise ValueError("it is cut off")
    digest.update(got)
    return got


def check_header(fields: Any) -> None:
    """Raises ValueError unless this program can read the backup; `NewerFormat` if only a newer one can."""
    check_format("this backup", int(fields["format"]), BACKUP)
