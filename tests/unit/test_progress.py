"""Readiness: a rebalance in passing is no reason, a silent stall is."""

from __future__ import annotations

import pytest

from workers import progress
from workers.progress import Progress
from workers.settings import MetricsSettings


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


def test_it_is_unready_until_something_is_assigned(watched: Progress) -> None:
    assert watched.unready() == ["nothing is assigned"]
    watched.turn(assigned=True, behind=0, moved=0)
    assert watched.unready() == []


def test_a_rebalance_in_passing_leaves_it_ready_but_a_lasting_loss_does_not(
    watched: Progress, clock: Clock
) -> None:
    watched.turn(assigned=True, behind=0, moved=0)
    clock.now += 29
    watched.turn(assigned=False, behind=0, moved=0)
    assert watched.unready() == []
    clock.now += 2
    watched.turn(assigned=False, behind=0, moved=0)
    assert watched.unready() == ["nothing is assigned"]


def test_far_behind_is_unready_even_while_it_moves(watched: Progress) -> None:
    watched.turn(assigned=True, behind=101, moved=50)
    assert watched.unready() == ["101 behind"]


def test_behind_and_not_moving_is_a_stall_but_idle_is_not(watched: Progress, clock: Clock) -> None:
    watched.turn(assigned=True, behind=5, moved=1)
    clock.now += 31
    watched.turn(assigned=True, behind=5, moved=0)
    assert "not moving for 31 s" in watched.unready()[0]
    watched.turn(assigned=True, behind=4, moved=1)
    assert watched.unready() == []
    clock.now += 1_000
    watched.turn(assigned=True, behind=0, moved=0)
    assert watched.unready() == []
