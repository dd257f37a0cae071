"""Record batches as we write them, beside kafka-python's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.partitioner.default import murmur2 as one_by_one
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from hurnet_stream.adapters.kafka.writing.packed import packed, packed_headers, varint
from hurnet_stream.adapters.kafka.writing.packing import BATCH_BYTES, batches, hand_over_texts
from hurnet_stream.adapters.kafka.writing.partitions import murmur2, partitions_of
from hurnet_stream.ports import Texts

KEYS = st.none() | st.binary(max_size=70)
RECORDS = st.lists(st.tuples(st.binary(max_size=200), KEYS, st.integers(0, 2**42)), min_size=1, max_size=40)
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple)


def theirs(records: Any, headers: Any) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 30)
    for number, (value, key, at) in enumerate(records):
        builder.append(number, at, key, value, list(headers))
    return bytes(builder._buffer[DefaultRecordBatch.HEADER_STRUCT.size :])


@given(RECORDS, HEADERS)
def test_many_records_are_written_as_one_by_one(records: Any, headers: Any) -> None:
    values, keys, times = map(list, zip(*records, strict=True))
    deltas = [at - times[0] for at in times]
    assert packed(values, keys, deltas, packed_headers(headers)) == theirs(records, headers)
    bare = [(value, None, times[0]) for value in values]
    assert packed(values, (), (), packed_headers(headers)) == theirs(bare, headers)


def test_numbers_beyond_the_table() -> None:
    assert [varint(n).hex() for n in (0, -1, 1, 63, 64, 300, -(2**31))] == [
        *("00", "01", "02", "7e", "8001", "d804", "ffffffff0f")
    ]
    values = [b"x" * 70_000]
    assert packed(values, (), (), b"\0") == theirs([(values[0], None, 0)], ())


@given(st.lists(st.binary(max_size=40), max_size=50))
def test_keys_are_hashed_as_kafka_does(keys: list[bytes]) -> None:
    assert murmur2(keys).tolist() == [one_by_one(key) for key in keys]
    assert partitions_of(keys, 3).tolist() == [(one_by_one(key) & 0x7FFFFFFF) % 3 for key in keys]


@given(st.lists(st.integers(0, BATCH_BYTES), max_size=12))
def test_batches_hold_everything_in_order_and_are_small_enough(sizes: list[int]) -> None:
    texts = Texts([bytes(size) for size in sizes], [None] * len(sizes), list(range(len(sizes))))
    cut = list(batches(texts))
    assert [at for batch in cut for at in batch.timestamps_ms] == list(range(len(sizes)))
    assert all(sum(map(len, b.values)) <= BATCH_BYTES or len(b.values) == 1 for b in cut)


class Taken:
    """Takes batches in the place of kafka-python's accumulator."""

    def __init__(self, monkeypatch: Any) -> None:
        self.batches: list[tuple[TopicPartition, int]] = []
        monkeypatch.setattr(
            "hurnet_stream.adapters.kafka.writing.packing.internals.hand_over_batch",
            lambda _, at, _records, count, _times: self.batches.append((at, count)),
        )


def test_texts_without_a_key_are_shared_out_and_those_with_one_stay_together(monkeypatch: Any) -> None:
    taken = Taken(monkeypatch)
    hand_over_texts(SimpleNamespace(), "texts", Texts([b"x"] * 4_000), [0, 1, 2, 3])
    assert sorted((at.partition, count) for at, count in taken.batches) == [(p, 1_000) for p in range(4)]
    taken.batches.clear()
    hand_over_texts(SimpleNamespace(), "texts", Texts([b"x"] * 10, [b"k"] * 10), [0, 1, 2, 3])
    assert taken.batches == [(TopicPartition("texts", int(partitions_of([b"k"], 4)[0])), 10)]
