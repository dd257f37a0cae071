"""`hurnet up --workers --console` as a person runs it: the whole product, its end, a worker that dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hurnet_stream import Client
from hurnet_stream.local.loopback import accepts
from tests.acceptance.system import wait_for

ROLES = ("ingest", "solver", "responder", "feedback", "gateway")


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command, and the file of what it prints, once it says that it runs."""
    out = folder / "said"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HURNET_")}
    clean |= {"HURNET_RESPONDER_WAIT": "60", "HURNET_GATEWAY_TIMEOUT": "60"}
    options = ["up", "--workers", "--console", "--data", str(folder / "data")]
    with out.open("wb") as file:
        command = [sys.executable, "-m", "hurnet_stream", *options]
        process = subprocess.Popen(command, env=clean, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "the console, to ask" in out.read_text() or process.poll() is not None, 200)
        yield process, out
    finally:
        process.terminate()
        process.wait(120)


def test_a_person_opens_the_page_and_a_program_asks_until_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    with running(tmp_path) as (process, out):
        address = out.read_text().split()[-1]  # the last thing that is said
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=120) as page:
            assert "<html" in page.read().decode()
        with Client(address, timeout=120) as client:
            seen = client.teach("I forgot my password", "Settings, Security")
            assert client.ask("i forgot my password", after=seen).answer == "Settings, Security"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    said = out.read_text()
    assert said.rstrip().endswith("stopped")
    for port in map(int, re.findall(r"127\.0\.0\.1:([0-9]+)", said)):
        assert not accepts(port), f"something still listens at {port}"
    assert [role for role in ROLES if not list((tmp_path / "data").glob(f"{role}-*.log"))] == []


def test_a_worker_that_dies_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with running(tmp_path) as (process, out):
        feedback = subprocess.run(
            ["pgrep", "-f", "hurnet_stream feedback$", "--parent", str(process.pid)],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        (guard,) = map(int, feedback)
        os.kill(guard, signal.SIGUSR1)  # the guard kills its worker
        assert process.wait(120) != 0
    said = out.read_text()
    assert "the worker feedback was ended by SIGKILL" in said
    assert "started" in said.split("its last lines:")[1]
