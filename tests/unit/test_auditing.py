"""Who asked what: a record for each answer, in the same transaction, that tells no more than was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from hurnet_schemas import Asked, Query
from hurnet_stream.asker import ASKED_BY, SIGNATURE, question_digest, signed, who_asked
from hurnet_stream.gateway.keys import KeyTable, digest_of, new_key, table_of
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import CORRELATION_ID, REPLY_TO, Headers, Record
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.kafka import KafkaSettings
from hurnet_stream.settings.privacy import PrivacySettings
from hurnet_stream.settings.settings import ResponderSettings, Settings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.gateway import GatewayWorld
from tests.worlds.responder import PAIRS, World, turn

SECRET = "a secret of an audit"
QUERY = Query.model_validate({"text": "turn on the kitchen light", "filter": {"key": "n", "is": "0"}})


def responder(world: World, topic: str = "audit", **privacy: object) -> Responder:
    world.kafka.create("audit", partitions=2)
    settings = Settings(
        kafka=KafkaSettings(audit=topic),
        responder=ResponderSettings(poll=0, threshold=0.3, instance="one"),
        privacy=PrivacySettings.model_validate(privacy),
    )
    exchange = MemoryExchange(world.kafka, "queries", "responders", "one")
    stores = MemoryEntryStore(world.redis), MemoryWeightsStore(world.redis)
    return Responder(exchange, *stores, world.embedder, settings, ResponderMetrics())


def audit(world: World) -> list[Asked]:
    return [Asked.decode(record.value) for record in world.kafka.records("audit")]


def asking(*headers: Headers, query: Query = QUERY, **privacy: Any) -> tuple[World, list[Asked]]:
    """What the audit says of this question, once with each of these headers."""
    world = World()
    world.teach(*PAIRS)
    for each in headers or ((),):
        world.ask(query, headers=each)
    turn(responder(world, **privacy))
    return world, audit(world)


def by(name: str, secret: str = SECRET, correlation: bytes = b"c1", query: Query = QUERY) -> Headers:
    return (CORRELATION_ID, correlation), *signed(secret, name, correlation, query.encode())


def test_it_names_question_context_outcome_and_receipt_and_nothing_that_was_said() -> None:
    world, (asked,) = asking()
    (answer,) = world.answers()
    assert (asked.query, asked.id, asked.context) == ("queries/0/0", answer.id, "default")
    assert (asked.outcome, asked.who, asked.question) == (answer.outcome, None, None)
    assert answer.receipt
    assert asked.receipt
    assert answer.receipt.filter
    kept = answer.receipt.model_copy(update={"filter": None, "vector": None, "runner_up": None})
    assert asked.receipt == kept
    raw = world.kafka.records("audit")[0].value or b""
    assert not [word for word in (b"kitchen", b"light", b"lamp") if word in raw]


def test_there_is_none_without_a_topic() -> None:
    world = World()
    world.ask(QUERY)
    turn(responder(world, topic=""))
    assert len(world.answers()) == 1
    assert audit(world) == []


def test_who_asked_is_believed_only_if_it_is_signed_for_this_question() -> None:
    name, signature = by("shop")[1:]
    other = Query(text="another question")
    forged: list[Headers] = [
        ((ASKED_BY, b"shop"),),
        ((ASKED_BY, b"shop"), (SIGNATURE, b"")),
        ((ASKED_BY, b"shop"), (SIGNATURE, b"\xff" * 64)),
        by("shop", secret="another secret of 16"),
        by("shop", query=other),
        ((CORRELATION_ID, b"c2"), name, signature),
        ((CORRELATION_ID, b"c1"), (ASKED_BY, b"admin"), signature),
        ((CORRELATION_ID, b"c1"), (ASKED_BY, b"x" * 10_000), signature),
    ]
    _, found = asking(by("shop"), *forged, audit_secret=SECRET)
    assert [asked.who for asked in found] == ["shop"] + [None] * len(forged)


def test_without_a_secret_nobody_is_believed() -> None:
    _, (asked,) = asking(by("shop", secret=""))
    assert asked.who is None


def test_a_question_is_in_it_only_if_that_was_chosen() -> None:
    _, (text,) = asking(audit_questions="text")
    _, (digest,) = asking(audit_questions="digest", audit_secret=SECRET)
    assert text.question == QUERY.text
    assert digest.question == question_digest(SECRET, QUERY.text)
    assert digest.question != question_digest(SECRET + "!", QUERY.text)


def test_a_question_that_is_rejected_is_told_too() -> None:
    world = World()
    world.ask(b"no JSON", headers=by("shop"))
    turn(responder(world, audit_secret=SECRET))
    (asked,) = audit(world)
    assert (asked.outcome, asked.context, asked.receipt) == ("rejected", None, None)


def test_no_client_can_have_its_answer_written_into_the_audit() -> None:
    world, found = asking(((REPLY_TO, b"audit"),))
    assert [asked.outcome for asked in found] == ["rejected"]
    assert world.dead_letters()[0].reason == "reply-topic-refused"


@given(st.text(max_size=64), st.binary(max_size=99), st.binary(max_size=99))
def test_what_is_signed_is_who_asked(name: str, correlation: bytes, value: bytes) -> None:
    name = name.encode("utf-8", "ignore").decode()
    headers = ((CORRELATION_ID, correlation), *signed(SECRET, name, correlation, value))
    found = who_asked(SECRET, Record("queries", 0, 0, 0, None, value, headers))
    assert found == (name or None)


def test_the_gateway_says_which_key_asked_and_no_client_can_say_it(tmp_path: Path) -> None:
    key = new_key()
    file = tmp_path / "keys.toml"
    rights: dict[str, object] = {"rights": ["ask"], "contexts": ["*"]}
    file.write_text(table_of(KeyTable.model_validate({"sha256": digest_of(key), "name": "shop", **rights})))
    world = GatewayWorld(privacy=PrivacySettings(audit_secret=SecretStr(SECRET)), keys=file)
    try:
        headers = {"Authorization": f"Bearer {key}", ASKED_BY: "admin", SIGNATURE: "00"}
        assert world.call("POST", "/v1/ask", json={"text": "one"}, headers=headers).status_code == 200
        many = {"questions": [{"text": "two"}, {"text": "three"}]}
        assert world.call("POST", "/v1/ask", json=many, headers=headers).status_code == 200
    finally:
        world.close()
    sent = [message for message in world.courier.posted if message.topic == "queries"]
    records = [Record("queries", 0, i, 0, None, m.value, m.headers) for i, m in enumerate(sent)]
    assert [who_asked(SECRET, record) for record in records] == ["shop"] * 3
    assert [len([name for name, _ in record.headers if name == ASKED_BY]) for record in records] == [1] * 3
