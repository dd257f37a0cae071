"""What can be read over HTTP, and by whom."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hurnet_schemas import DeadLetter, Query
from hurnet_stream.core.stored.batch import Deletion
from hurnet_stream.core.stored.entries import Entry
from hurnet_stream.errors import RedisFailing
from hurnet_stream.gateway import figures
from hurnet_stream.gateway.keys import KeyTable, digest_of, new_key, table_of
from hurnet_stream.operations.dead_letter_reader import StoredLetter
from hurnet_stream.ports import DeletionAudit, Record
from tests.worlds.gateway import GatewayWorld, answered

ALL, SUPPORT, BARE = new_key(), new_key(), new_key()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    rights: Any = ["ask", "teach", "forget", "watch"]
    tables = (
        KeyTable(name="all", sha256=digest_of(ALL), rights=rights),
        KeyTable(name="bare", sha256=digest_of(BARE), rights=["ask"], detail="answer"),
        KeyTable(name="support", sha256=digest_of(SUPPORT), rights=rights, contexts=["support"]),
    )
    file = tmp_path / "keys.toml"
    file.write_text("\n".join(map(table_of, tables)))
    made = GatewayWorld(keys=file)
    for n in range(5):
        made.readings.stored[n % 2, n] = Entry(n, 1_000, "support", f"text {n}", f"answer {n % 2}")
    made.readings.stored[0, 9] = Entry(9, 1_000, "secret", "a secret")
    yield made
    made.close()


def get(world: GatewayWorld, path: str, key: str = ALL) -> Any:
    return world.call("GET", path, headers=bearer(key))


def test_contexts_are_those_that_the_key_reaches(world: GatewayWorld) -> None:
    assert [c["name"] for c in get(world, "/v1/contexts").json()["contexts"]] == ["secret", "support"]
    (seen,) = get(world, "/v1/contexts", SUPPORT).json()["contexts"]
    assert seen == {"name": "support", "entries": 5, "bytes": 500}
    assert get(world, "/v1/contexts/support", SUPPORT).json() == seen
    secret, absent = (get(world, f"/v1/contexts/{name}", SUPPORT) for name in ("secret", "absent"))
    assert (secret.status_code, absent.status_code) == (404, 404)
    assert secret.text.replace("secret", "absent") == absent.text


def test_entries_come_in_pages(world: GatewayWorld) -> None:
    found, after = [], ""
    while after is not None:
        page = get(world, f"/v1/contexts/support/entries?limit=2&after={after}").json()
        found += [entry["text"] for entry in page["entries"]]
        after = page["next"]
    assert found == ["text 0", "text 2", "text 4", "text 1", "text 3"]
    answers = get(world, "/v1/contexts/support/answers").json()
    assert answers["answers"][0] == {"answer": "answer 0", "entries": 3}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=", "limit=²", "after=1", "after=a/b", "after=1/-1"]
)
def test_a_wrong_page_is_named(world: GatewayWorld, query: str) -> None:
    response = get(world, f"/v1/contexts/support/entries?{query}")
    assert response.status_code == 422
    assert response.json()["where"] == query.partition("=")[0]


def put_receipt(world: GatewayWorld, context: str) -> None:
    query = Query(text="the question", context=context)
    for topic, value in (("answers", answered(query).encode()), ("queries", query.encode())):
        world.readings.records[topic, 0, 0] = Record(topic, 0, 0, 1_000, None, value)


def test_a_receipt_comes_with_its_question(world: GatewayWorld) -> None:
    put_receipt(world, "support")
    reply = get(world, "/v1/receipts/answers/0/0", SUPPORT).json()
    assert (reply["question"], reply["record"]) == ("the question", "answers/0/0")
    for other in (Query(text="another", context="secret"), Query(text="another", context="support", id="x")):
        world.readings.records["queries", 0, 0] = Record("queries", 0, 0, 2_000, None, other.encode())
        assert get(world, "/v1/receipts/answers/0/0", SUPPORT).json()["question"] == "", "it was made anew"
    del world.readings.records["queries", 0, 0]
    assert get(world, "/v1/receipts/answers/0/0").json()["question"] == ""


def test_a_receipt_of_another_context_looks_like_one_that_is_not_there(world: GatewayWorld) -> None:
    put_receipt(world, "secret")
    hidden, absent = (get(world, f"/v1/receipts/answers/0/{n}", SUPPORT) for n in (0, 1))
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert hidden.text.replace("0/0", "0/1") == absent.text
    assert get(world, "/v1/receipts/answers/0/0").status_code == 200


@pytest.mark.parametrize("shown", [None, "scores", "answer"])
def test_a_key_of_answers_alone_is_not_told_which_keys_metadata_lack(
    world: GatewayWorld, shown: str | None
) -> None:
    """Responders once said so with the detail `answer`, too."""
    put_receipt(world, "support")
    stored = json.loads(world.readings.records["answers", 0, 0].value or b"")
    why = "none of the 5 entries of context 'support' meets the filter"
    stored |= {
        "outcome": "abstained",
        "answer": None,
        "reason": f"{why}; no entry has 'lang' in its metadata",
    }
    stored["receipt"]["detail"] = shown
    value = json.dumps(stored).encode()
    world.readings.records["answers", 0, 0] = Record("answers", 0, 0, 1_000, None, value)
    path = "/v1/receipts/answers/0/0"
    assert get(world, path, BARE).json()["reason"] == why
    assert get(world, path).json()["reason"] == stored["reason"]


def test_a_receipt_that_retention_took_is_gone(world: GatewayWorld) -> None:
    world.readings.first["answers"] = 5
    assert get(world, "/v1/receipts/answers/0/3").status_code == 410


@pytest.mark.parametrize(
    "name", ["texts/0/0", "queries/0/0", "dead-letters/0/0", "other/0/0", "answers/x/0", "answers/0/-1",
             "answers/99999999999/0", "answers/0/1.0", "..%2Ftexts/0/0"],
)  # fmt: skip
def test_only_topics_of_answers_have_receipts(world: GatewayWorld, name: str) -> None:
    for topic in ("texts", "queries", "other"):
        world.readings.records[topic, 0, 0] = Record(topic, 0, 0, 1, None, answered(Query(text="x")).encode())
    assert get(world, f"/v1/receipts/{name}").status_code == 404


def test_a_record_that_is_no_answer_has_no_receipt(world: GatewayWorld) -> None:
    world.readings.records["answers", 0, 0] = Record("answers", 0, 0, 1, None, b"\xff")
    assert get(world, "/v1/receipts/answers/0/0").status_code == 404


def test_a_deletion_is_done_once_its_audit_is_there(world: GatewayWorld) -> None:
    assert get(world, "/v1/deletions/0/7").json() == {"record": "texts/0/7", "done": False, "taken_in": True}
    assert get(world, "/v1/deletions/0/700").json()["taken_in"] is False
    deletion = Deletion(7, 1_000, None, (3,))
    world.readings.audits[0, 7] = DeletionAudit(0, deletion, 2_000, 1, {"secret@3": ("a", "b")}, {0: 7}, 1)
    told = get(world, "/v1/deletions/0/7").json()
    assert (told["done"], told["entries"], told["deleted"]) == (True, ["0/3"], 1)
    assert get(world, "/v1/deletions/0/7", SUPPORT).status_code == 404
    assert get(world, "/v1/deletions/0/x").status_code == 404


def test_dead_letters_show_their_excerpts_to_whoever_reaches_all(world: GatewayWorld) -> None:
    letter = DeadLetter(
        topic="texts", partition=0, offset=3, reason="not-json", detail="line 1", timestamp_ms=1, size=3,
        worker="ingest", excerpt=base64.b64encode(b"\xffabc").decode(),
    )  # fmt: skip
    world.readings.dead.append(StoredLetter(letter, 2_000))
    (told,) = get(world, "/v1/dead-letters").json()["dead_letters"]
    assert (told["reason"], told["record"], told["excerpt"]) == ("not-json", "texts/0/3", "\ufffdabc")
    (told,) = get(world, "/v1/dead-letters?limit=1", SUPPORT).json()["dead_letters"]
    assert "excerpt" not in told


@pytest.mark.parametrize(
    "path", ["/v1/contexts", "/v1/receipts/answers/0/0", "/v1/deletions/0/1", "/v1/dead-letters"]
)
def test_a_server_that_is_away_is_said_with_its_reason(world: GatewayWorld, path: str) -> None:
    world.readings.away = RedisFailing("the store is away: redis://user:hunter2@host/0")
    response = get(world, path)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert "the store is away" in response.json()["detail"]


def test_rights_are_asked_for(world: GatewayWorld, tmp_path: Path) -> None:
    key = new_key()
    file = tmp_path / "asks.toml"
    file.write_text(table_of(KeyTable(name="asks", sha256=digest_of(key), rights=["ask"])))
    made = GatewayWorld(keys=file)
    for path in ("/v1/status", "/v1/events", "/v1/dead-letters", "/v1/deletions/0/1"):
        response = made.call("GET", path, headers=bearer(key))
        assert response.status_code == 403
        assert "no right to" in response.json()["detail"]
    me = made.call("GET", "/v1/me", headers=bearer(key)).json()
    assert me == {"name": "asks", "rights": ["ask"], "contexts": ["*"], "detail": "texts", "open": False}
    made.close()


def test_schemas_and_asyncapi_are_told(world: GatewayWorld) -> None:
    assert {"Query", "Reply", "TextEvent"} <= get(world, "/v1/schemas").json().keys()
    assert get(world, "/v1/asyncapi.json").json()["asyncapi"].startswith("3.")


def test_the_status_says_what_is_wrong_and_is_looked_at_once_a_second(world: GatewayWorld) -> None:
    world.readings.known.warnings.append("Redis may lose data")
    world.readings.known.weights = [{"context": "secret"}, {"context": "support"}]
    told = get(world, "/v1/status", SUPPORT).json()
    assert "Redis may lose data" in told["wrong"]
    assert [w["context"] for w in told["weights"]] == ["support"]
    get(world, "/v1/status")
    assert world.readings.looks == 1


def test_events_come_to_all_listeners_from_one_reader_and_end_with_the_gateway(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "EVERY_S", 0.05)
    world.readings.known.ends = {"texts": 10}
    heard: list[bytearray] = [bytearray() for _ in range(5)]

    async def listen(into: bytearray) -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            into.extend(message.get("body", b""))

        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {ALL}".encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "GET", "path": "/v1/events", "raw_path": b"", "root_path": "", "scheme": "http",
            "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1),
        }  # fmt: skip
        await world.app(scope, receive, send)

    async def run() -> None:
        listening = [asyncio.create_task(listen(into)) for into in heard]
        while min(into.count(b"event: figures") for into in heard) < 3:
            await asyncio.sleep(0.01)
            world.readings.known.ends["texts"] += 1
        assert world.readings.looks < 3 * len(heard)
        world.gateway.ending.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*listening)

    asyncio.run(run())
    data = [
        json.loads(line[6:]) for line in bytes(heard[0]).decode().splitlines() if line.startswith("data: ")
    ]
    assert data[-1]["rates"]["texts"] > 0
    assert b"id: 1\n" in heard[0]
