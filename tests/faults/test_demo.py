"""The demo as a newcomer runs it: a real Kafka, a real Valkey and real workers, one of which it kills."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from hurnet_stream.demo.telling import COLUMNS


@pytest.mark.timeout(700)
def test_the_demo_keeps_what_it_promises_and_leaves_nothing_behind() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HURNET_")}
    command = [sys.executable, "-m", "hurnet_stream", "demo", "--no-input"]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    assert "kill -9" in told
    assert "Nothing is lost and nothing counts twice" in told
    figures = dict(
        re.findall(r"^   (lost|twice|texts sent|answerable) +([0-9,]+)$", done.stdout, re.MULTILINE)
    )
    assert figures["lost"] == figures["twice"] == "0"
    assert figures["texts sent"] != figures["answerable"]  # one was forgotten
    ((asked, right),) = re.findall(r"^ +all +([0-9]+) +([0-9]+)", done.stdout, re.MULTILINE)
    assert int(right) > 0.8 * int(asked), done.stdout  # small talk too, whose answers are mostly taught once
    advice = done.stdout.index("now try this")
    assert max(len(line.rstrip()) for line in done.stdout[:advice].splitlines()) <= COLUMNS
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
