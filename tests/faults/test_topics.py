"""Ingest reads three topics of three shapes: each record once, whoever is killed, and verify proves it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import System, wait_for

TICKETS, NOTES = 2, 5
"""Partitions of both topics."""
TABLES = """
[topics.{name}-tickets]
text = "value.subject"
answer = "value.resolution.text"
context = "'support'"
key = "value.id"
metadata.product = "value.product"
timestamp = "value.at"

[topics.{name}-notes]
format = "text"
context = "'notes'"
"""


@pytest.fixture
def system(kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path) -> Iterator[System]:
    file = tmp_path / "hurnet.toml"
    file.write_text(TABLES.format(name=unique))
    with System(kafka_bootstrap, valkey_url, unique, tmp_path, HURNET_CONFIG=str(file)) as system:
        with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
            for topic, partitions in (("tickets", TICKETS), ("notes", NOTES)):
                admin.create_topics(
                    {f"{unique}-{topic}": {"num_partitions": partitions}}, wait_for_metadata=True
                )
        yield system.create_topics()


def ticket(number: int, version: int = 0) -> dict[str, object]:
    return {
        "id": number,
        "subject": f"ticket number {number}",
        "resolution": {"text": f"resolution {number % 7} of version {version}", "by": "somebody"},
        "product": "lamp",
        "at": "2026-11-28T12:00:00Z",
        "more": [1, {"deep": True}],
    }


def send_tickets(system: System, name: str, numbers: range, version: int = 0) -> None:
    values = [json.dumps(ticket(number, version)).encode() for number in numbers]
    with system.sink() as sink:
        sink.send(
            [
                Outgoing(f"{name}-tickets", v, partition=n % TICKETS)
                for n, v in zip(numbers, values, strict=True)
            ]
        )


def send_notes(system: System, name: str, numbers: range) -> None:
    with system.sink() as sink:
        sink.send(
            [Outgoing(f"{name}-notes", f"note number {n}".encode(), partition=n % NOTES) for n in numbers]
        )


def held(system: System) -> Counter[str]:
    return Counter(system.texts_in_store())


def put_aside(system: System) -> set[tuple[str, str]]:
    return {(letter.topic, letter.reason) for letter in system.dead_letters()}


def more_than(system: System, texts: int) -> bool:
    return len(held(system)) > texts


def newest_version(system: System, ends: dict[str, int]) -> Answer | None:
    """The answer to a question about a ticket, once its second version is in."""
    number = len(system.answers())
    query = Query(text="ticket number 8", context="support", id=f"q{number}", min_watermarks=ends)
    system.ask([query])
    wait_for(lambda: len(system.answers()) > number)
    (answer,) = [each for each in system.answers() if each.id == query.id]
    newest = answer.candidates and answer.candidates[0].answer == "resolution 1 of version 1"
    return answer if newest else None


def test_three_topics_through_the_whole_system_while_ingest_is_killed(system: System, unique: str) -> None:
    wanted = Counter({f"text number {n}": 1 for n in range(200)})
    wanted += Counter({f"ticket number {n}": 1 for n in range(200)})
    wanted += Counter({f"note number {n}": 1 for n in range(200)})
    solver, responder = system.start("solver"), system.start("responder")
    for first in range(0, 200, 50):
        numbers = range(first, first + 50)
        system.teach([TextEvent(text=f"text number {n}", answer=f"answer {n % 5}") for n in numbers])
        send_tickets(system, unique, numbers)
        send_notes(system, unique, numbers)
        ingest = system.start("ingest")
        wait_for(partial(more_than, system, 3 * first + 20), what="some of it is in")
        ingest.kill()
    send_tickets(system, unique, range(0, 200, 4), version=1)
    with system.sink() as sink:
        sink.send(
            [Outgoing(f"{unique}-tickets", b'{"id": 1}', partition=0), Outgoing(f"{unique}-notes", b"\xff")]
        )
    system.start("ingest").wait_ready()
    bad = {(f"{unique}-tickets", "blank-text"), (f"{unique}-notes", "not-utf8")}
    wait_for(lambda: put_aside(system) >= bad, what="what is no text is put aside")
    wait_for(lambda: held(system) == wanted, what="all of it is in, once each")
    assert put_aside(system) == bad
    store = RedisEntryStore(connect(system.settings.redis))
    topics = store.topics()
    assert len(store.states()) == 3 + TICKETS + NOTES
    store.close()
    responder.wait_ready()
    solver.wait_ready()
    ends = {f"{unique}-tickets/{p}": 0 for p in range(TICKETS)}
    answer = wait_for(partial(newest_version, system, ends), what="the newest version is what is found")
    wait_for(lambda: held(system) == wanted, what="and each text is still in once")
    best = answer.candidates[0]
    assert best.entry.topic == f"{unique}-tickets"
    assert best.entry.partition == 0
    assert best.metadata == {"product": "lamp"}
    assert f"{unique}-tickets/1" in answer.receipt.watermarks
    assert topics.numbers.keys() == {f"{unique}-tickets", f"{unique}-notes"}
    proof = wait_for(
        lambda: told if (told := system.run("verify")).returncode == 0 else None, what="verify proves it"
    )
    assert "equal" in proof.stdout
