"""Passwords of the settings are in nothing that a worker or a command says, whatever fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hurnet_stream.command_line import hurnet
from hurnet_stream.local.loopback import free_ports
from hurnet_stream.settings import redaction

ROOT = Path(__file__).parents[2]
SECRETS = {
    "HURNET_REDIS_PASSWORD": "s3cret-redis",
    "HURNET_KAFKA_PASSWORD": "s3cret-kafka",
    "HURNET_KAFKA_KEY_PASSWORD": "s3cret-key",
}
IN_URL = "s3cret%40url"
MARKS = ("s3cret",)

FAILING = """
import sys
import hurnet_stream.adapters.redis
from hurnet_stream.settings import settings
from hurnet_stream.wiring import running

role = sys.argv[1]
chosen = settings.load()

def fail(*arguments, **named):
    address = f"{chosen.redis.url} {chosen.redis.password.get_secret_value()}"
    others = [chosen.kafka.password.get_secret_value(), chosen.kafka.key_password.get_secret_value()]
    text = "a text of a user"
    try:
        raise ValueError({"password": others, "at": address})
    except ValueError as cause:
        raise RuntimeError(f"{address} {others}") from cause

hurnet_stream.adapters.redis.connect = fail
built = []
kind = running.ROLES[role]
running.ROLES[role] = lambda: built.append(kind()) or built[-1]
code = running.run(role, chosen)
print(built[0].exposition().decode())
sys.exit(code)
"""


def environment(**more: str) -> dict[str, str]:
    port = free_ports(1)[0]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HURNET_")}
    return {
        **outside,
        **SECRETS,
        "HURNET_REDIS_URL": f"redis://someone:{IN_URL}@127.0.0.1:{port}/0",
        "HURNET_KAFKA_BOOTSTRAP": f"127.0.0.1:{port}",
        "HURNET_KAFKA_REQUEST_TIMEOUT": "0.3",
        "HURNET_LIFECYCLE_GIVE_UP": "0.1",
        "HURNET_METRICS_ENABLED": "false",
        "HURNET_EMBEDDER_NAME": "hash8",
        **more,
    }


def without_secrets(said: str) -> str:
    found = [mark for mark in MARKS if mark in said]
    assert not found, said
    return said


@pytest.mark.parametrize(
    ("role", "style"), [("ingest", "json"), ("solver", "console"), ("responder", "json")]
)
def test_a_worker_that_crashes_tells_no_secret_and_no_variable(role: str, style: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING, role],
        env=environment(HURNET_LOG_FORMAT=style, HURNET_LOG_LEVEL="debug"),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    said = without_secrets(done.stdout + done.stderr)
    assert "(hidden)" in said
    assert "a text of a user" not in said
    assert "RuntimeError" in said
    assert "hurnet_loop_turns_total" in done.stdout
    if style == "json":
        assert all(json.loads(line)["level"] for line in done.stderr.splitlines())


@pytest.mark.parametrize("role", ["ingest", "solver", "responder"])
def test_a_worker_whose_servers_are_away_tells_no_secret(role: str) -> None:
    command = [sys.executable, "-m", "hurnet_stream", role]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "gave up" in without_secrets(done.stdout + done.stderr)


@pytest.fixture
def secret_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(redaction, "_known", set())
    for name in os.environ:
        if name.startswith("HURNET_"):
            monkeypatch.delenv(name)
    for name, value in environment().items():
        if name.startswith("HURNET_"):
            monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.usefixtures("secret_settings")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of kafka-python's
@pytest.mark.parametrize(
    "command",
    [["status"], ["topics"], ["ask", "hi"], ["forget", "--log"], ["produce"], ["weights"], ["settings"]],
    ids=" ".join,
)
def test_a_command_whose_servers_are_away_tells_no_secret(command: list[str]) -> None:
    result = CliRunner().invoke(hurnet, command, input="text\n")
    assert result.exit_code in ((0,) if command == ["settings"] else (1, 2))
    without_secrets(result.output)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HURNET_REDIS_URL", f"redis://someone:{IN_URL}@host:port/0"),
        ("HURNET_REDIS_URL", f"http://someone:{IN_URL}@host:1/0"),
        ("HURNET_REDIS_URLS", f"redis://someone:{IN_URL}@host:1/0"),
        ("HURNET_KAFKA_BOOTSTRAP", f"kafka://someone:{IN_URL}@host:1"),
        ("HURNET_REDIS_PASSWORDS", "s3cret-typo"),
    ],
)
def test_settings_that_are_refused_are_told_without_their_values(
    variable: str, value: str, secret_settings: pytest.MonkeyPatch
) -> None:
    secret_settings.setenv(variable, value)
    result = CliRunner().invoke(hurnet, ["topics"])
    assert result.exit_code == 2
    assert variable in without_secrets(result.output)


@pytest.mark.parametrize("role", ["ingest", "solver", "responder"])
def test_wrong_settings_are_a_line_in_the_chosen_format(role: str) -> None:
    wrong = environment(HURNET_KAFKA_PARTITIONS="s3cret-many", HURNET_LOG_FORMAT="json")
    command = [sys.executable, "-m", "hurnet_stream", role]
    done = subprocess.run(command, env=wrong, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    (line,) = without_secrets(done.stderr).splitlines()
    assert "HURNET_KAFKA_PARTITIONS" in json.loads(line)["event"]
    assert json.loads(line)["worker"] == role
