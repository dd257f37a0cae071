"""Queries that wait: for what they ask to see, no longer than may be, and without holding up others."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from hurnet_stream.core.offsets import Done
from hurnet_stream.ports import EndOffsets, Record
from hurnet_stream.responder.ends import Ends
from hurnet_stream.responder.pending_queries import PendingQueries


def _record(
    offset: int, partition: int = 0, headers: tuple[tuple[str, bytes], ...] = (), **fields: object
) -> Record:
    value = json.dumps({"text": "hi", **fields}).encode()
    return Record("queries", partition, offset, 0, None, value, headers)


def _offsets(
    pending: PendingQueries, watermarks: dict[int, int], now: float = 0.0, most: int = 10
) -> list[int]:
    return [p.record.offset for p in pending.take(dict(watermarks.items()), now, most)]


def test_a_query_waits_for_its_watermarks_and_holds_up_nobody() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([_record(0), _record(1, min_watermarks={"3": 7}), _record(2)], now=0.0)
    pending.add([_record(50, partition=1)], now=0.0)
    assert _offsets(pending, {3: 6}) == [0, 2, 50]
    assert pending.partitions() == frozenset()
    assert pending.parked == 1
    assert _offsets(pending, {3: 6}) == []
    assert _offsets(pending, {3: 7}) == [1]
    assert len(pending) == 0


def test_a_query_that_waited_too_long_is_taken_with_what_it_lacks() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add(
        [_record(0, min_watermarks={"3": 7}), _record(1, min_watermarks={"3": 7}, timeout_ms=100)], now=0.0
    )
    assert _offsets(pending, {}, now=0.05) == []
    assert _offsets(pending, {}, now=0.1) == [1]
    (taken,) = pending.take({3: 2}, now=5.0, most=10)
    assert taken.record.offset == 0
    assert taken.watermarks_not_reached({3: 2}) == {3: 7}


def test_the_setting_is_a_ceiling_for_the_querys_own_time_out() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([_record(0, min_watermarks={"3": 7}, timeout_ms=60_000)], now=0.0)
    assert _offsets(pending, {}, now=4.9) == []
    assert _offsets(pending, {}, now=5.0) == [0]


def _ends(asked: float, **written: int) -> Ends:
    ends = {int(name[1:]): end for name, end in written.items()}
    return Ends({None: EndOffsets(asked, ends, ends)}, asked)


def _reason(pending: PendingQueries, now: float, ends: Ends | None) -> str | None:
    taken = pending.take({}, now, 10, ends)
    return taken[0].in_vain if taken else None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"9": 1}, "no partition 9"),
        ({"3": 7}, "ends before offset 7"),
        ({"3": 2**62}, "ends before offset 7"),
    ],
)
def test_what_cannot_come_is_answered_at_once(wanted: dict[str, int], said: str) -> None:
    ends = _ends(10.0, p3=7)
    pending = PendingQueries(wait_s=5)
    pending.add([_record(0, min_watermarks=wanted)], now=10.0)
    assert said in (_reason(pending, 10.0, ends) or "")
    pending.add([_record(1, min_watermarks=wanted)], now=10.1)
    assert _reason(pending, 10.1, None) is None
    assert pending.unsure
    assert _reason(pending, 10.2, ends) is None, "asked before the query was read: it may have come since"
    assert said in (_reason(pending, 10.3, _ends(10.25, p3=7)) or "")
    assert len(pending) == 0


def test_what_can_come_waits_whenever_the_end_was_asked_for() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([_record(0, min_watermarks={"3": 6})], now=10.0)
    assert _offsets(pending, {}, 10.0) == []
    assert pending.unsure
    pending.take({}, 10.1, 10, _ends(1.0, p3=7))
    assert not pending.unsure
    assert _offsets(pending, {3: 6}, 10.2) == [0]


def test_so_many_wait_and_no_more_and_nobody_else_waits_for_them() -> None:
    pending = PendingQueries(wait_s=5, most_parked=3)
    pending.add([_record(offset, min_watermarks={"3": 7}) for offset in range(5)], now=0.0)
    pending.add([_record(5)], now=0.0)
    taken = pending.take({}, 0.0, 10)
    assert [p.record.offset for p in taken] == [3, 4, 5]
    assert [bool(p.in_vain) for p in taken] == [True, True, False]
    assert _offsets(pending, {3: 7}) == [0, 1, 2]


def test_so_many_bytes_wait_and_no_more() -> None:
    pending = PendingQueries(wait_s=5, most_bytes=3_000)
    long = "x" * 1_000
    for _ in range(3):  # what is counted is given back
        pending.add([_record(offset, min_watermarks={"3": 7}, text=long) for offset in range(4)], now=0.0)
        assert _offsets(pending, {}) == [2, 3]
        pending.drop([0])
    pending.add([_record(0, min_watermarks={"3": 7, "4": 1}, text=long)], now=0.0)
    assert _offsets(pending, {3: 7}) == []
    assert _offsets(pending, {3: 7, 4: 1}) == [0]
    assert pending._parking._bytes == 0


def test_those_that_wake_up_leave_room_for_those_behind_them() -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([_record(offset, min_watermarks={"3": 7}) for offset in range(6)], now=0.0)
    assert _offsets(pending, {}) == []
    pending.add([_record(offset) for offset in range(6, 9)], now=0.0)
    assert _offsets(pending, {3: 7}, most=4) == [0, 1, 6, 7]
    assert _offsets(pending, {3: 7}, most=4) == [2, 3, 8]
    assert _offsets(pending, {3: 7}, most=4) == [4, 5]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_partition_that_is_flooded_does_not_starve_the_others(most: int) -> None:
    pending = PendingQueries(wait_s=5)
    offsets = iter(range(10**6))
    pending.add([_record(0, partition=1), _record(1, partition=1, min_watermarks={"3": 7})], now=0.0)
    seen: set[int] = set()
    for turn in range(8):
        flood = [_record(o, min_watermarks={"3": o % 2 * turn}) for o in (next(offsets), next(offsets)) * 2]
        pending.add([replace(record, offset=next(offsets)) for record in flood], now=0.0)
        taken = pending.take({3: turn}, 0.0, most)
        pending.settle(taken)
        seen |= {p.record.offset for p in taken if p.record.partition == 1}
    assert 0 in seen
    for _ in range(8):
        pending.add([_record(next(offsets), min_watermarks={"3": 7}) for _ in range(4)], now=0.0)
        taken = pending.take({3: 7}, 0.0, most)
        pending.settle(taken)
        seen |= {p.record.offset for p in taken if p.record.partition == 1}
    assert seen == {0, 1}


def test_what_is_done_is_committed_as_the_lowest_that_is_not_and_those_beyond_it() -> None:
    pending = PendingQueries(wait_s=5)
    pending.resume(0, Done(10))
    pending.add(
        [_record(o, min_watermarks={"3": 7} if o in (11, 14) else {}) for o in range(10, 16)], now=0.0
    )
    taken = pending.take({}, 0.0, 10)
    assert [p.record.offset for p in taken] == [10, 12, 13, 15]
    assert pending.done(taken[:2]) == {0: Done(13, (11,))}
    assert pending.done(taken) == {0: Done(16, (11, 14))}
    pending.settle(taken)
    (last, first) = reversed(pending.take({3: 7}, 0.0, 10))
    assert pending.done([last]) == {0: Done(16, (11,))}
    assert pending.done([first]) == {0: Done(16, (14,))}
    assert pending.done([first, last]) == {0: Done(16)}


def test_a_successor_goes_on_with_those_that_are_not_done() -> None:
    pending = PendingQueries(wait_s=5)
    pending.resume(0, Done(16, (11, 14), "log"))
    pending.add([_record(o) for o in (11, 12)], now=0.0)  # 13 is a hole
    (taken,) = pending.take({}, 0.0, 10)
    assert pending.done([taken]) == {0: Done(16, (14,), "log")}
    pending.settle([taken])
    pending.add([_record(o) for o in (14, 15, 16, 17)], now=0.0)
    assert _offsets(pending, {}) == [14, 16, 17]


@pytest.mark.parametrize(
    ("asked_ms_ago", "timeout_ms", "late"),
    [
        (10_000, 2_000, True),
        (2_500, 2_000, True),
        (1_500, 100, True),
        (900, 100, False),  # two machines' clocks
        (10_000, 20_000, False),
        (10_000, None, False),
        (-5_000, 100, False),
        (-(10**12), 100, False),
    ],
)
def test_a_question_older_than_its_own_time_out_is_answered_so_at_once(
    asked_ms_ago: int, timeout_ms: int | None, late: bool
) -> None:
    pending = PendingQueries(wait_s=5)
    record = replace(_record(0, timeout_ms=timeout_ms), timestamp_ms=round(time.time() * 1000) - asked_ms_ago)
    pending.add([record], now=0.0)
    (taken,) = pending.take({}, 0.0, 10)
    assert bool(taken.in_vain) is late


@pytest.mark.parametrize("timestamp_ms", [0, -1, 1, 1_700_000_000, 1_700_000_000_000_000, 4_102_444_800_000])
def test_a_timestamp_that_says_nothing_makes_no_question_too_old(timestamp_ms: int) -> None:
    pending = PendingQueries(wait_s=5)
    pending.add([replace(_record(0, timeout_ms=1), timestamp_ms=timestamp_ms)], now=0.0)
    (taken,) = pending.take({}, 0.0, 10)
    assert taken.in_vain is None


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
    assert [p.record.partition for p in pending.take({3: 7}, 0.0, 10)] == [1]


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
