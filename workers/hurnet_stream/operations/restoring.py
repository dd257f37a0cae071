"""What was deleted since a backup was taken, as far as the topic of texts still says it.

backup taken at watermark 100        a restored store ends at 100
topic holds 80 to 500                101 to 500 are read: what they delete must not come back
topic holds 300 to 500               101 to 299 are gone, and with them the deletions among them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hurnet_schemas import InvalidMessage
from hurnet_stream.core.places import TEXTS, next_record, offset_of
from hurnet_stream.core.stored.batch import Deletion
from hurnet_stream.errors import StoreGap
from hurnet_stream.ports import History, Read


def out_of_reach(history: History, watermarks: Mapping[int, int]) -> list[str]:
    """The stretches behind these watermarks that the topic no longer holds, for people.

    Raises `StoreGap` if the topic ends before a watermark: it is another one, or has lost records.
    """
    ranges, missing = history.offset_ranges(), []
    for partition, watermark in sorted(watermarks.items()):
        held = ranges.get(partition)
        if held is None or held.end <= watermark:
            raise StoreGap(
                f"partition {partition} ends at offset {held.end if held else 0}, and the backup was taken at"
                f" {watermark}: the topic was made anew or lost records. Restore it, and let `hurnet repair`"
                " bring both together"
            )
        if held.first > (needed := next_record(partition, watermark)):
            offsets = offset_of(partition, needed), offset_of(partition, held.first) - 1
            missing.append(f"{partition}/{offsets[0]}-{offsets[1]}")
    return missing


def deletions_since(
    history: History, watermarks: Mapping[int, int], advance: Callable[[int], None], read: Read
) -> Iterator[tuple[int, Deletion]]:
    """The deletions behind these watermarks, with their shard. `advance` is told how many records were read,
    and `read` tells what each says."""
    ranges = history.offset_ranges()
    for partition, watermark in watermarks.items():
        held = ranges[partition]
        first, last = max(held.first, next_record(partition, watermark)), held.end - 1
        for block in history.read(partition, first, last) if first <= last else ():
            for record in block:
                if record.number == TEXTS and record.value is not None:
                    continue  # a text
                try:
                    parsed = read(record)
                except InvalidMessage:
                    continue  # it deletes nothing
                if isinstance(parsed, Deletion):
                    yield partition, parsed
            advance(len(block))
