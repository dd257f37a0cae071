"""Compressed record batches, unpacked up to a limit.

A few bytes of any of these codecs may claim to be gigabytes. So each codec is a generator of pieces of at
most `_STEP_BYTES` (or says beforehand how large its piece is), and the caller stops it at the limit.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import snappy
import zstandard
from lz4.frame import LZ4FrameDecompressor

from hurnet_stream.adapters.kafka.unpacking.fields import Damaged, TooLarge

_STEP_BYTES = 1 << 18

_XERIAL = b"\x82SNAPPY\x00"
"""Java frames snappy in blocks behind this magic. Two numbers of 4 bytes follow it, a version and a
compatible version, which some producers write with the bytes the wrong way round: they are not looked at."""
_XERIAL_HEADER = len(_XERIAL) + 8
_GZIP = 16 + zlib.MAX_WBITS
"""zlib's way of saying "with gzip's header and trailer"."""


def unpack(codec: int, packed: memoryview, max_bytes: int) -> memoryview:
    """What `packed` holds; `codec` is Kafka's number of its codec.

    Raises `Damaged` if it can't be unpacked, and `TooLarge` beyond `max_bytes`.
    """
    if codec not in _CODECS:
        raise Damaged(f"there is no compression codec of number {codec}")
    name, pieces = _CODECS[codec]
    whole = bytearray()
    try:
        for piece in pieces(packed, max_bytes):
            whole += piece  # at most one piece too much, before the limit is looked at
            if len(whole) > max_bytes:
                raise TooLarge(f"{len(packed)} bytes of {name} unpack to more than {max_bytes}")
    except (Damaged, TooLarge):
        raise
    except Exception as error:  # each library has errors of its own, with no base in common but this
        raise Damaged(f"{name} can't be unpacked: {str(error) or type(error).__name__:.200}") from None
    return memoryview(whole)


def _gzip(packed: memoryview, _max_bytes: int) -> Iterator[bytes]:
    """There may be several streams, one after another."""
    rest: Any = packed
    while rest:
        stream = zlib.decompressobj(_GZIP)
        while not stream.eof:
            piece = stream.decompress(rest, _STEP_BYTES)
            yield piece
            rest = stream.unconsumed_tail
            if not piece and not rest and not stream.eof:
                raise Damaged("gzip ends in the middle")
        rest = stream.unused_data


def _lz4(packed: memoryview, _max_bytes: int) -> Iterator[bytes]:
    """There may be several frames, one after another."""
    rest: Any = packed
    while rest:
        frame: Any = LZ4FrameDecompressor()
        while not frame.eof:
            piece = frame.decompress(rest, max_length=_STEP_BYTES)
            yield piece
            rest = b""  # the frame keeps what it has not read yet
            if not piece and frame.needs_input and not frame.eof:
                raise Damaged("lz4 ends in the middle")
        rest = frame.unused_data or b""


def _zstd(packed: memoryview, _max_bytes: int) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True) as stream:
        while piece := stream.read(_STEP_BYTES):
            yield piece


def _snappy(packed: memoryview, max_bytes: int) -> Iterator[bytes]:
    """Snappy unpacks a block in one go, so what its length says is added up beforehand."""
    blocks = _xerial_blocks(packed) if packed[: len(_XERIAL)] == _XERIAL else iter([packed])
    claimed_bytes = 0
    for block in blocks:
        claimed_bytes += _snappy_length(block)
        if claimed_bytes > max_bytes:
            raise TooLarge(f"{len(packed)} bytes of snappy unpack to more than {max_bytes}")
        yield snappy.uncompress(bytes(block))


def _xerial_blocks(packed: memoryview) -> Iterator[memoryview]:
    """Each block is a length of 4 bytes, and that many bytes of snappy."""
    position = _XERIAL_HEADER
    while position < len(packed):
        size = int.from_bytes(packed[position : position + 4], "big")
        position += 4
        if size > len(packed) - position:
            raise Damaged("snappy ends in the middle")
        yield packed[position : position + size]
        position += size


def _snappy_length(block: memoryview) -> int:
    """The size to which a block says it unpacks (a varint). The library refuses one that has another size."""
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
