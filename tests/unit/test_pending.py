"""Queries that wait: in order per partition, for what they ask to see, and no longer than they say."""

from __future__ import annotations

import json

from workers.pending import PendingQueries
from workers.ports import Record


def _record(
    offset: int, partition: int = 0, headers: tuple[tuple[str, bytes], ...] = (), **fields: object
) -> Record:
    value = json.dumps({"text": "hi", **fields}).encode()
    return Record("queries", partition, offset, 0, None, value, headers)


def _offsets(
    pending: PendingQueries, watermarks: dict[int, int], now: float = 0.0, most: int = 10
) -> list[int]:
    return [p.record.offset for p in pending.take(watermarks, now, most)]


def test_a_query_waits_for_its_watermarks_and_holds_up_its_partition_alone() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([_record(0), _record(1, min_watermarks={"3": 7}), _record(2)], now=0.0)
    pending.add([_record(50, partition=1)], now=0.0)
    assert _offsets(pending, {3: 6}) == [0, 50]
    assert pending.partitions() == {0}
    assert _offsets(pending, {3: 6}) == []
    assert _offsets(pending, {3: 7}) == [1, 2]
    assert len(pending) == 0


def test_a_query_that_waited_too_long_is_taken_with_what_it_lacks() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add(
        [_record(0, min_watermarks={"3": 7}), _record(1, min_watermarks={"3": 7}, timeout_ms=100)], now=0.0
    )
    assert _offsets(pending, {}, now=4.9) == []
    taken = pending.take({3: 2}, now=5.0, most=10)
    assert [p.record.offset for p in taken] == [0, 1]
    assert taken[0].lacking({3: 2}) == {3: 7}


def test_undecodable_queries_are_taken_at_once_with_their_reason() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([Record("queries", 0, 9, 0, None, b"\xff")], now=0.0)
    (taken,) = pending.take({}, 0.0, 10)
    assert taken.query is None
    assert taken.rejection
    assert taken.rejection[0] == "not-utf8"


def test_what_is_dropped_is_forgotten() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add(
        [_record(0, min_watermarks={"3": 7}), _record(0, partition=1, min_watermarks={"3": 7})], now=0.0
    )
    pending.drop([0, 5])
    assert pending.partitions() == {1}


def test_no_more_than_asked_for_are_taken() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([_record(offset) for offset in range(5)], now=0.0)
    assert _offsets(pending, {}, most=3) == [0, 1, 2]
    assert _offsets(pending, {}, most=3) == [3, 4]


def test_the_id_is_the_querys_then_the_headers_then_the_coordinates() -> None:
    pending = PendingQueries(wait_s=5)
    header = (("correlation-id", b"c-1"),)
    pending.add([_record(0, headers=header, id="q-1"), _record(1, headers=header), _record(2)], now=0.0)
    assert [p.id for p in pending.take({}, 0.0, 10)] == ["q-1", "c-1", "queries/0/2"]
