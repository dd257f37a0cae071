"""The loop: turns, retries, drains, and gives up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from hurnet_stream.errors import (
    ForeignLog,
    HurnetError,
    KafkaFailing,
    KafkaRefuses,
    RedisFailing,
    RedisRefuses,
    StoreGap,
    StoreReplaced,
    TransientError,
)
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.runtime import loop as loop_module
from hurnet_stream.runtime.loop import GaveUp, Loop
from hurnet_stream.runtime.trouble import Trouble
from hurnet_stream.settings.settings import LifecycleSettings
from hurnet_stream.wiring.pages import pages

QUICK = LifecycleSettings(retry_first=0.001, retry_most=0.002)


class Scripted:
    """Does what its script says, a step each, then asks to be stopped."""

    name = "scripted"

    def __init__(self, script: list[Exception | None]) -> None:
        self.script = script
        self.calls: list[str] = []
        self.stop: Callable[[], None] = lambda: None

    def step(self) -> None:
        self.calls.append("step")
        if not self.script:
            self.stop()
        elif error := self.script.pop(0):
            raise error

    def unready(self) -> list[str]:
        return []

    def standing(self) -> str:
        return "reading a script"

    def drain(self) -> None:
        self.calls.append("drain")

    def close(self) -> None:
        self.calls.append("close")


def _run(worker: Scripted, settings: LifecycleSettings = QUICK) -> Loop:
    loop = Loop(lambda: worker, settings, ProcessMetrics())
    worker.stop = loop.stop
    loop.run()
    return loop


def test_it_turns_then_drains_then_closes() -> None:
    worker = Scripted([None, None])
    _run(worker)
    assert worker.calls == ["step", "step", "step", "drain", "close"]


def test_it_has_started_once_a_first_turn_has_ended_even_badly_and_not_by_a_beat() -> None:
    seen: list[int] = []

    class Watching(Scripted):
        def step(self) -> None:
            loop.beat()
            seen.append(pages(loop, ProcessMetrics(), 30)["/startz"]("")[0])
            super().step()

    worker = Watching([TransientError("away")])
    loop = Loop(lambda: worker, QUICK, ProcessMetrics())
    worker.stop = loop.stop
    loop.run()
    assert seen == [503, 200]


def test_transient_errors_are_tried_again() -> None:
    worker = Scripted([TransientError("away"), TransientError("away"), None])
    loop = _run(worker)
    assert worker.calls.count("step") == 4
    assert loop.unready() == []


def test_transient_errors_in_building_are_tried_again() -> None:
    worker = Scripted([])
    failures = [TransientError("no broker"), TransientError("no broker")]

    def build() -> Scripted:
        if failures:
            raise failures.pop()
        return worker

    loop = Loop(build, QUICK, ProcessMetrics())
    worker.stop = loop.stop
    loop.run()
    assert worker.calls == ["step", "drain", "close"]


def test_it_gives_up_after_a_while_without_success() -> None:
    worker = Scripted([TransientError("the store is away")] * 10_000)
    with pytest.raises(GaveUp, match="the store is away"):
        _run(worker, QUICK.model_copy(update={"give_up": 0.2}))
    assert worker.calls[-1] == "close"
    assert "drain" not in worker.calls


def test_other_errors_end_it_at_once_and_still_close() -> None:
    worker = Scripted([StoreGap("gone")])
    with pytest.raises(StoreGap):
        _run(worker)
    assert worker.calls == ["step", "close"]


def test_stopping_wakes_it_from_a_long_wait() -> None:
    class Stopped(Scripted):
        def step(self) -> None:
            threading.Timer(0.05, loop.stop).start()
            super().step()

    worker = Stopped([TransientError("away")] * 3)
    settings = LifecycleSettings(retry_first=60, retry_most=60)
    loop = Loop(lambda: worker, settings, ProcessMetrics())
    loop.run()
    assert worker.calls == ["step", "drain", "close"]


def test_it_is_unready_while_failing() -> None:
    seen: list[list[str]] = []
    worker = Scripted([TransientError("away")])
    loop = Loop(lambda: worker, QUICK, ProcessMetrics())
    assert loop.unready() == ["starting"]

    def look_then_stop() -> None:
        seen.append(loop.unready())
        loop.stop()

    worker.stop = look_then_stop
    loop.run()
    assert "failing" in seen[0][0]


def test_what_fails_is_told_with_its_words_and_since_when() -> None:
    trouble = Trouble(ProcessMetrics())
    assert trouble.reason() is None
    trouble.goes_on(KafkaFailing("no broker answers"))
    assert trouble.reason() == "Kafka failing for 0 s: no broker answers"
    trouble.goes_on(RedisFailing("it is full"))
    assert trouble.reason() == "Redis failing for 0 s: it is full"
    trouble.over()
    assert trouble.reason() is None


def test_a_long_failure_is_two_lines_in_the_log() -> None:
    trouble = Trouble(ProcessMetrics())
    with capture_logs() as lines:
        for _ in range(50):
            trouble.goes_on(KafkaFailing("no broker answers"))
        trouble.over()
        trouble.over()
    assert [line["event"] for line in lines] == [
        "Kafka is failing; trying again until it is back",
        "Kafka is back",
    ]
    assert lines[1]["failures"] == 50


def test_failures_are_counted_by_what_failed() -> None:
    metrics = ProcessMetrics()
    trouble = Trouble(metrics)
    for error in (KafkaFailing("a"), KafkaFailing("b"), TransientError("c")):
        trouble.goes_on(error)
    shown = metrics.exposition().decode()
    assert 'hurnet_transient_errors_total{dependency="kafka",kind="KafkaFailing"} 2.0' in shown
    assert 'hurnet_transient_errors_total{dependency="none",kind="TransientError"} 1.0' in shown


def test_turns_are_counted_also_those_that_fail() -> None:
    assert _run(Scripted([TransientError("away"), None])).turns == 3


STRANGERS = [
    StoreReplaced("another store"),
    ForeignLog("another Kafka"),
    KafkaRefuses("a wrong password"),
    RedisRefuses("a wrong password"),
]
"""What tells a worker that a server is not, or no longer, its own."""


@pytest.mark.parametrize("error", STRANGERS)
def test_a_worker_whose_servers_are_others_now_is_built_anew(error: HurnetError) -> None:
    first, second = Scripted([None, error]), Scripted([None])
    built: list[Scripted] = []

    def build() -> Scripted:
        built.append([first, second][len(built)])
        return built[-1]

    loop = Loop(build, QUICK, ProcessMetrics())
    second.stop = loop.stop
    loop.run()
    assert built == [first, second]
    assert first.calls == ["step", "step", "close"]
    assert second.calls == ["step", "step", "drain", "close"]


@pytest.mark.parametrize("error", STRANGERS)
def test_servers_that_never_were_its_own_end_it(error: HurnetError) -> None:
    def build() -> Scripted:
        raise error

    with pytest.raises(type(error)):
        Loop(build, QUICK, ProcessMetrics()).run()


def test_a_store_that_is_another_by_the_time_of_draining_spoils_no_stop() -> None:
    class Surprised(Scripted):
        def drain(self) -> None:
            raise StoreReplaced("another store")

    worker = Surprised([None])
    _run(worker)
    assert worker.calls[-1] == "close"


def test_a_long_build_is_alive_as_long_as_it_may_take_and_a_long_step_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: list[bool] = []
    now = [100.0]
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def look(seconds: float) -> None:
        now[0] += seconds
        alive.append(loop.alive(stall_s=0.05))

    class Slow(Scripted):
        def step(self) -> None:
            look(0.0)  # the time of the build does not count
            look(0.1)
            loop.beat()
            look(0.0)
            loop.stop()

    def build() -> Slow:
        look(0.1)
        return Slow([])

    loop = Loop(build, QUICK, ProcessMetrics())
    loop.run()
    assert alive == [True, True, False, True]


def test_a_ready_worker_says_its_role_and_what_it_does() -> None:
    bodies: list[bytes] = []

    class Asked(Scripted):
        def step(self) -> None:
            bodies.append(pages(loop, ProcessMetrics(), 30.0)["/readyz"]("")[2])
            loop.stop()

    loop = Loop(lambda: Asked([]), QUICK, ProcessMetrics())
    loop.run()
    assert bodies == [b"ok: scripted, reading a script\n"]
