"""Shards and positions: numbers for partitions of several topics and for the chunks of their records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core import places
from hurnet_stream.core.places import Topics
from hurnet_stream.ports import Record

NUMBERS = st.integers(0, places.NUMBERS_MOST - 1)
PARTITIONS = st.integers(0, places.PARTITIONS_MOST - 1)
OFFSETS = st.integers(0, 2**53 - 1)
CHUNKS = st.integers(0, places.CHUNKS_MOST - 1)


@given(NUMBERS, PARTITIONS)
def test_a_shard_tells_its_topic_and_partition_and_fits_into_31_bits(number: int, partition: int) -> None:
    shard = places.shard_of(number, partition)
    assert (places.number_of(shard), places.partition_of(shard)) == (number, partition)
    assert shard < 2**31


@given(st.integers(0, places.PARTITIONS_MOST - 1), st.integers(-1, 2**63 - 1))
def test_in_shards_of_texts_positions_are_offsets(shard: int, offset: int) -> None:
    assert places.first_position(shard, offset) == places.last_position(shard, offset) == offset
    assert places.offset_of(shard, offset) == offset
    assert places.chunk_of(shard, offset) == 0


@given(st.integers(places.PARTITIONS_MOST, 2**31 - 1), OFFSETS, CHUNKS)
def test_elsewhere_positions_tell_record_and_chunk_in_the_order_of_both(
    shard: int, offset: int, chunk: int
) -> None:
    first, last = places.first_position(shard, offset), places.last_position(shard, offset)
    position = first + chunk
    assert (places.offset_of(shard, position), places.chunk_of(shard, position)) == (offset, chunk)
    assert places.last_position(shard, offset - 1) < first <= position < last < 2**63


@given(st.integers(places.PARTITIONS_MOST, 2**31 - 1), OFFSETS)
def test_there_are_512_positions_between_two_records_for_what_no_record_says(shard: int, offset: int) -> None:
    watermark, steps = places.last_position(shard, offset), 0
    while (free := places.free_position(shard, watermark)) is not None:
        assert places.offset_of(shard, free) == offset
        watermark, steps = free, steps + 1
    assert (steps, watermark) == (512, places.first_position(shard, offset + 1) - 1)
    assert places.free_position(0, offset) is None
    assert places.free_position(shard, -1) is None


@pytest.mark.parametrize(("number", "partition"), [(-1, 0), (0, -1), (1 << 15, 0), (0, 65_536)])
def test_what_has_no_shard_is_refused(number: int, partition: int) -> None:
    with pytest.raises(ValueError, match="too many"):
        places.shard_of(number, partition)


def test_topics_are_known_by_name_and_by_shard() -> None:
    topics = Topics({"texts": 0, "tickets": 2})
    assert topics.shard("texts", 3) == 3
    assert topics.shard("tickets", 3) == 2 * 65_536 + 3
    assert topics.name(2 * 65_536 + 3) == "tickets"
    assert topics.name(65_536) is None
    assert topics.shard("faq", 0) is None
    assert topics.shard("texts", 65_536) is None
    assert Topics.only("t").numbers == {"t": 0}


def test_a_record_knows_its_shard_and_positions() -> None:
    record = Record("tickets", 3, 41, 0, None, b"", number=1)
    assert (record.shard, record.first_position, record.last_position) == (65_539, 41_984, 42_495)
    assert record.coordinates == "tickets/3/41"
