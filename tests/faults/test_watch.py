"""`hurnet status --watch` beside a real system: it sees what flows, says what is away, and ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hurnet_schemas import Query, TextEvent
from tests.acceptance.system import Running, System

HURNET = """
import signal
from hurnet_stream.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if a shell runs tests in its background
main()
"""


@contextmanager
def watching(system: System, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HURNET, "status", "--watch", "--interval", "0.3", *options]
    environment = {**os.environ, **system.variables}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def look(process: subprocess.Popen[str], wanted: Any, seconds: float = 120.0) -> dict[str, Any]:
    """The first look that is as wanted."""
    assert process.stdout
    told: dict[str, Any] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        told = json.loads(line)
        if wanted(told):
            return told
    raise AssertionError(told)


def lag(told: dict[str, Any], role: str) -> int | None:
    return (told["workers"] or {}).get(role, {}).get("lag_records")  # type: ignore[no-any-return]


def pages(*workers: Running) -> list[str]:
    return [option for worker in workers for option in ("--metrics", worker.url)]


def test_what_flows_who_is_away_and_a_clean_end(system: System) -> None:
    ingest = system.start("ingest").wait_ready()
    solver = system.start("solver").wait_ready()
    responder = system.start("responder").wait_ready()
    with watching(system, "--json", *pages(ingest, solver, responder)) as process:
        system.teach([TextEvent(text=f"turn on light {i}", answer="light_on") for i in range(60)])
        system.ask([Query(text="turn on the light")] * 5)
        told = look(process, lambda each: sum(s["rows"] for s in each["shards"]) == 60 and each["weights"])
        assert [shard["lag_records"] for shard in told["shards"]] == [0, 0, 0]
        look(process, lambda each: each["rates"]["texts"] is not None)
        # On a busy machine a page may now and then not come in time, or Kafka not answer.
        wrong = ["no feedback is running, so corrections are not taught (`hurnet feedback`)"]
        told = look(process, lambda each: each["wrong"] == wrong and lag(each, "responder") == 0)
        assert [page["role"] for page in told["pages"]] == ["ingest", "solver", "responder"]

        responder.process.send_signal(signal.SIGSTOP)  # its page hangs, and the watch goes on
        told = look(process, lambda each: each["pages"][2]["ready"] is None)
        assert any("does not answer" in wrong for wrong in told["wrong"])
        responder.process.send_signal(signal.SIGCONT)
        look(process, lambda each: each["pages"][2]["ready"])

        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert process.stderr
        assert process.stderr.read() == ""


def test_it_goes_on_while_no_server_answers(system: System) -> None:
    system.variables |= {
        "HURNET_KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "HURNET_REDIS_URL": "redis://127.0.0.1:9/0",
        "HURNET_KAFKA_REQUEST_TIMEOUT": "1",
    }
    with watching(system) as process:
        assert process.stdout
        words = "".join(process.stdout.readline() for _ in range(12))
        assert "2 things are wrong" in words
        assert "127.0.0.1:9" in words
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
