"""The client library on real servers, over Kafka and over HTTP: the same calls, and the same promises."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet_stream.client import AsyncClient, Client, ClientError, NotSent, Transport, Unreachable
from hurnet_stream.client.over_http import OverHttp
from hurnet_stream.client.over_kafka import OverKafka
from hurnet_stream.core.rule.rehearsal import ENOUGH
from tests.acceptance.system import Running, System, wait_for, weights_know

WAYS = ["kafka", "http"]


@pytest.fixture(scope="module")
def served(
    kafka_bootstrap: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A system with all workers and a gateway, for all tests here."""
    folder: Path = tmp_path_factory.mktemp("client")
    name = f"client-{folder.name}"
    patient = {"HURNET_RESPONDER_WAIT": "60", "HURNET_GATEWAY_TIMEOUT": "60"}  # a busy machine
    with System(kafka_bootstrap, valkey_url, name, folder, HURNET_GATEWAY_PORT="0", **patient) as system:
        system.create_topics()
        for worker in ("ingest", "solver", "responder", "feedback", "gateway"):
            system.start(worker)
        for running in system.running:
            running.wait_ready()
        yield system


def gateway_of(system: System) -> Running:
    return [running for running in system.running if running.name == "gateway"][-1]


def address_of(gateway: Running) -> str:
    """Where it serves HTTP; `gateway.url` is where its metrics are, and is ready before."""
    wait_for(lambda: '"serving HTTP"' in gateway.said(), what="the gateway serves HTTP")
    for line in gateway.said().splitlines():
        if line.startswith("{") and (event := json.loads(line))["event"] == "serving HTTP":
            return str(event["address"])
    raise AssertionError(gateway.said())


def transport(system: System, way: str) -> Transport:
    if way == "kafka":
        return OverKafka(system.settings.kafka)
    return OverHttp(address_of(gateway_of(system)))


@pytest.mark.parametrize("way", WAYS)
def test_everything_that_a_client_does(served: System, way: str) -> None:
    with Client(transport(served, way), timeout=60) as client:
        fact = f"the {way} cupboard is where the spare keys hang"
        seen = client.teach(fact, f"cupboard {way}", context=way, key=f"{way}-7", metadata={"lang": "en"})
        reply = client.ask(fact, context=way, after=seen)
        assert (reply.answer, reply.question) == (f"cupboard {way}", fact)
        assert reply.record is not None
        assert reply.candidates[0].metadata == {"lang": "en"}
        filtered = client.ask(fact, context=way, filter={"key": "lang", "is": "pt"})
        assert filtered.outcome == "abstained"
        corrected = client.correct(fact, f"shelf {way}", given=f"cupboard {way}", context=way)
        assert client.ask(fact, context=way, after=corrected.watermarks).answer == f"shelf {way}"
        retracted = client.correct(fact, retract=True, context=way)
        assert client.ask(fact, context=way, after=retracted.watermarks).answer == f"cupboard {way}"
        ((partition, offset),) = seen.items()
        forgotten = client.forget(entry=f"{partition}/{offset}")
        client.wait(forgotten.watermarks, context=way)
        assert client.ask(fact, context=way).outcome == "abstained"
        client.teach(fact, "again", context=way, key=f"{way}-7")
        forgotten = client.forget(key=f"{way}-7", context=way)
        assert client.ask(fact, context=way, after=forgotten.watermarks).outcome == "abstained"


OWN = {"id", "record", "query", "seconds", "trace_id"}
"""What each question has of its own."""

ASKED: list[dict[str, Any]] = [
    {},
    {"top_k": 5, "neighbours": 5},
    {"top_k": 5, "detail": "scores"},
    {"detail": "answer"},
    {"filter": {"key": "floor", "is": "2"}, "top_k": 5},
    {"filter": {"and": [{"key": "floor", "at_least": 1, "below": 3}, {"not": {"key": "floor", "is": "2"}}]}},
    {"filter": {"key": "nothing", "exists": True}},
    {"after": {"nowhere/0": 3}, "timeout": 30},
]


def without_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_own(each) for name, each in value.items() if name not in OWN}
    return list(map(without_own, value)) if isinstance(value, list) else value


def test_both_ways_give_the_same_replies_to_the_last_bit(served: System) -> None:
    over_kafka, over_http = (transport(served, way) for way in WAYS)
    with Client(over_kafka, timeout=60) as kafka, Client(over_http, timeout=60) as http:
        # Neither weights nor a mix may come into force between two replies: so few pairs give no mix.
        rooms = [(f"where is room {n}?", f"floor {n % 3}") for n in range(ENOUGH - 1)]
        texts = [{"text": q, "answer": a, "metadata": {"floor": a[-1]}} for q, a in rooms]
        seen = kafka.teach_many(texts, context="same")
        for way in (kafka, http):
            way.wait(seen, context="same")
        wait_for(lambda: weights_know(kafka.ask(rooms[7][0], context="same"), seen), what="weights of all")
        for question in ("where is room 7?", "wheres rom 11", "the weather in Lisbon"):
            for how in ASKED:
                replies = [way.ask(question, context="same", **how) for way in (kafka, http)]
                first, second = (without_own(reply.model_dump(mode="json")) for reply in replies)
                assert first == second, how


def a_record(client: Client) -> str:
    """The name of a record that has just been written."""
    ((partition, offset),) = client.teach("a record to name").items()
    return f"{partition}/{offset}"


def waited(client: Client, marks: dict[Any, int]) -> None:
    client.ask("is anybody there?")  # it connects first, and the second below is for the wait alone
    client.wait(marks, timeout=1)


WRONG: dict[str, Callable[[Client], object]] = {
    "an entry that was never written": lambda c: c.forget(entry=(0, 10**9)),
    "a partition that is not there": lambda c: c.forget(entry=(99, 0)),
    "a part of a record": lambda c: c.forget(entry=f"{a_record(c)}#1"),
    "an offset that is not there": lambda c: waited(c, {0: 10**9}),
    "a topic to wait for that is not read": lambda c: waited(c, {"nowhere/0": 0}),
    "a question that is too long": lambda c: c.ask("x" * 20_000),
    "a key of hurnet's own": lambda c: c.teach("x", key="hurnet-x"),
}


@pytest.mark.parametrize("name", WRONG)
def test_both_ways_raise_the_same_errors(served: System, name: str) -> None:
    told = []
    for way in WAYS:
        with Client(transport(served, way), timeout=60) as client, pytest.raises(ClientError) as caught:
            WRONG[name](client)
        told.append((type(caught.value), getattr(caught.value, "where", None)))
    assert told[0] == told[1]


@pytest.mark.parametrize("way", WAYS)
def test_many_texts_and_two_hundred_questions_under_way(served: System, way: str) -> None:
    pairs = [(f"{way} question {i} of two hundred", f"{way} answer {i}") for i in range(200)]

    async def run() -> None:
        async with AsyncClient(transport(served, way), timeout=60) as client:
            seen = await client.teach_many(pairs, context=f"{way}-many")
            await client.wait(seen, context=f"{way}-many")
            asked = [client.ask(text, context=f"{way}-many") for text, _ in pairs]
            replies = await asyncio.gather(*asked)
            assert [reply.answer for reply in replies] == [answer for _, answer in pairs]
            texts = (text for text, _ in pairs)
            in_order = [r.answer async for r in client.ask_many(texts, context=f"{way}-many")]
            assert in_order == [answer for _, answer in pairs]

    asyncio.run(run())


def test_the_lines_of_a_file_are_asked_at_once_and_answered_in_order(served: System) -> None:
    with Client(transport(served, "kafka"), timeout=60) as client:
        pairs = [(f"line number {i} of the file", f"line answer {i}") for i in range(100)]
        client.wait(client.teach_many(pairs, context="lines"), context="lines")
    asked = served.run("ask", "--context", "lines", "--json", stdin="\n".join(text for text, _ in pairs))
    assert asked.returncode == 0, asked.stderr
    answers = asked.stdout.splitlines()
    assert [f'"answer":"line answer {i}"' in line for i, line in enumerate(answers)] == [True] * 100


@pytest.mark.parametrize("way", WAYS)
def test_the_ten_lines_of_the_guide_run(served: System, way: str) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "clients.md").read_text("utf-8")
    program = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[0]
    assert "http://127.0.0.1:8080" in program
    kafka = f"kafka://{served.settings.kafka.bootstrap}"
    address = address_of(gateway_of(served)) if way == "http" else kafka
    environment = {**os.environ, **(served.variables if way == "kafka" else {})}
    done = subprocess.run(
        [sys.executable, "-c", program.replace("http://127.0.0.1:8080", address)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["Settings, Security"] * 2
    assert len(done.stdout.splitlines()) == 4


def test_a_broker_or_a_topic_that_is_not_there_is_told(served: System) -> None:
    def refuses(said: str, **changed: str) -> None:
        way = OverKafka(served.settings.kafka.model_copy(update=changed))
        with Client(way, timeout=60) as client, pytest.raises((Unreachable, NotSent), match=said):
            client.teach("hello") if "texts" in changed else client.ask("hello")

    refuses("no Kafka broker", bootstrap="127.0.0.1:1")
    refuses("no such topic: absent", answers="absent")
    refuses("no such topic, or no right to see it: absent", texts="absent")


def forbids(system: System, before_ms: int) -> None:
    """The topic of texts takes none that are older, from soon on."""
    with KafkaAdminClient(bootstrap_servers=system.settings.kafka.bootstrap) as admin:
        configs = {"message.timestamp.before.max.ms": str(before_ms)}
        admin.alter_configs([ConfigResource("topic", system.settings.kafka.texts, configs=configs)])


def good_ones(system: System) -> list[str]:
    return sorted(text for text in system.texts_in_store() if text.startswith(("after ", "beside ")))


OLD = "topic,partition,offset,timestamp,text\nt,0,1,1000,an old one\nt,0,2,1000,another old one\n"


def test_a_text_that_the_broker_refuses_is_told_and_those_beside_it_are_written_once(served: System) -> None:
    address, key = address_of(gateway_of(served)), iter(range(10_000))

    async def run() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=120) as http:

            async def post(path: str, content: str, kind: str, keyed: bool) -> httpx.Response:
                headers = {"Content-Type": kind, **({"Idempotency-Key": f"{next(key)}"} if keyed else {})}
                return await http.post(path, content=content, headers=headers)

            def good(name: str) -> Awaitable[httpx.Response]:
                body = json.dumps({"text": name, "context": "refusals"})
                return post("/v1/texts", body, "application/json", name[-1] in "02468")

            async def bad(keyed: bool = True) -> httpx.Response:
                return await post("/v1/files", OLD, "text/csv", keyed)

            while (await bad()).status_code == 202:
                await asyncio.sleep(0.1)
            for keyed in (True, False):
                refused = await bad(keyed)
                assert refused.status_code == 422
                assert "Timestamp 1000 of message" in refused.json()["detail"]
                for n in range(2):
                    assert (await good(f"after {keyed} {n}")).status_code == 202
            many = [bad(n == 7) if n in (3, 7) else good(f"beside {n}") for n in range(20)]
            statuses = [response.status_code for response in await asyncio.gather(*many)]
            assert statuses == [422 if n in (3, 7) else 202 for n in range(20)]

    forbids(served, 3_600_000)
    try:
        asyncio.run(run())
    finally:
        forbids(served, 2**63 - 1)
    with Client(transport(served, "http"), timeout=60) as client:
        client.wait(client.teach("the last one", context="refusals"), context="refusals")
    names = [f"after {keyed} {n}" for keyed in (True, False) for n in range(2)]
    names += [f"beside {n}" for n in range(20) if n not in (3, 7)]
    # They lie in several partitions, and the last one only in one of them.
    wait_for(lambda: len(good_ones(served)) >= len(names), what="all are in")
    assert good_ones(served) == sorted(names)
