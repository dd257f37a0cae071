"""Teaching, correcting and forgetting over HTTP: what is accepted, what is refused, and nothing twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from hurnet_schemas import Feedback
from hurnet_stream.core.stored.batch import Batch, EmbedderIdentity, Entry
from hurnet_stream.feedback.lessons import lesson
from hurnet_stream.gateway import forgetting
from hurnet_stream.gateway.idempotency import MARK
from hurnet_stream.ports import EntryStore, Outgoing, Record
from hurnet_stream.records import parse_record
from tests.acceptance.system import wait_for
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.sink import MemorySink
from tests.worlds.gateway import GatewayWorld

KEYS = """
[[keys]]
name = "teacher"
sha256 = "{teacher}"
rights = ["ask", "teach", "forget"]
contexts = ["support", "faq-*"]

[[keys]]
name = "reader"
sha256 = "{reader}"
rights = ["ask"]

[[keys]]
name = "all"
sha256 = "{all}"
rights = ["teach", "forget"]
"""
IDENTITY = EmbedderIdentity("hash", "f", 4)


@pytest.fixture
def world() -> Iterator[GatewayWorld]:
    world = GatewayWorld()
    wait_for(lambda: world.gateway.writes.group.trouble() is None)
    yield world
    world.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GatewayWorld]:
    """With keys hk_teacher, hk_reader and hk_all."""
    digests = {
        name: hashlib.sha256(f"hk_{name}".encode()).hexdigest() for name in ("teacher", "reader", "all")
    }
    file = tmp_path / "keys.toml"
    file.write_text(KEYS.format(**digests))
    world = GatewayWorld(keys=file)
    wait_for(lambda: world.gateway.writes.group.trouble() is None)
    yield world
    world.close()


def by(name: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer hk_{name}", **headers}


def texts_of(world: GatewayWorld) -> list[Record]:
    return world.kafka.records("texts")


def post(world: GatewayWorld, body: object, path: str = "/v1/texts", **headers: str) -> httpx.Response:
    return world.call("POST", path, json=body, headers=headers)


def store(world: GatewayWorld, *entries: Entry, partition: int = 0, upto: int | None = None) -> None:
    """What ingest would have taken in."""
    held = MemoryEntryStore(world.redis)
    held.open(IDENTITY, writing=True)
    vectors = 9_000 * np.ones((len(entries), IDENTITY.dimension), np.int16)
    expected = held.state(partition).watermark
    last = upto if upto is not None else entries[-1].offset
    held.append(Batch(partition, last, list(entries), vectors), expected)


def test_a_text_is_written_as_it_would_be_by_a_producer(world: GatewayWorld) -> None:
    body = {
        "text": "I forgot my password",
        "answer": "reset",
        "context": "faq",
        "metadata": {"a": "b"},
        "key": "k",
    }
    response = post(world, body)
    (record,) = texts_of(world)
    assert response.status_code == 202
    assert response.json() == {
        "records": [f"texts/{record.partition}/{record.offset}"],
        "watermarks": {str(record.partition): record.offset},
    }
    assert response.headers["hurnet-watermarks"] == f"{record.partition}={record.offset}"
    assert record.key == b"k"
    assert record.headers == ()
    assert "key" not in json.loads(record.value or b"")
    entry = parse_record(record)
    assert isinstance(entry, Entry)
    assert (entry.text, entry.answer, entry.context, entry.metadata) == (
        "I forgot my password", "reset", "faq", {"a": "b"}
    )  # fmt: skip


def test_many_texts_are_answered_in_order(world: GatewayWorld) -> None:
    response = post(world, {"texts": [{"text": f"text {n}"} for n in range(1_000)]})
    places = response.json()["records"]
    by_place = {r.coordinates: json.loads(r.value or b"")["text"] for r in texts_of(world)}
    assert [by_place[place] for place in places] == [f"text {n}" for n in range(1_000)]
    marks = response.json()["watermarks"]
    assert marks == {str(p): max(r.offset for r in texts_of(world) if r.partition == p) for p in (0, 1)}


WRONG: list[tuple[object, str]] = [
    ({}, "text"),
    ({"text": ""}, "text"),
    ({"text": "x" * 16_385}, "text"),
    ({"text": "x", "wieght": 2}, "wieght"),
    ({"text": "x", "weight": "2"}, "weight"),
    ({"text": "x", "context": "No Such"}, "context"),
    ({"text": "x", "metadata": {"a b": "c"}}, "metadata"),
    ({"text": "x", "key": ""}, "key"),
    ({"text": "x", "key": "é" * 513}, "key"),
    ({"text": "x", "key": "hurnet-feedback/faq/00"}, "key"),
    ({"text": "x", "refutes": True}, "message"),
    ({"text": "x", "answer": "y", "refutes": "true"}, "refutes"),
    ({"texts": [{"text": "x", "answer": "y", "refutes": 1}]}, "texts"),
    ({"text": "\ud800"}, ""),
    ({"texts": [], "text": "x"}, "text"),
    ({"texts": []}, "texts"),
    ({"texts": [{"text": "x"}] * 1_001}, "texts"),
    ({"texts": {"text": "x"}}, "texts"),
]


@pytest.mark.parametrize(("body", "where"), WRONG)
def test_what_is_wrong_is_named_and_nothing_is_written(world: GatewayWorld, body: object, where: str) -> None:
    response = world.call(
        "POST", "/v1/texts", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert response.status_code == 422
    problem = response.json()
    named = {problem.get("where"), *(error["where"].split(".")[0] for error in problem.get("errors", ()))}
    assert where in named
    assert not texts_of(world)


def test_every_wrong_text_is_named_with_its_place(world: GatewayWorld) -> None:
    response = post(world, {"texts": [{"text": "well"}, {"text": ""}, 5, {"text": "well"}, {"txt": "x"}]})
    places = [error["where"] for error in response.json()["errors"]]
    assert [place.split(".")[1] for place in places][:2] == ["1", "2"]
    assert {place for place in places if place.startswith("texts.4")} == {"texts.4.text", "texts.4.txt"}
    assert "3 of 5" in response.json()["detail"]
    assert not texts_of(world)


def test_rights_are_asked_for_each_context(guarded: GatewayWorld) -> None:
    here = {"text": "x", "context": "faq-1"}
    assert post(guarded, here, **by("teacher")).status_code == 202
    assert post(guarded, here, **by("reader")).status_code == 403
    assert post(guarded, here).status_code == 401
    foreign = post(guarded, {"texts": [here, {"text": "x"}]}, **by("teacher"))
    assert foreign.status_code == 404
    assert "default" in foreign.json()["detail"]
    assert len(texts_of(guarded)) == 1
    wrong = {"question": "q", "verdict": "wrong", "answer": "a", "context": "other"}
    assert post(guarded, wrong, "/v1/corrections", **by("teacher")).status_code == 404


def test_a_request_that_is_sent_again_is_told_the_same_and_written_once(world: GatewayWorld) -> None:
    body = {"texts": [{"text": "a"}, {"text": "b", "key": "k"}]}
    key = {"Idempotency-Key": '"8e03978e-40d5"'}
    first = post(world, body, **key)
    again = post(
        world, {"texts": [{"text": "a"}, {"key": "k", "text": "b"}]}, **{"Idempotency-Key": "8e03978e-40d5"}
    )
    assert first.json() == again.json()
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (
        None,
        "true",
    )
    assert len(texts_of(world)) == 2
    assert all(record.header(MARK) for record in texts_of(world))
    other = post(world, {"text": "c"}, **key)
    assert (other.status_code, other.json()["where"]) == (422, "Idempotency-Key")
    assert post(world, body, **{"Idempotency-Key": "another"}).headers.get("idempotency-replayed") is None
    assert len(texts_of(world)) == 4


def test_each_client_has_idempotency_keys_of_its_own(guarded: GatewayWorld) -> None:
    body = {"text": "x", "context": "support"}
    for name in ("teacher", "all"):
        response = post(guarded, body, **by(name, **{"Idempotency-Key": "1"}))
        assert response.status_code == 202
        assert "idempotency-replayed" not in response.headers
    assert len(texts_of(guarded)) == 2


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256])
def test_an_idempotency_key_that_is_none_is_refused(world: GatewayWorld, key: str) -> None:
    response = post(world, {"text": "x"}, **{"Idempotency-Key": key})
    assert (response.status_code, response.json()["where"]) == (400, "Idempotency-Key")
    assert not texts_of(world)


def test_fifty_at_once_are_written_once(world: GatewayWorld) -> None:
    async def retried(client: httpx.AsyncClient) -> dict[str, Any]:
        while True:
            response = await client.post("/v1/texts", json={"text": "x"}, headers={"Idempotency-Key": "k"})
            if response.status_code == 202:
                return dict(response.json())
            assert (response.status_code, response.headers["retry-after"].isdigit()) == (409, True)
            await asyncio.sleep(0.01)

    async def all_of_them(client: httpx.AsyncClient) -> Sequence[dict[str, Any]]:
        return await asyncio.gather(*(retried(client) for _ in range(50)))

    answers = world.with_client(all_of_them)
    (record,) = texts_of(world)
    assert all(answer["records"] == [record.coordinates] for answer in answers)


def test_if_nobody_knows_the_client_is_told_so_and_the_next_try_finds_out(world: GatewayWorld) -> None:
    world.kafka.fail(1)
    unknown = post(world, {"text": "x"}, **{"Idempotency-Key": "k"})
    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "1")
    assert "same key" in unknown.json()["detail"]
    wait_for(lambda: world.gateway.writes.group.trouble() is None)
    assert post(world, {"text": "x"}, **{"Idempotency-Key": "k"}).status_code == 202
    assert len(texts_of(world)) == 1
    world.kafka.fail(1)
    assert "Idempotency-Key" in post(world, {"text": "x"}).json()["detail"]


def test_without_kafka_or_room_it_is_503_with_retry_after(world: GatewayWorld) -> None:
    world.kafka.away = True
    for path, body in (
        ("/v1/texts", {"text": "x"}),
        ("/v1/corrections", {"question": "q", "verdict": "wrong", "answer": "a"}),
    ):
        for headers in ({}, {"Idempotency-Key": "k"}):
            response = post(world, body, path, **headers)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert world.call("DELETE", "/v1/texts?key=k").status_code == 503


def test_a_text_that_its_topic_refuses_is_413(world: GatewayWorld) -> None:
    world.kafka.max_message_bytes["texts"] = 1_000
    assert post(world, {"text": "x" * 2_000}).status_code == 413
    assert post(world, {"text": "x" * 2_000}, **{"Idempotency-Key": "k"}).status_code == 413
    assert post(world, {"text": "x"}).status_code == 202


def test_what_the_topic_refuses_otherwise_is_422_and_says_why(world: GatewayWorld) -> None:
    world.kafka.needs_keys.add("texts")
    world.kafka.earliest_ms["texts"] = 10**12
    for headers in ({}, {"Idempotency-Key": "k"}):
        keyless = post(world, {"text": "x"}, **headers)
        assert keyless.status_code == 422
        assert "nothing was written" in keyless.json()["detail"]
        assert "without a key" in keyless.json()["detail"]
        old = "topic,partition,offset,timestamp,text,key\nt,0,1,1764331200000,x,a\nt,0,2,1000,y,b\n"
        kind = {"Content-Type": "text/csv", **headers}
        file = world.call("POST", "/v1/files", content=old, headers=kind)
        assert (file.status_code, "timestamp 1000" in file.json()["detail"]) == (422, True)
        assert not texts_of(world)
    assert post(world, {"text": "x", "key": "a"}, **{"Idempotency-Key": "k"}).status_code == 202


def test_to_a_topic_that_takes_nothing_nothing_was_written(world: GatewayWorld) -> None:
    world.kafka.forbidden.add("texts")
    response = post(world, {"text": "x"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "nothing was written" in response.json()["detail"]


@pytest.mark.parametrize("bad", [1, 3])
def test_what_is_refused_is_noticed_by_nobody_else(
    world: GatewayWorld, bad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly all are in one transaction at first, and each is claimed under the name that it costs."""
    world.kafka.needs_keys.add("texts")
    group, good = world.gateway.writes.group, 20
    ready = group._ready

    def once_all_wait(waiting: Sequence[Any]) -> Sequence[Any]:
        monkeypatch.undo()
        wait_for(lambda: len(group._queue) + len(waiting) == bad + good)
        return ready(waiting)

    async def sent(client: httpx.AsyncClient, number: int) -> int:
        body = {"text": f"{number}", **({} if number < bad else {"key": f"{number}"})}
        headers = {"Idempotency-Key": f"{number}"}
        return (await client.post("/v1/texts", json=body, headers=headers)).status_code

    async def at_once(client: httpx.AsyncClient) -> Sequence[int]:
        return await asyncio.gather(*(sent(client, number) for number in range(bad + good)))

    monkeypatch.setattr(group, "_ready", once_all_wait)
    assert world.with_client(at_once) == [422] * bad + [202] * good
    assert len(texts_of(world)) == good


class Teacher:
    """A feedback worker that teaches each correction once, unless it is told to wait."""

    def __init__(self, world: GatewayWorld) -> None:
        self._world = world
        self.goes_on = True
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        done: set[str] = set()
        while not self._ending.wait(0.01):
            for record in self._world.kafka.records("feedback") if self.goes_on else ():
                if record.coordinates not in done:
                    done.add(record.coordinates)
                    taught = lesson(Feedback.decode(record.value), record.coordinates, "texts")
                    MemorySink(self._world.kafka).send(taught)


WRONG_ANSWER = {"question": "how do I get in?", "verdict": "wrong", "answer": "reset"}


@pytest.fixture
def teacher(world: GatewayWorld) -> Iterator[Teacher]:
    teacher = Teacher(world)
    yield teacher
    teacher.close()


def test_a_correction_is_answered_when_it_is_taught(world: GatewayWorld, teacher: Teacher) -> None:
    response = post(world, WRONG_ANSWER, "/v1/corrections")
    (said,) = world.kafka.records("feedback")
    _, taught = texts_of(world)
    assert response.status_code == 202
    assert response.json() == {
        "feedback": said.coordinates,
        "taught": True,
        "watermarks": {str(taught.partition): taught.offset},
    }
    retracted = post(world, {"question": "how do I get in?", "verdict": "retracted"}, "/v1/corrections")
    assert retracted.json()["taught"]


def test_a_correction_that_is_sent_again_is_told_its_effect(world: GatewayWorld, teacher: Teacher) -> None:
    key = {"Idempotency-Key": "k"}
    first = post(world, WRONG_ANSWER, "/v1/corrections", **key)
    again = post(world, WRONG_ANSWER, "/v1/corrections", **key)
    world.gateway.writes.effects._seen.clear()  # as in another gateway
    elsewhere = post(world, WRONG_ANSWER, "/v1/corrections", **key)
    assert first.json() == again.json() == elsewhere.json()
    assert len(world.kafka.records("feedback")) == 1


def test_a_correction_that_nobody_teaches_in_time_says_so(world: GatewayWorld, teacher: Teacher) -> None:
    teacher.goes_on = False
    response = post(world, WRONG_ANSWER, "/v1/corrections?wait_ms=0")
    assert (response.status_code, response.json()["taught"], response.json()["watermarks"]) == (
        202,
        False,
        {},
    )
    assert "hurnet-watermarks" not in response.headers


@pytest.mark.parametrize("wait", ["", "-1", "x", "60001", "1e3", "²", "9" * 50])
def test_a_wait_that_is_none_is_refused(world: GatewayWorld, wait: str) -> None:
    response = post(world, WRONG_ANSWER, f"/v1/corrections?wait_ms={wait}")
    assert (response.status_code, response.json()["where"]) == (422, "wait_ms")
    assert not world.kafka.records("feedback")


def test_an_entry_is_forgotten_by_who_may_in_its_own_context(guarded: GatewayWorld) -> None:
    store(guarded, Entry(0, 0, "support", "x", None, {}, 1), Entry(1, 0, "secret", "y", None, {}, 1))
    response = guarded.call("DELETE", "/v1/texts/0/0", headers=by("teacher"))
    (record,) = texts_of(guarded)
    assert response.status_code == 202
    assert response.json()["records"] == [record.coordinates]
    assert (record.partition, record.value, record.header("forget")) == (0, None, b"0")
    foreign = guarded.call("DELETE", "/v1/texts/0/1", headers=by("teacher"))
    missing = guarded.call("DELETE", "/v1/texts/0/9", headers=by("teacher"))
    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert foreign.json()["detail"].replace("0/1", "0/9") == missing.json()["detail"]
    assert guarded.call("DELETE", "/v1/texts/0/0", headers=by("reader")).status_code == 403
    assert len(texts_of(guarded)) == 1


@pytest.mark.parametrize(
    "place", ["x/0", "0/x", "0/-1", "²/0", f"0/{'9' * 30}", f"{2**31}/0", "0/9999999999"]
)
def test_a_place_that_is_none_is_404(world: GatewayWorld, place: str) -> None:
    store(world, Entry(0, 0, "support", "x", None, {}, 1))
    assert world.call("DELETE", f"/v1/texts/{place}").status_code == 404
    assert not texts_of(world)


def test_a_text_that_is_not_taken_in_yet_is_waited_for(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "TAKEN_IN_S", 0.2)
    store(world, Entry(0, 0, "support", "x", None, {}, 1))
    MemorySink(world.kafka).send([Outgoing("texts", b"{}", None, (), 0)] * 2)
    late = world.call("DELETE", "/v1/texts/0/1")
    assert (late.status_code, late.headers["retry-after"]) == (503, "1")
    monkeypatch.setattr(forgetting, "TAKEN_IN_S", 20)
    taken = threading.Timer(0.2, store, (world, Entry(1, 0, "support", "y", None, {}, 1)))
    taken.start()
    assert world.call("DELETE", "/v1/texts/0/1").status_code == 202
    taken.join()


def test_a_text_that_is_taken_in_while_it_is_looked_for_is_forgotten(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(world, Entry(0, 0, "support", "x", None, {}, 1))
    MemorySink(world.kafka).send([Outgoing("texts", b"{}", None, (), 0)] * 2)
    look = forgetting.first_entry

    def look_too_early(held: EntryStore, shard: int, position: int) -> Entry | None:
        found = look(held, shard, position)
        monkeypatch.setattr(forgetting, "first_entry", look)
        store(world, Entry(1, 0, "support", "y", None, {}, 1))
        return found

    monkeypatch.setattr(forgetting, "first_entry", look_too_early)
    assert world.call("DELETE", "/v1/texts/0/1").status_code == 202


def test_the_store_is_never_waited_for_where_all_requests_are_served(world: GatewayWorld) -> None:
    made, here = world.gateway.writes.entries, threading.current_thread()

    def elsewhere() -> EntryStore:
        assert threading.current_thread() is not here
        return made()

    world.gateway.writes.entries = elsewhere
    store(world, Entry(0, 0, "support", "x", None, {}, 1))
    assert world.call("DELETE", "/v1/texts/0/0").status_code == 202
    assert world.call("DELETE", "/v1/texts/0/9").status_code == 404


def test_texts_of_a_key_are_forgotten_in_one_context_and_once(guarded: GatewayWorld) -> None:
    path = "/v1/texts?key=faq-7&context=support"
    first = guarded.call("DELETE", path, headers=by("teacher", **{"Idempotency-Key": "1"}))
    again = guarded.call("DELETE", path, headers=by("teacher", **{"Idempotency-Key": "1"}))
    assert (first.status_code, first.json()) == (202, again.json())
    records = texts_of(guarded)
    assert [(r.partition, r.key, r.value, r.header("context")) for r in records] == [
        (0, b"faq-7", None, b"support"),
        (1, b"faq-7", None, b"support"),
    ]
    assert guarded.call("DELETE", "/v1/texts?key=faq-7", headers=by("teacher")).status_code == 404


@pytest.mark.parametrize(
    ("query", "where"),
    [("", "key"), ("key=", "key"), ("key=hurnet-x", "key"), (f"key={'x' * 1_025}", "key"),
     ("key=k&context=A", "context")],
)  # fmt: skip
def test_what_names_no_key_is_refused(world: GatewayWorld, query: str, where: str) -> None:
    response = world.call("DELETE", f"/v1/texts?{query}")
    assert (response.status_code, response.json()["where"]) == (422, where)
    assert not texts_of(world)
