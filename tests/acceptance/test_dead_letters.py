"""What is put aside can be listed and sent again, and who runs can be seen, by the commands."""

from __future__ import annotations

import json
from typing import Any

from hurnet_schemas import TextEvent
from tests.acceptance.system import System, wait_for


def status(system: System) -> tuple[dict[str, Any], str]:
    command = system.run("status", "--json")
    assert command.returncode == 0, command.stderr
    return json.loads(command.stdout), command.stderr


def at_rest(told: tuple[dict[str, Any], str]) -> tuple[dict[str, Any], str] | None:
    workers = told[0]["workers"]
    held = [[m["partitions"] for m in workers[role]["members"]] for role in ("ingest", "responder")]
    return told if held == [[[0, 1, 2]], [[0, 1, 2]]] else None


def test_records_that_were_put_aside_are_listed_and_sent_again(system: System) -> None:
    worker = system.start("ingest", HURNET_INGEST_MAX_CONTEXTS="1").wait_ready()
    system.teach([TextEvent(text="first"), TextEvent(text="second", context="other"), b"\x1b[31m\xff"])
    wait_for(lambda: len(system.dead_letters()) == 2, what="two records put aside")
    assert worker.terminate() == 0

    table = system.run("dead-letters").stdout
    assert "too-many-contexts" in table
    assert "\\x1b[31m\\xff" in table
    assert "\x1b" not in table
    listed = [json.loads(line) for line in system.run("dead-letters", "--json").stdout.splitlines()]
    assert {letter["reason"] for letter in listed} == {"too-many-contexts", "not-utf8"}
    assert json.loads(system.run("dead-letters", "--count", "--json").stdout) == {
        "too-many-contexts": 1,
        "not-utf8": 1,
    }
    (full,) = [letter["record"] for letter in listed if letter["reason"] == "too-many-contexts"]

    dry = system.run("dead-letters", "--resend", full, "--dry-run")
    assert (dry.returncode, "would be sent again" in dry.stdout) == (0, True)
    unknown = system.run("dead-letters", "--resend", f"{system.settings.kafka.texts}/0/999999")
    assert (unknown.returncode, "no dead letter names it" in unknown.stderr) == (3, True)
    sent = system.run("dead-letters", "--resend-all", "--reason", "too-many-contexts")
    assert (sent.returncode, sent.stdout.count("sent again as")) == (0, 1)
    worker = system.start("ingest").wait_ready()
    wait_for(lambda: sorted(system.texts_in_store()) == ["first", "second"], what="it is in the store")
    assert worker.terminate() == 0


def test_status_says_who_runs_and_who_does_not(system: System) -> None:
    nobody, said = status(system)
    assert [found["members"] for found in nobody["workers"].values()] == [[], [], []]
    assert [role for role in ("ingest", "responder", "solver") if f"no {role} is running" in said] == [
        *("ingest", "responder", "solver")
    ]
    workers = [system.start(name).wait_ready() for name in ("ingest", "responder")]
    # Each has all partitions once its group is at rest, also if it was late with a heartbeat.
    some, said = wait_for(lambda: at_rest(status(system)), what="each has all partitions")
    for role, worker in zip(("ingest", "responder"), workers, strict=True):
        (member,) = some["workers"][role]["members"]
        assert member["worker"].startswith(f"hurnet-{worker.process.pid}@")
        assert member["partitions"] == [0, 1, 2]
        assert f"no {role} is running" not in said
    assert "no solver is running" in said
    named = f"hurnet-{workers[0].process.pid}@"
    wait_for(lambda: named in system.run("status").stdout, what="it is named")
    assert [worker.terminate() for worker in workers] == [0, 0]
