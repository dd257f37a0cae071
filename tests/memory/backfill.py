"""A backfill into lists, which can fail before a block is written, or after."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hurnet_stream.errors import KafkaFailing
from hurnet_stream.ports import Texts

Record = tuple[bytes, bytes | None, int | None]


class MemoryBackfill:
    """What is written is numbered over two partitions. Notes are kept if it `keeps` them."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.records: list[Record] = []
        self.headers: list[object] = []
        self.note = ""
        self.keeps = keeps
        self.blocks = 0
        self.resumed = 0
        self.fails: dict[int, str] = {}
        """By the number of a block: "before" or "after" it is written."""

    def resume(self) -> str:
        self.resumed += 1
        return self.note if self.keeps else ""

    def write(self, texts: Texts, note: Callable[[Mapping[int, int]], str]) -> Mapping[int, int]:
        self.blocks += 1
        how = self.fails.get(self.blocks, "")
        if how == "before":
            raise KafkaFailing("the broker is away")
        keys = texts.keys or [None] * len(texts.values)
        times = texts.timestamps_ms or [None] * len(texts.values)
        self.records += zip(texts.values, keys, times, strict=True)
        self.headers += [texts.headers] * len(texts.values)
        ends = {partition: (len(self.records) - 1 - partition) // 2 for partition in (0, 1)}
        self.note = note(ends)
        if how == "after":
            raise KafkaFailing("nobody knows whether it was written")
        return ends

    def close(self) -> None: ...
