"""Compressed record batches, unpacked up to a limit: a few bytes of any of these codecs may claim to be
gigabytes, so nothing here makes much more than it is allowed to."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import snappy
import zstandard
from lz4.frame import LZ4FrameDecompressor

_STEP = 1 << 18  # bytes that are unpacked between two looks at the limit

_XERIAL = (
    b"\x82SNAPPY\x00"  # Java's framing; two numbers of 4 bytes follow, which some write the wrong way round
)
_XERIAL_HEADER = 16
_GZIP = 16 + zlib.MAX_WBITS


class Damaged(ValueError):
    """The bytes are not what their codec makes."""


class TooLarge(ValueError):
    """They unpack to more than is allowed."""


def unpack(codec: int, packed: memoryview, most: int) -> memoryview:
    """What `packed` holds, by Kafka's number of its codec. Raises `Damaged`, and `TooLarge` beyond `most`."""
    if codec not in _CODECS:
        raise Damaged(f"there is no compression codec of number {codec}")
    name, pieces = _CODECS[codec]
    whole = bytearray()
    try:
        for piece in pieces(packed, most):
            whole += piece
            if len(whole) > most:
                raise TooLarge(f"{len(packed)} bytes of {name} unpack to more than {most}")
    except (Damaged, TooLarge):
        raise
    except Exception as error:  # each library has its own kinds, and their base is Exception
        raise Damaged(f"{name} can't be unpacked: {str(error) or type(error).__name__:.200}") from None
    return memoryview(whole)


def _gzip(packed: memoryview, _most: int) -> Iterator[bytes]:
    """One stream or several, one after another."""
    left: Any = packed
    while left:
        stream = zlib.decompressobj(_GZIP)
        while not stream.eof:
            piece = stream.decompress(left, _STEP)
            yield piece
            left = stream.unconsumed_tail
            if not piece and not left and not stream.eof:
                raise Damaged("gzip ends in the middle")
        left = stream.unused_data


def _lz4(packed: memoryview, _most: int) -> Iterator[bytes]:
    left: Any = packed
    while left:
        frame: Any = LZ4FrameDecompressor()
        while not frame.eof:
            piece = frame.decompress(left, max_length=_STEP)
            yield piece
            left = b""  # the frame keeps what it has not read yet
            if not piece and frame.needs_input and not frame.eof:
                raise Damaged("lz4 ends in the middle")
        left = frame.unused_data or b""


def _zstd(packed: memoryview, _most: int) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True) as stream:
        while piece := stream.read(_STEP):
            yield piece


def _snappy(packed: memoryview, most: int) -> Iterator[bytes]:
    blocks = _xerial_blocks(packed) if packed[: len(_XERIAL)] == _XERIAL else iter([packed])
    made = 0
    for block in blocks:
        made += _snappy_length(block)
        if made > most:
            raise TooLarge(f"{len(packed)} bytes of snappy unpack to more than {most}")
        yield snappy.uncompress(bytes(block))


def _xerial_blocks(packed: memoryview) -> Iterator[memoryview]:
    at = _XERIAL_HEADER
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4], "big")
        at += 4
        if size > len(packed) - at:
            raise Damaged("snappy ends in the middle")
        yield packed[at : at + size]
        at += size


def _snappy_length(block: memoryview) -> int:
    """The size that a block says it unpacks to; the library refuses one that is not true."""
    length = 0
    for shift, byte in enumerate(block[:5]):
        length |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return length
    raise Damaged("snappy says no length")


_CODECS: dict[int, tuple[str, Callable[[memoryview, int], Iterator[bytes]]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _lz4),
    4: ("zstd", _zstd),
}
