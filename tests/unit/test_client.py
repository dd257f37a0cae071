"""The client library: the same over Kafka and over HTTP, each way with a hurnet in memory behind it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from hurnet_schemas import Answer, Coordinates, Feedback, Query, Reply, TextEvent
from hurnet_stream.client import (
    AsyncClient,
    Client,
    ClientError,
    Closed,
    InvalidRequest,
    NoReply,
    NotAllTaught,
    Transport,
    Watermarks,
    async_client,
    over_kafka,
)
from hurnet_stream.client.messages import BYTES_MOST, TEXTS_MOST
from hurnet_stream.client.over_http import OverHttp
from hurnet_stream.client.over_kafka import OverKafka
from hurnet_stream.settings.settings import KafkaSettings
from tests.memory.hurnet import MemoryCourierOf, MemoryEffects, MemoryGateway, MemoryHurnet

ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture
def hurnet() -> MemoryHurnet:
    return MemoryHurnet()


@pytest.fixture(params=["kafka", "http"])
def way(request: pytest.FixtureRequest, hurnet: MemoryHurnet, monkeypatch: pytest.MonkeyPatch) -> Transport:
    if request.param == "http":
        return OverHttp(ADDRESS, "hk_secret", MemoryGateway(hurnet).transport())
    monkeypatch.setattr("hurnet_stream.client.switchboard.LISTEN_S", 0.01)
    monkeypatch.setattr(over_kafka, "KafkaListener", lambda *_: MemoryEffects(hurnet))
    monkeypatch.setattr(over_kafka, "end_offsets", lambda *_: {0: len(hurnet.topics.get("texts", []))})
    return OverKafka(KafkaSettings(), courier=MemoryCourierOf(hurnet))


@pytest.fixture
def client(way: Transport) -> Iterator[Client]:
    with Client(way, timeout=20) as client:
        yield client


def test_what_is_taught_is_answered_corrected_and_forgotten(client: Client) -> None:
    seen = client.teach("I forgot my password", "Settings", key="faq-7", metadata={"lang": "en"}, weight=3)
    assert seen == {0: 0}
    reply = client.ask("I forgot my password", after=seen)
    assert (reply.answer, reply.question, reply.record) == ("Settings", "I forgot my password", "answers/0/0")
    corrected = client.correct("I forgot my password", "Reset", given="Settings")
    assert corrected.taught
    assert corrected.feedback == "feedback/0/0"
    assert client.ask("I forgot my password", after=corrected.watermarks).answer == "Reset"
    client.correct("I forgot my password", retract=True)
    forgotten = client.forget(key="faq-7")
    assert forgotten.records == ("texts/0/4",)
    client.wait(forgotten.watermarks)
    assert client.ask("I forgot my password").outcome == "abstained"
    client.teach("again", key="k")
    assert client.forget(entry=(0, 5)).watermarks == {0: 6}
    assert client.forget(entry=Coordinates(partition=0, offset=5)).watermarks == {0: 7}


def test_the_same_with_await(way: Transport) -> None:
    async def run() -> None:
        async with AsyncClient(way) as client:
            seen = await client.teach("hello", "hi")
            assert (await client.ask("hello", after=seen)).answer == "hi"
            replies = [reply.answer async for reply in client.ask_many(["hello"] * 100)]
            assert replies == ["hi"] * 100
            corrected = await client.correct("hello", "hey")
            await client.wait(corrected.watermarks)
            assert (await client.forget(entry=(0, 0))).watermarks

    asyncio.run(run())


def test_many_questions_are_answered_in_their_order(client: Client, hurnet: MemoryHurnet) -> None:
    texts = [f"text {i}" for i in range(300)]
    client.teach_many((text, text.upper()) for text in texts)
    assert [reply.answer for reply in client.ask_many(iter(texts), at_once=7)] == [t.upper() for t in texts]
    endless = client.ask_many((f"text {i}" for i in itertools.count()), at_once=5)
    assert [next(endless).answer for _ in range(3)] == ["TEXT 0", "TEXT 1", "TEXT 2"]
    endless.close()
    assert len(hurnet.asked()) < 300 + 20


def test_many_questions_with_await_may_be_an_endless_async_generator(way: Transport) -> None:
    async def questions() -> AsyncIterator[str]:
        for i in itertools.count():
            yield f"text {i}"
            await asyncio.sleep(0)

    async def run() -> None:
        async with AsyncClient(way) as client:
            asking = client.ask_many(questions(), at_once=3)
            seen = [(await anext(asking)).question for _ in range(10)]
            assert seen == [f"text {i}" for i in range(10)]
            await asking.aclose()
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_the_error_of_one_question_or_of_their_source_ends_all(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="text"):
        list(client.ask_many(["fine", " ", "fine"]))

    def broken() -> Iterator[str]:
        yield "fine"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(client.ask_many(broken()))
    with pytest.raises(InvalidRequest, match="at_once"):
        list(client.ask_many(["fine"], at_once=0))


def test_a_source_that_fails_with_await_ends_all(way: Transport) -> None:
    def broken() -> Iterator[str]:
        yield "fine"
        raise KeyError("mine")

    async def run() -> None:
        async with AsyncClient(way) as client:
            with pytest.raises(KeyError, match="mine"):
                [reply async for reply in client.ask_many(broken())]
            with pytest.raises(InvalidRequest, match="text"):
                [reply async for reply in client.ask_many(["fine", " ", "fine"])]

    asyncio.run(run())


def test_a_generator_is_taught_in_order_and_bounded_memory(client: Client, hurnet: MemoryHurnet) -> None:
    taken = 0

    def texts() -> Iterator[dict[str, str]]:
        nonlocal taken
        for number in range(3 * TEXTS_MOST + 7):
            # What was taken and is not written yet is never more than what goes together, and one.
            assert number - len(hurnet.topics.get("texts", [])) <= TEXTS_MOST + 1
            taken += 1
            yield {"text": f"text {number}", "key": str(number)}

    assert client.teach_many(texts()) == {0: taken - 1}
    assert hurnet.texts() == [f"text {number}" for number in range(taken)]
    assert [key for key, _ in hurnet.topics["texts"]] == [str(n).encode() for n in range(taken)]


def test_long_texts_go_in_small_portions(client: Client, hurnet: MemoryHurnet) -> None:
    def texts() -> Iterator[str]:
        for number in range(100):
            assert number - len(hurnet.topics.get("texts", [])) <= BYTES_MOST // (4 * 16_000) + 1
            yield "x" * 16_000 + str(number)

    assert client.teach_many(texts()) == {0: 99}


@pytest.mark.parametrize("number", [0, TEXTS_MOST - 1, 2 * TEXTS_MOST + 3])
def test_a_wrong_text_is_named_and_what_is_written_is_known(
    client: Client, hurnet: MemoryHurnet, number: int
) -> None:
    texts: list[Any] = [f"text {i}" for i in range(3 * TEXTS_MOST)]
    texts[number] = {"text": "fine", "answers": "misspelt"}
    with pytest.raises(ClientError, match=rf"texts\.{number}\.answers: ") as caught:
        client.teach_many(texts)
    written = number // TEXTS_MOST * TEXTS_MOST
    assert len(hurnet.topics.get("texts", [])) == written
    if written:
        assert isinstance(caught.value, NotAllTaught)
        assert (caught.value.taught, caught.value.unsure) == (written, 0)
        assert caught.value.watermarks == {0: written - 1}
    else:
        assert isinstance(caught.value, InvalidRequest)


async def endless() -> AsyncIterator[str]:
    yield "for an `AsyncClient` alone"


WRONG: list[tuple[str, Callable[[Client], object]]] = [
    ("text", lambda c: c.ask("")),
    ("text", lambda c: c.ask("x" * 20_000)),
    ("text", lambda c: c.ask("\0")),
    ("text", lambda c: c.ask("\ud800")),
    ("text", lambda c: c.ask(7)),  # type: ignore[arg-type]
    ("context", lambda c: c.ask("x", context="No Name")),
    ("top_k", lambda c: c.ask("x", top_k=0)),
    ("neighbours", lambda c: c.ask("x", neighbours=51)),
    ("filter", lambda c: c.ask("x", filter={"key": "a", "is": 3})),
    ("after", lambda c: c.ask("x", after={-1: 3})),
    ("timeout", lambda c: c.ask("x", timeout=0)),
    ("timeout", lambda c: c.ask("x", timeout=float("nan"))),
    ("timeout", lambda c: c.ask("x", timeout="soon")),  # type: ignore[arg-type]
    ("timeout", lambda c: c.ask("x", timeout=10**400)),
    ("after", lambda c: c.ask("x", after="0=41")),  # type: ignore[arg-type]
    ("watermarks", lambda c: c.wait({-1: 3})),
    ("watermarks", lambda c: c.wait(7)),  # type: ignore[arg-type]
    ("answer", lambda c: c.teach("x", " ")),
    ("weight", lambda c: c.teach("x", "y", weight=0)),
    ("metadata", lambda c: c.teach("x", metadata={"a b": "c"})),
    ("key", lambda c: c.teach("x", key="")),
    ("key", lambda c: c.teach("x", key="é" * 600)),
    ("key", lambda c: c.teach("x", key="\ud800")),
    ("key", lambda c: c.teach("x", key="hurnet-forget/0/1")),
    ("key", lambda c: c.teach("x", key=7)),  # type: ignore[arg-type]
    ("key", lambda c: c.forget(key="\udcff")),
    ("text", lambda c: c.teach(("a", "b", "c"))),  # type: ignore[arg-type]
    ("text", lambda c: c.teach({"answer": "x"})),
    ("texts", lambda c: c.teach_many("hello")),
    ("texts", lambda c: c.teach_many(TextEvent(text="hello"))),
    ("texts", lambda c: c.teach_many({"text": "hello"})),
    ("questions", lambda c: list(c.ask_many("hello"))),
    ("questions", lambda c: list(c.ask_many(None))),  # type: ignore[arg-type]
    ("questions", lambda c: list(c.ask_many(endless()))),  # type: ignore[arg-type]
    ("texts", lambda c: c.teach_many(endless())),  # type: ignore[arg-type]
    ("texts", lambda c: c.teach_many(7)),  # type: ignore[arg-type]
    ("at_once", lambda c: list(c.ask_many(["x"], at_once="3"))),  # type: ignore[arg-type]
    ("at_once", lambda c: list(c.ask_many(["x"], at_once=2.5))),  # type: ignore[arg-type]
    ("typo", lambda c: c.teach({"text": "x", "typo": "x"})),
    ("answer", lambda c: c.correct("x")),
    ("retract", lambda c: c.correct("x", "y", retract=True)),
    ("question", lambda c: c.correct(" ", "y")),
    ("entry", lambda c: c.forget()),
    ("entry", lambda c: c.forget(entry=(0, 0), key="k")),
    ("partition", lambda c: c.forget(entry=(-1, 0))),
    ("entry", lambda c: c.forget(entry=(1, 2, 3))),  # type: ignore[arg-type]
    ("entry", lambda c: c.forget(entry=7)),  # type: ignore[arg-type]
    ("entry", lambda c: c.forget(entry=Reply(id="a", outcome="answered", question="x"))),  # type: ignore[arg-type]
    ("entry", lambda c: c.forget(entry="here")),
    ("context", lambda c: c.forget(entry=(0, 0), context="faq")),
    ("context", lambda c: c.forget(key="k", context="*")),
]


@pytest.mark.parametrize(("where", "call"), WRONG, ids=map(str, range(len(WRONG))))
def test_a_wrong_field_is_named_and_nothing_is_sent(
    client: Client, hurnet: MemoryHurnet, where: str, call: Callable[[Client], object]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(client)
    assert caught.value.where.startswith(where)
    assert str(caught.value).startswith(where)
    assert hurnet.topics == {}


def test_messages_may_be_given_whole_and_what_they_say_counts_first(
    client: Client, hurnet: MemoryHurnet
) -> None:
    client.teach(TextEvent(text="hello", context="a"), "hi", context="b", key="k")
    event = TextEvent.decode(hurnet.topics["texts"][0][1])
    assert (event.answer, event.context, hurnet.topics["texts"][0][0]) == ("hi", "a", b"k")
    client.ask(Query(text="hello", timeout_ms=7, context="a"), context="b", top_k=3)
    query = Query.decode(hurnet.topics["queries"][0][1])
    assert (query.timeout_ms, query.context, query.top_k) == (7, "a", 3)
    whole = Feedback(question="hello", verdict="wrong", answer="hi")
    client.correct(whole, "not this", given="hey", context="a", metadata={"lang": "en"})
    said = Feedback.decode(hurnet.topics["feedback"][0][1])
    assert (said.verdict, said.answer, said.given, said.context) == ("wrong", "hi", "hey", "a")
    assert said.metadata == {"lang": "en"}


def test_nobody_answers(client: Client, hurnet: MemoryHurnet) -> None:
    hurnet.silent = True
    began = time.monotonic()
    with pytest.raises(NoReply, match="does a responder run"):
        client.ask("anybody?", timeout=0.3)
    with pytest.raises(TimeoutError):  # it is one of Python's own, too
        client.ask("anybody?", timeout=0.1)
    assert time.monotonic() - began < 10


def test_waiting_ends_when_there_is_nothing_to_wait_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.wait({})
    monkeypatch.setattr(async_client, "LOOK_AGAIN_S", 60.0)  # there is no time for a second look
    with pytest.raises(NoReply, match="not seen within 20 s: not there"):
        client.wait({0: 99})


def test_waiting_says_what_it_heard_last_if_its_last_look_gets_no_reply(
    client: Client, hurnet: MemoryHurnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = hurnet.answer

    def for_the_last_time(query: Query, offset: int) -> Answer:
        hurnet.silent = True
        return answer(query, offset)

    monkeypatch.setattr(hurnet, "answer", for_the_last_time)
    with pytest.raises(NoReply, match="not seen within 3 s: not there"):
        client.wait({0: 99}, timeout=3)
    with pytest.raises(NoReply, match="no reply within"):
        client.wait({0: 99}, timeout=0.5)


def test_threads_may_share_a_client(client: Client, hurnet: MemoryHurnet) -> None:
    client.teach_many([(f"text {i}", f"answer {i}") for i in range(20)])
    wrong: list[object] = []

    def work(number: int) -> None:
        for _ in range(10):
            reply = client.ask(f"text {number}")
            if reply.answer != f"answer {number}":
                wrong.append(reply)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert len(hurnet.asked()) == 200


def test_closing_ends_what_is_under_way(client: Client, hurnet: MemoryHurnet) -> None:
    hurnet.silent = True
    asked = [client.submit("anybody?", timeout=60) for _ in range(20)]
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            client.ask("anybody?", timeout=60)
        except ClientError as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while len(hurnet.asked()) < 21:
        time.sleep(0.005)
    client.close()
    waiting.join(20)
    assert [type(error) for error in ended] == [Closed]
    assert all(future.done() for future in asked)
    client.close()
    with pytest.raises(Closed):
        client.ask("anybody?")
    with pytest.raises(Closed):
        list(client.ask_many(["anybody?"]))


def test_closing_with_await_ends_what_is_under_way(way: Transport, hurnet: MemoryHurnet) -> None:
    async def run() -> None:
        hurnet.silent = True
        client = AsyncClient(way, timeout=60)
        asked = [asyncio.create_task(client.ask("anybody?")) for _ in range(20)]
        while len(hurnet.asked()) < 20:
            await asyncio.sleep(0.005)
        await client.close()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in ended} == {Closed}
        with pytest.raises(Closed):
            await client.ask("anybody?")
        await client.close()

    asyncio.run(run())


def test_a_callback_may_close_the_client(client: Client, hurnet: MemoryHurnet) -> None:
    hurnet.silent = True  # so that the callback is there before the future ends
    closed = threading.Event()

    def close(_: object) -> None:
        client.close()
        closed.set()

    asked = client.submit("hello", timeout=0.3)
    asked.add_done_callback(close)
    with pytest.raises(NoReply):
        asked.result(120)
    assert closed.wait(120)
    with pytest.raises(Closed):
        client.ask("hello")


def test_a_client_belongs_to_one_event_loop(way: Transport) -> None:
    client = AsyncClient(way)

    async def ask() -> None:
        await client.ask("hello")

    asyncio.run(ask())
    with pytest.raises(ClientError, match="another event loop"):
        asyncio.run(ask())
    asyncio.run(client.close())


def test_closing_ends_what_is_asked_in_order(client: Client, hurnet: MemoryHurnet) -> None:
    hurnet.silent = True
    asking = client.ask_many(["anybody?"] * 3, at_once=3, timeout=60)
    closing = threading.Timer(0.2, client.close)
    closing.start()
    with pytest.raises(Closed):
        next(asking)
    closing.join()


def test_a_cancelled_question_is_forgotten(client: Client, hurnet: MemoryHurnet) -> None:
    hurnet.silent = True
    asked = client.submit("anybody?", timeout=60)
    while not hurnet.asked():
        time.sleep(0.005)
    assert asked.cancel()
    hurnet.silent = False
    assert client.ask("somebody?").outcome == "abstained"


def test_a_callback_that_would_wait_for_itself_is_told(client: Client, hurnet: MemoryHurnet) -> None:
    told: list[BaseException] = []
    hurnet.silent = True  # so that the callback is there before the future ends
    asked = client.submit("hello", timeout=5)

    def ask_again(_: object) -> None:
        try:
            client.ask("hello")
        except ClientError as error:
            told.append(error)

    asked.add_done_callback(ask_again)
    with pytest.raises(NoReply):
        asked.result(120)
    while not told:
        time.sleep(0.005)
    assert "callback" in str(told[0])


def test_who_checks_types_is_told_of_a_name_that_the_package_lacks() -> None:
    with pytest.raises(ImportError):
        from hurnet_stream import Clinet  # type: ignore[attr-defined] # noqa: F401 - the ignore is the test


def test_no_secret_is_shown(client: Client) -> None:
    assert "hk_secret" not in repr(client) + str(vars(client))
    assert repr(client).startswith(("Client(OverHttp('http://127.0.0.1:8080')", "Client(OverKafka('kafka://"))


def test_watermarks_join_to_the_higher_offsets() -> None:
    seen = Watermarks({0: 41}) | {0: 39, 1: 7}
    assert seen == {0: 41, 1: 7}
    assert ({0: 50} | seen) == {0: 50, 1: 7}
    seen |= {1: 9}
    assert repr(seen) == "Watermarks({0: 41, 1: 9})"
