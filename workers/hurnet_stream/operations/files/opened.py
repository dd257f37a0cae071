"""The bytes of a file, wherever it is and whatever it is compressed by.

faq.csv, faq.csv.gz           local; gzip, Zstandard and bzip2 are known by their first bytes
s3://bucket/faq.csv           object stores, by pyarrow (the extra `files`), which finds secrets as the
gs://bucket/faq.csv           stores' own tools do
https://host/faq.csv          any web server
"""

from __future__ import annotations

import bz2
import gzip
import io
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.error import HTTPError, URLError

import zstandard

from hurnet_stream.errors import ConfigurationError

EXTRA: Final = "pip install 'hurnet-stream[files]'"
WEB: Final = ("http", "https")
WAIT_S: Final = 60.0
"""For a web server that says nothing."""
_PIECE: Final = 1 << 18
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class UnreadableFile(ConfigurationError):
    """A file that can't be read, or not to its end. Its message names the file and what would be right."""


@contextmanager
def readable(name: str, line: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Raise what goes wrong in the block with the file's name and the line that was reached."""
    try:
        yield
    except (EOFError, zstandard.ZstdError) as error:
        raise UnreadableFile(
            f"{_at(name, line())}: its end is missing, or its packing is damaged ({error}): copy it again"
        ) from error
    except (HTTPError, URLError) as error:
        raise UnreadableFile(f"{name}: {getattr(error, 'reason', error)}: is the address right?") from error
    except OSError as error:
        raise UnreadableFile(f"{_at(name, line())}: {_said(error)}") from error


def scheme_of(name: str) -> str:
    """What stands before `://`; "" for a local file."""
    scheme, colon, _ = name.partition("://")
    return scheme.lower() if colon and scheme.isalnum() else ""


@contextmanager
def opened(name: str, count: Callable[[int], None], *, seeks: bool = False) -> Iterator[BinaryIO]:
    """The file `name` as it is. `count` is told the bytes that were read, and with `seeks` any place in the
    file can be read next."""
    scheme = scheme_of(name)
    if not scheme:
        with Path(name).open("rb", buffering=0) as file:
            yield cast(BinaryIO, file if seeks else _Counted(file, count))
    elif scheme in WEB:
        with urllib.request.urlopen(name, timeout=WAIT_S) as reply, _seekable(reply, seeks) as file:  # noqa: S310 - the schemes are checked
            yield cast(BinaryIO, file if seeks else _Counted(file, count))
    else:
        store, path = store_of(name)
        with (
            store.open_input_file(path) if seeks else store.open_input_stream(path, compression=None)
        ) as file:
            yield file if seeks else cast(BinaryIO, _Counted(file, count))


def unpacked(file: BinaryIO) -> io.BufferedReader:
    """Its content, decompressed if it is compressed."""
    raw = io.BufferedReader(cast(Any, file), _PIECE)
    start = raw.peek(4)[:4]
    if start.startswith(b"\x1f\x8b"):
        return io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), _PIECE)
    if start.startswith(b"BZh"):
        return io.BufferedReader(cast(Any, bz2.BZ2File(raw)), _PIECE)
    if start == _ZSTD:
        return io.BufferedReader(_Zstandard(raw), _PIECE)
    return raw


def pyarrow(part: str) -> Any:
    """The module `pyarrow.PART`. Raises `ConfigurationError` if the extra is not installed."""
    import importlib

    try:
        return importlib.import_module(f"pyarrow.{part}")
    except ImportError:
        raise ConfigurationError(f"Parquet and object stores need pyarrow: {EXTRA}") from None


def store_of(url: str) -> tuple[Any, str]:
    """The object store of a URL, and the path in it. Raises `UnreadableFile`."""
    fs = pyarrow("fs")
    try:
        store, path = fs.FileSystem.from_uri(url)
    except (ValueError, OSError, NotImplementedError) as error:
        known = "s3://, gs://, https:// and local paths are"
        raise UnreadableFile(f"{url}: no address that is known, {known} ({str(error)[:200]})") from error
    return store, path


@contextmanager
def _seekable(file: Any, seeks: bool) -> Iterator[Any]:
    if not seeks:
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        while piece := file.read(_PIECE):
            copy.write(piece)
        copy.seek(0)
        yield copy


class _Counted(io.RawIOBase):
    """Tells how much was read."""

    def __init__(self, file: Any, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._count(len(piece))
        return len(piece)


class _Zstandard(io.RawIOBase):
    """Frames one behind the other. The library's own reader takes the end of a file for that of a frame."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if not (piece := self._file.read1(1 << 16)):
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return 0
            self._ready = self._decompressed(piece)
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _decompressed(self, piece: bytes) -> bytes:
        out = []
        while piece:
            frame = self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            out.append(frame.decompress(piece))
            piece = frame.unused_data if frame.eof else b""
            if frame.eof:
                self._frame = None
        return b"".join(out)


def _at(name: str, line: int) -> str:
    return f"{name}:{line:,}" if line else name


def _said(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file, folder or bucket"
    if isinstance(error, PermissionError):
        return "no right to read it"
    text = str(error.strerror or error)
    with suppress(ValueError):
        text = text[: text.index(". Detail")]
    if "NO_SUCH_BUCKET" in text.upper() or "bucket does not exist" in text:
        return f"there is no such bucket ({text[:200]})"
    return text[:300]
