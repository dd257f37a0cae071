"""`hurnet map` on a live topic: the table that it writes is read by ingest as it stands, and answers as many
questions rightly as it said."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient

from hurnet_schemas import Query
from hurnet_stream.operations.mapping.trying import wilson
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import System, wait_for
from tests.worlds.asking import ENGLISH, Person, people

TAUGHT, ASKED = 320, 80
WRONG = 0.3
"""The share of tickets with the reply to something else, so that nobody can answer all of them rightly."""


def ticket(person: Person, reply: str) -> bytes:
    customer = {"email": f"user{person.number}@example.com"}
    row = {"id": person.number, "subject": person.text, "resolution": reply, "customer": customer}
    return json.dumps({"ticket": row, "status": person.of("open", "closed", "new")}).encode()


@pytest.fixture
def system(kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path) -> Iterator[System]:
    file = tmp_path / "hurnet.toml"
    file.write_text("# written by hand\n[ingest]\nbatch = 50\n")
    with System(kafka_bootstrap, valkey_url, unique, tmp_path, HURNET_CONFIG=str(file)) as system:
        with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
            for topic in ("tickets", "empty"):
                admin.create_topics({f"{unique}-{topic}": {"num_partitions": 2}}, wait_for_metadata=True)
        yield system.create_topics()


def test_the_table_that_is_proposed_answers_as_well_as_it_said(system: System, unique: str) -> None:
    chance, asking = random.Random(1), people(ENGLISH, 2_000)
    different = list({person.text: person for person in asking}.values())[: TAUGHT + ASKED]
    replies = [
        chance.choice(ENGLISH).reply if chance.random() < WRONG else person.subject.reply
        for person in different
    ]
    taught, asked = different[:TAUGHT], different[TAUGHT:]
    topic = f"{unique}-tickets"
    records = [
        Outgoing(topic, ticket(person, reply), str(person.number).encode())
        for person, reply in zip(taught, replies, strict=False)
    ]
    with system.sink() as sink:
        places = sink.send([*records, Outgoing(topic, b"{broken", b"broken"), Outgoing(topic, None, b"gone")])

    found = _map(system, topic, "--write", f"{system.folder}/hurnet.toml")
    left_out = found["candidates"][0]["left_out"]
    assert found["table"] | {"format": "json", "text": "value.ticket.subject"} == found["table"]
    assert (found["table"]["answer"], found["table"]["keys"]) == ("value.ticket.resolution", "upsert")
    assert found["candidates"][0]["rejected"] == {"not-json": 1}
    assert left_out["questions"] == TAUGHT
    assert 0.5 < left_out["accuracy"] < 0.9

    for worker in ("ingest", "solver", "responder"):
        system.start(worker, HURNET_RESPONDER_WAIT="60")
    wait_for(lambda: len(system.texts_in_store()) == TAUGHT, what="all tickets in the store")
    ends = {f"{topic}/{partition}": offset for partition, offset in sorted(places[:TAUGHT])}
    system.ask([Query(id=str(p.number), text=p.text, context=topic, min_watermarks=ends) for p in asked])
    wait_for(lambda: len(system.answers()) == ASKED, what="all answers")
    answers = {answer.id: answer.candidates for answer in system.answers()}
    right = [
        [candidate.answer for candidate in answers[str(person.number)][:1]] == [reply]
        for person, reply in zip(asked, replies[TAUGHT:], strict=True)
    ]
    low, high = wilson(sum(right) / ASKED, ASKED)
    assert low < left_out["interval"][1], "fewer were right than was said"
    assert high > left_out["interval"][0], "more were right than was said"


def test_looking_changes_nothing_and_says_what_is_not_there(system: System, unique: str) -> None:
    topic = f"{unique}-empty"
    ended = system.run("map", topic)
    assert (ended.returncode, "holds no records" in ended.stderr) == (3, True)
    ended = system.run("map", f"{unique}-nowhere")
    assert (ended.returncode, "no such topic" in ended.stderr) == (2, True)
    with KafkaAdminClient(bootstrap_servers=system.variables["HURNET_KAFKA_BOOTSTRAP"]) as admin:
        assert not [group for group in admin.list_groups() if unique in str(group)]


def _map(system: System, *arguments: str) -> dict[str, Any]:
    ended = system.run("map", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
