"""Writing very many texts, and knowing after any crash which of them are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hurnet_stream.ports.record import Headers


@dataclass(frozen=True, slots=True)
class Texts:
    """Records that are written together, as columns. `keys` and `timestamps_ms` are as long as `values`, or
    empty if no record has one."""

    values: Sequence[bytes]
    keys: Sequence[bytes | None] = ()
    timestamps_ms: Sequence[int | None] = ()
    headers: Headers = ()

    def part(self, first: int, last: int) -> Texts:
        """Those from `first` to before `last`."""
        cut = slice(first, last)
        return Texts(self.values[cut], self.keys[cut], self.timestamps_ms[cut], self.headers)


class Backfill(Protocol):
    """A producer of many texts."""

    def resume(self) -> str:
        """End what an earlier run of the same job has left under way, and return the note beside the last
        texts that it has written; "" if it has written none, or if the job keeps no note."""

    def write(self, texts: Texts, note: Callable[[Mapping[int, int]], str]) -> Mapping[int, int]:
        """Write the texts and keep the note, together or not at all. Returns by partition the offset of the
        last text, of which `note` makes the note.

        Raises `Superseded` if the same job runs elsewhere, `TransientError` if it is not known whether they
        were written: `resume` will tell.
        """

    def close(self) -> None:
        """Release every connection."""
