"""Which records of a partition are done, if they are not done in their order.

Kafka commits one offset per partition, and a string beside it, here called a note. The offset is the lowest
that is not done. The note says which of those behind it are done: all before an end, except those it names.

    records       5      6      7      8      9
                  done   open   done   open   not read yet
    committed     offset 6, note: 6 and 8 are open, the end is 9

The note repeats the committed offset, so that one is noticed that does not belong to its offset: a tool that
moves offsets may keep the note.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_NOTE = 4_096
"""Characters that a broker takes beside an offset (offset.metadata.max.bytes)."""
MAX_DIGITS = 19
"""The digits of Kafka's largest offset, 2^63 - 1."""
_MARK = "hurnet1"
_MAX_VARINT = 9  # bytes: 63 bits


@dataclass(frozen=True, slots=True)
class Done:
    """All records before `end` are done, except those at the ascending offsets `open`. `log` is the UUID of
    the topic of which this is true; empty if it is not known."""

    end: int
    open: tuple[int, ...] = ()
    log: str = ""

    @property
    def next(self) -> int:
        """The lowest offset that is not done, which is the one to commit."""
        return self.open[0] if self.open else self.end

    def covers(self, offset: int) -> bool:
        """Whether the record at `offset` is done."""
        return offset < self.end and offset not in self.open

    def until(self, end: int) -> Done:
        """What of this is true of a log that has been cut off at `end`."""
        return Done(min(self.end, end), tuple(offset for offset in self.open if offset < end), self.log)

    def since(self, first: int) -> Done:
        """What of this is true of a log that begins at `first` by now: all before it is done."""
        return Done(max(self.end, first), tuple(offset for offset in self.open if offset >= first), self.log)

    def note(self) -> str:
        """The note to commit beside `next`; empty if there is nothing to say."""
        if not self.open:
            return f"{_MARK} {self.log}" if self.log else ""
        steps = [b - a for a, b in zip(self.open, (*self.open[1:], self.end), strict=True)]
        packed = b"".join(map(_varint, (self.open[0], *steps)))
        return f"{_MARK} {self.log} {base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


def read(offset: int, note: str | None) -> Done:
    """What a committed `offset` and the note beside it say. Raises ValueError for a note that no responder
    wrote, that is damaged, or that belongs to another offset."""
    if not note:
        return Done(offset)
    mark, _, rest = note.partition(" ")
    log, _, packed = rest.partition(" ")
    if mark != _MARK or len(note) > MAX_NOTE:
        raise ValueError("it was not written by a responder")
    if not packed:
        return Done(offset, log=log)
    first, *steps = _numbers(packed)
    if first != offset:
        raise ValueError(f"it belongs to offset {first}")
    if not steps or 0 in steps:
        raise ValueError("it is damaged")
    ends = [first]
    for step in steps:
        ends.append(ends[-1] + step)
    return Done(ends[-1], tuple(ends[:-1]), log)


def spelled(offsets: Mapping[int, int]) -> str:
    """Offsets by partition, as in "0:15 2:7"."""
    return " ".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))


def parse_offsets(text: str) -> dict[int, int]:
    """What `spelled` wrote. Raises ValueError for anything else."""
    pairs = [part.partition(":") for part in text.split()]
    if not all(is_number(number) for left, _, right in pairs for number in (left, right)):
        raise ValueError("these are no offsets by partition")
    return {int(partition): int(offset) for partition, _, offset in pairs}


def _numbers(packed: str) -> list[int]:
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    except (binascii.Error, ValueError):
        raise ValueError("it is damaged") from None
    return list(_varints(raw))


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have the highest bit set."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        if shift >= 7 * _MAX_VARINT:
            raise ValueError("it is damaged")
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
    if shift or not raw:
        raise ValueError("it is damaged")


def is_number(text: str) -> bool:
    """Whether `text` may be a partition or an offset. `int` is no test: it takes the digits of any script,
    and raises ValueError for more than 4,300 of them."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
