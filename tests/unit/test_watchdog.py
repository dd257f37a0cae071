"""Processes that really hang, each in its own way, end by themselves and say where they were."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from hurnet_stream.exit_codes import STUCK

PROGRAM = """
import sys, threading, time
from hurnet_stream.runtime.logs import configure
from hurnet_stream.runtime.loop import Loop
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.settings.settings import LifecycleSettings, LogSettings
from hurnet_stream.runtime.watchdog import Watchdog

configure(LogSettings(format="json"), "ingest")
turns = 0

class Worker:
    def step(self):
        global turns
        turns += 1
        time.sleep(0.2)
        password = "s3cret-" + "in-a-variable"
        if turns == 8:
            {hang}
        if turns == 12:
            loop.stop()
    name = "test"
    def unready(self): return []
    def standing(self): return "reading"
    def drain(self): ...
    def close(self): ...

def build():
    {build}
    return Worker()

settings = LifecycleSettings(hang={seconds}, start=30)
loop = Loop(build, settings, ProcessMetrics())
watchdog = Watchdog(lambda: loop.turns, settings)
loop.run()
watchdog.close()
"""


def run(hang: str, build: str = "pass", seconds: float = 1.5) -> subprocess.CompletedProcess[str]:
    program = textwrap.dedent(PROGRAM).format(hang=hang, build=build, seconds=seconds)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("hang", ["threading.Event().wait()", "exec('while True: pass')"])
def test_a_loop_that_hangs_is_ended_with_its_stacks(hang: str) -> None:
    ended = run(hang)
    assert ended.returncode == STUCK
    (line,) = [json.loads(line) for line in ended.stderr.splitlines() if "not turned" in line]
    assert line["level"] == "critical"
    assert any(" step" in frame for frame in line["stacks"]["MainThread"])
    assert "s3cret" not in ended.stderr


def test_a_loop_that_turns_is_left_alone() -> None:
    ended = run("pass")
    assert ended.returncode == 0
    assert "not turned" not in ended.stderr


def test_a_long_start_is_left_alone() -> None:
    assert run("pass", build="time.sleep(4)").returncode == 0


def test_a_hang_that_keeps_the_interpreter_is_ended_too() -> None:
    """A regular expression that never ends lets no other thread run."""
    program = "import hurnet_stream.runtime.watchdog as w; w._GRACE_S = 2.0; import re\n" + textwrap.dedent(
        PROGRAM
    )
    hang = "re.match(r'(a|a)*b', 'a' * 60)"
    text = program.format(hang=hang, build="pass", seconds=1.5)
    ended = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert "in step" in ended.stderr
