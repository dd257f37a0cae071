"""Entries of several topics over HTTP, and keys that are shown less than all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hurnet_schemas import Query
from hurnet_stream.core.places import SPAN, NumberedTopic, last_position, shard_of
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, EmbedderIdentity, Entry
from hurnet_stream.gateway.keys import KeyTable, digest_of, new_key, table_of
from hurnet_stream.ports import DeletionAudit, Outgoing, Record
from hurnet_stream.settings.topics import TopicSettings
from tests.worlds.gateway import GatewayWorld, answered

ALONE, ALL = new_key(), new_key()
SHARD = shard_of(1, 1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    file, rights = tmp_path / "keys.toml", ["ask", "forget"]
    shared: Any = {"rights": rights}
    tables = (
        KeyTable(name="alone", sha256=digest_of(ALONE), detail="answer", **shared),
        KeyTable(name="all", sha256=digest_of(ALL), **shared),
    )
    file.write_text("\n".join(map(table_of, tables)))
    made = GatewayWorld(keys=file)
    made.kafka.create("tickets", partitions=2)
    made.kafka.create("orders", partitions=1)
    made.kafka.append([Outgoing("tickets", b"{}", b"k", (), 1)] * 8)
    made.settings.topics.update(tickets=TopicSettings(writable=True), orders=TopicSettings())
    made.redis.data.topics = {"tickets": NumberedTopic(1, ""), "orders": NumberedTopic(2, "")}
    store = made.gateway.writes.entries()
    store.open(EmbedderIdentity("hash4", "f" * 64, 4))
    for shard in (SHARD, shard_of(2, 0)):
        entries = [Entry(7 * SPAN + chunk, 1_000, "default", f"part {chunk}", "yes") for chunk in (1, 2)]
        store.append(Batch(shard, last_position(shard, 7), entries, np.ones((2, 4), np.int16)), NOTHING)
        for entry in entries:
            made.readings.stored[shard, entry.offset] = entry
    yield made
    made.close()


def call(world: GatewayWorld, method: str, path: str, key: str = ALL, **sent: Any) -> Any:
    return world.call(
        method, path, headers={"Authorization": f"Bearer {key}", **sent.pop("headers", {})}, **sent
    )


def test_an_entry_of_another_topic_is_deleted_there(world: GatewayWorld) -> None:
    response = call(world, "DELETE", "/v1/texts/tickets/1/7")
    assert response.status_code == 202
    assert response.json() == {"records": ["tickets/1/8"], "watermarks": {"tickets/1": 8}}
    assert response.headers["Hurnet-Watermarks"] == "tickets/1=8"
    record = world.kafka.records("tickets")[-1]
    assert (record.partition, record.value, record.header("forget")) == (1, None, b"7")


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("orders/0/7", 409, "has writable = false. Delete orders/0/7 at its source"),
        ("tickets/1/7%232", 409, "records are forgotten whole: name tickets/1/7"),
        ("ticket/1/7", 404, "reads no topic 'ticket' here"),
        ("tickets/1/6", 404, "no entry tickets/1/6 for this key"),
        ("tickets/9/0", 404, "no entry tickets/9/0 for this key"),
        ("tickets/1/x", 404, "is not [TOPIC/]PARTITION/OFFSET"),
        ("tick%20ets/1/7", 404, "is not [TOPIC/]PARTITION/OFFSET"),
    ],
)
def test_what_can_not_be_deleted_is_told_with_what_to_do(
    world: GatewayWorld, path: str, status: int, why: str
) -> None:
    before = len(world.kafka.records("tickets")) + len(world.kafka.records("orders"))
    response = call(world, "DELETE", f"/v1/texts/{path}")
    assert (response.status_code, why in response.json()["detail"]) == (status, True)
    assert len(world.kafka.records("tickets")) + len(world.kafka.records("orders")) == before


def test_a_deletion_in_another_topic_is_followed_by_its_record(world: GatewayWorld) -> None:
    path = "/v1/deletions/tickets/1/8"
    assert call(world, "GET", path).json()["done"] is False
    at = last_position(SHARD, 8)
    deletion = Deletion(at, 5, targets=(7 * SPAN + 1, 7 * SPAN + 2))
    world.readings.audits[SHARD, at] = DeletionAudit(SHARD, deletion, 9, 0, {}, {SHARD: at, 0: 3}, 2)
    told = call(world, "GET", path).json()
    assert (told["record"], told["done"]) == ("tickets/1/8", True)
    assert told["entries"] == ["tickets/1/7#1", "tickets/1/7#2"]
    assert told["watermarks"] == {"0": 3, "tickets/1": 8}
    assert call(world, "GET", "/v1/deletions/ticket/1/8").status_code == 404


def test_entries_of_all_topics_come_in_pages(world: GatewayWorld) -> None:
    path, found, after = "/v1/contexts/default/entries?limit=1&after=", [], ""
    while after is not None:
        page = call(world, "GET", path + after.replace("#", "%23")).json()
        found += [entry["entry"] for entry in page["entries"]]
        after = page["next"]
    assert found[0] == {"topic": "tickets", "partition": 1, "offset": 7, "chunk": 1}
    assert [entry["topic"] for entry in found] == ["tickets"] * 2 + ["orders"] * 2
    wrong = call(world, "GET", path + "ticket/1/2")
    assert (wrong.status_code, wrong.json()["where"]) == (422, "after")


def test_a_question_waits_for_several_topics(world: GatewayWorld) -> None:
    response = call(
        world,
        "POST",
        "/v1/ask",
        json={"text": "hi", "min_watermarks": {"tickets/1": 3}},
        headers={"Hurnet-After": "tickets/1=8, 0=4"},
    )
    assert response.status_code == 200
    asked = Query.decode(world.courier.posted[-1].value)
    assert asked.min_watermarks == {"tickets/1": 8, 0: 4}
    wrong = call(world, "POST", "/v1/ask", json={"text": "hi"}, headers={"Hurnet-After": "tickets=1"})
    assert (wrong.status_code, wrong.json()["where"]) == (422, "hurnet-after")


def test_a_key_may_be_shown_answers_alone(world: GatewayWorld) -> None:
    for detail in ("texts", "answer"):
        call(world, "POST", "/v1/ask", ALONE, json={"text": "hi", "detail": detail})
        assert Query.decode(world.courier.posted[-1].value).detail == "answer"
    call(world, "POST", "/v1/ask", json={"text": "hi"})
    assert b"detail" not in (world.courier.posted[-1].value or b"")
    for path in ("/v1/contexts/default/entries", "/v1/contexts/default/answers"):
        assert call(world, "GET", path, ALONE).status_code == 403
    assert call(world, "GET", "/v1/contexts", ALONE).status_code == 200
    assert call(world, "GET", "/v1/me", ALONE).json()["detail"] == "answer"
    wrong = call(world, "POST", "/v1/ask", json={"text": "hi", "detail": "nothing"})
    assert wrong.json()["errors"][0]["where"] == "detail"


def test_a_receipt_shows_a_key_no_more_than_an_answer_does(world: GatewayWorld) -> None:
    told = answered(Query(text="hi"))
    assert told.receipt is not None
    told = told.model_copy(update={"receipt": told.receipt.model_copy(update={"runner_up": "a secret"})})
    world.readings.records["answers", 0, 0] = Record("answers", 0, 0, 0, None, told.encode())
    path = "/v1/receipts/answers/0/0"
    assert "a secret" in call(world, "GET", path).text
    assert "a secret" not in call(world, "GET", path, ALONE).text
    assert call(world, "POST", f"{path}/replay", ALONE).status_code == 403
