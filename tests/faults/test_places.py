"""Entries of three topics by their names, on a real system: asked, asked again, listed and forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient

from hurnet_schemas import TextEvent
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import System, wait_for

TABLES = """
[topics.{name}-tickets]
text = "value.subject"
answer = "value.answer"
writable = true

[topics.{name}-notes]
format = "text"
"""


@pytest.fixture
def system(kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path) -> Iterator[System]:
    file = tmp_path / "hurnet.toml"
    file.write_text(TABLES.format(name=unique))
    settings = {"HURNET_CONFIG": str(file), "HURNET_RESPONDER_WAIT": "60"}
    with System(kafka_bootstrap, valkey_url, unique, tmp_path, **settings) as system:
        with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
            compacted = {"num_partitions": 2, "configs": {"cleanup.policy": "compact"}}
            admin.create_topics({f"{unique}-tickets": compacted}, wait_for_metadata=True)
            admin.create_topics({f"{unique}-notes": {"num_partitions": 1}}, wait_for_metadata=True)
        yield system.create_topics()


def told(system: System, *arguments: str, code: int = 0) -> Any:
    ran = system.run(*arguments)
    assert ran.returncode == code, (ran.stdout, ran.stderr)
    return ran.stdout


def asked(system: System, *arguments: str) -> Any:
    return told(system, "ask", *arguments, "--timeout", "60")


def send(system: System, topic: str, *values: bytes, partition: int = 0) -> None:
    with system.sink() as sink:
        sink.send([Outgoing(topic, value, b"k%d" % n, partition=partition) for n, value in enumerate(values)])


def test_entries_of_three_topics_by_their_names(system: System, unique: str) -> None:
    tickets, notes = f"{unique}-tickets", f"{unique}-notes"
    for worker in [system.start(role) for role in ("solver", "responder", "ingest")]:
        worker.wait_ready()
    system.teach([TextEvent(text="turn on the lamp", answer="on")])
    burns = {"subject": "the printer is on fire", "answer": "call 112"}
    send(system, tickets, b'{"subject": "my keys are gone"}', json.dumps(burns).encode(), partition=1)
    send(system, notes, b"the coffee machine is on the second floor")
    after = f"{tickets}/1=1,{notes}/0=0,0=0"
    found = asked(system, "the printer burns", "--after", after)
    assert "call 112" in found
    assert f"({tickets}/1/1)" in found
    assert f"hurnet forget --entry {tickets}/1/1" in found
    assert f"{notes}/0=0,{tickets}/1=1" in found
    alone = json.loads(asked(system, "the printer burns", "--detail", "answer", "--json"))
    assert alone["answer"] == "call 112"
    assert alone["receipt"]["entry"] == {"topic": tickets, "partition": 1, "offset": 1}
    assert "is on fire" not in json.dumps(alone)
    for record in (alone["record"], json.loads(asked(system, "coffee?", "--json"))["record"]):
        assert "same answer, to the bit" in told(system, "replay", record)
    listed = [json.loads(line)["entry"] for line in told(system, "list", "--json").splitlines()]
    assert sorted(listed) == sorted(["0/0", f"{notes}/0/0", f"{tickets}/1/0", f"{tickets}/1/1"])
    shards = {shard["partition"]: shard for shard in json.loads(told(system, "status", "--json"))["shards"]}
    assert shards[f"{tickets}/1"]["next_offset"] == shards[f"{tickets}/1"]["end_offset"] == 2
    refused = system.run("forget", "--entry", f"{notes}/0/0")
    assert refused.returncode == 2
    assert "writable = false" in refused.stderr
    assert "at its source" in " ".join(refused.stderr.split())
    gone = json.loads(told(system, "forget", "--entry", f"{tickets}/1/1", "--wait", "100", "--json"))
    assert (gone["done"], gone["deleted"], gone["watermarks"]) == (True, 1, {f"{tickets}/1": 2})
    assert [audit["entries"] for audit in gone["records"]] == [[f"{tickets}/1/1"]]
    (audit,) = map(json.loads, told(system, "forget", "--log").splitlines())
    assert audit["record"] == f"{tickets}/1/2"
    again = asked(system, "the printer burns", "--after", f"{tickets}/1=2", "--json")
    assert json.loads(again).get("answer") != "call 112"
    asked_again = system.run("replay", alone["record"])
    assert asked_again.returncode == 3
    assert f"{tickets}/1/1 was forgotten by {tickets}/1/2" in " ".join(asked_again.stdout.split())
    proof = wait_for(lambda: ran if (ran := system.run("verify")).returncode == 0 else None, what="verified")
    assert "equal" in proof.stdout
