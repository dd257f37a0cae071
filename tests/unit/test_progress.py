"""Readiness: a rebalance in passing is no reason, a silent stall is."""

from __future__ import annotations

import pytest

from hurnet_stream.runtime import progress
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.settings import MetricsSettings


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def watched(clock: Clock) -> Progress:
    return Progress(MetricsSettings(stall=30, ready_lag=100))


def test_it_is_unready_until_it_has_its_share(watched: Progress) -> None:
    assert watched.unready() == ["the consumer group has given it no share of the partitions"]
    watched.turn(has_share=True, behind=0, moved=0)
    assert watched.unready() == []


def test_a_rebalance_in_passing_leaves_it_ready_but_a_lasting_loss_does_not(
    watched: Progress, clock: Clock
) -> None:
    watched.turn(has_share=True, behind=0, moved=0)
    clock.now += 29
    watched.turn(has_share=False, behind=0, moved=0)
    assert watched.unready() == []
    clock.now += 2
    watched.turn(has_share=False, behind=0, moved=0)
    assert watched.unready() == ["the consumer group has given it no share of the partitions"]


def test_far_behind_is_unready_even_while_it_moves(watched: Progress) -> None:
    watched.turn(has_share=True, behind=101, moved=50)
    assert watched.unready() == ["101 behind"]


def test_behind_and_not_moving_is_a_stall_but_idle_is_not(watched: Progress, clock: Clock) -> None:
    watched.turn(has_share=True, behind=5, moved=1)
    clock.now += 31
    watched.turn(has_share=True, behind=5, moved=0)
    assert "not moving for 31 s" in watched.unready()[0]
    watched.turn(has_share=True, behind=4, moved=1)
    assert watched.unready() == []
    clock.now += 1_000
    watched.turn(has_share=True, behind=0, moved=0)
    assert watched.unready() == []


def _partition(watched: Progress, lag: int | None, moved: bool = False, held: int = 0) -> list[str]:
    """Partition 1 is told of, and partition 0 does well."""
    known = {0: 0} if lag is None else {0: 0, 1: lag}
    watched.turn(has_share=True, behind=sum(known.values()), moved=1)
    watched.partitions({0, 1}, known, {1: held} if held else {}, {1} if moved else ())
    return watched.unready()


def test_one_partition_that_does_not_move_is_a_stall_whatever_the_others_do(
    watched: Progress, clock: Clock
) -> None:
    assert _partition(watched, 5) == []
    clock.now += 31
    assert _partition(watched, 5) == ["partition 1: 5 behind and not moving for 31 s"]
    assert _partition(watched, 5, moved=True) == []
    clock.now += 31
    assert _partition(watched, 9, held=4) == [
        "partition 1: 9 behind (4 of them in a transaction that is still open) and not moving for 31 s"
    ]
    assert _partition(watched, 0) == []


def test_records_that_never_come_are_no_stall(watched: Progress, clock: Clock) -> None:
    """Those of aborted transactions, and what compaction took: the position moves on without records."""
    for lag in (90, 60, 30, 10, 0, 0):
        assert _partition(watched, lag) == []
        clock.now += 20


def test_not_to_know_for_long_is_unready(watched: Progress, clock: Clock) -> None:
    assert _partition(watched, 0) == []
    clock.now += 29
    assert _partition(watched, None) == []
    clock.now += 2
    assert _partition(watched, None) == ["partition 1: not known how far behind for 31 s"]
    assert _partition(watched, 0) == []


def test_a_partition_that_was_never_known_is_unready_and_one_that_is_gone_is_forgotten(
    watched: Progress, clock: Clock
) -> None:
    assert _partition(watched, None) == []
    clock.now += 31
    assert len(_partition(watched, None)) == 1
    watched.partitions({0}, {0: 0}, {}, ())
    assert watched.unready() == []
    assert _partition(watched, None) == [], "assigned anew, it has its time"
