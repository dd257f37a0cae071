"""Texts cut into batches for the partitions of a topic, and handed to a producer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import accumulate, repeat
from secrets import randbelow
from typing import Any, Final

import numpy as np
from kafka import TopicPartition

from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.writing.packed import packed, packed_headers
from hurnet_stream.adapters.kafka.writing.partitions import partitions_of
from hurnet_stream.ports import Texts

BATCH_BYTES: Final = 400_000
"""Of the values and keys of a batch. Brokers take a megabyte, unless they are told otherwise."""
BATCH_RECORDS: Final = 10_000
RUN_LEAST: Final = 500
"""Texts without a key go to the partitions in runs of at least as many."""


def hand_over_texts(producer: Any, topic: str, texts: Texts, partitions: list[int]) -> list[Any]:
    """Returns the futures of the batches' last records."""
    headers = packed_headers(texts.headers)
    now_ms = int(time.time() * 1000)
    return [
        _hand_over(producer, TopicPartition(topic, partition), batch, headers, now_ms)
        for partition, of_partition in _shares(texts, partitions)
        for batch in batches(of_partition)
    ]


def _hand_over(producer: Any, at: TopicPartition, texts: Texts, headers: bytes, now_ms: int) -> Any:
    times = [now_ms if at_ms is None else at_ms for at_ms in texts.timestamps_ms]
    first = times[0] if times else now_ms
    deltas = [at_ms - first for at_ms in times]
    records = packed(texts.values, texts.keys, deltas, headers)
    latest = max(times) if times else now_ms
    return internals.hand_over_batch(producer, at, records, len(texts.values), (first, latest))


def _shares(texts: Texts, partitions: list[int]) -> Iterator[tuple[int, Texts]]:
    """What goes to each partition, in order: a keyed text where its key belongs, others by turns."""
    count, first = len(partitions), randbelow(len(partitions))
    total = len(texts.values)
    run = max(RUN_LEAST, -(-total // count))
    if not texts.keys:
        for turn, begin in enumerate(range(0, total, run)):
            yield partitions[(first + turn) % count], texts.part(begin, begin + run)
        return
    keyed = partitions_of([key or b"" for key in texts.keys], count)
    turns = (np.arange(total) // run + first) % count
    chosen = np.where([key is None for key in texts.keys], turns, keyed)
    for index, partition in enumerate(partitions):
        rows = np.flatnonzero(chosen == index).tolist()
        if rows:
            yield partition, _taken(texts, rows)


def _taken(texts: Texts, rows: list[int]) -> Texts:
    times = texts.timestamps_ms
    return Texts(
        [texts.values[row] for row in rows],
        [texts.keys[row] for row in rows],
        [times[row] for row in rows] if times else (),
        texts.headers,
    )


def batches(texts: Texts) -> Iterator[Texts]:
    """The texts cut into parts that brokers take."""
    keys = texts.keys or repeat(None)
    ends = list(accumulate(len(v) + len(key or b"") for v, key in zip(texts.values, keys, strict=False)))
    begin = written = 0
    for index, end in enumerate(ends):
        if index > begin and (end - written > BATCH_BYTES or index - begin >= BATCH_RECORDS):
            yield texts.part(begin, index)
            begin, written = index, ends[index - 1]
    if begin < len(ends):
        yield texts.part(begin, len(ends))
