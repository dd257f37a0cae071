"""The client over Kafka: when it asks, what it tries again, and what it says if something is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import pytest

from hurnet_schemas import Query
from hurnet_stream.client import (
    Client,
    ClientError,
    NotAllTaught,
    NotSent,
    NotTaught,
    NotThere,
    Unreachable,
    over_kafka,
    retrying,
)
from hurnet_stream.client.over_kafka import OverKafka
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.settings.settings import KafkaSettings
from tests.memory.hurnet import MemoryCourierOf, MemoryEffects, MemoryHurnet

NO_TOPIC = "no such topic, or no right to see it: queries"


@pytest.fixture
def courier(monkeypatch: pytest.MonkeyPatch) -> MemoryCourierOf:
    monkeypatch.setattr("hurnet_stream.client.switchboard.LISTEN_S", 0.01)
    return MemoryCourierOf(MemoryHurnet())


@pytest.fixture
def client(courier: MemoryCourierOf) -> Iterator[Client]:
    with Client(OverKafka(KafkaSettings(), courier=courier), timeout=20) as client:
        yield client


def later(seconds: float, courier: MemoryCourierOf, **changes: str | None) -> threading.Thread:
    def change() -> None:
        time.sleep(seconds)
        for name, value in changes.items():
            setattr(courier, name, value)

    thread = threading.Thread(target=change)
    thread.start()
    return thread


def test_it_asks_once_replies_can_be_read(client: Client, courier: MemoryCourierOf) -> None:
    courier.waiting_for = "not connected to Kafka yet"
    waiting = client.submit("hello")
    time.sleep(0.1)
    assert courier.hurnet.asked() == []
    courier.waiting_for = None
    assert waiting.result(20).outcome == "abstained"
    assert courier.hurnet.asked() == ["hello"]


def test_a_kafka_that_was_never_reached_is_told_at_once_and_one_that_was_is_waited_for(
    client: Client, courier: MemoryCourierOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = chain(["not connected to Kafka yet"], repeat("reading answers: no Kafka broker at 127.0.0.1:1"))
    with monkeypatch.context() as patch:
        patch.setattr(courier, "trouble", lambda: next(told))
        with pytest.raises(Unreachable, match=r"^no Kafka broker at 127\.0\.0\.1:1"):
            client.ask("hello")
    client.ask("hello")
    courier.waiting_for = "reading answers: gone for a while"
    changing = later(0.2, courier, waiting_for=None)
    assert client.ask("hello").outcome == "abstained"
    changing.join()
    courier.waiting_for = "reading answers: gone for long"
    with pytest.raises(Unreachable, match="gone for long"):
        client.ask("hello", timeout=0.2)


def test_a_question_that_kafka_did_not_take_is_asked_again_and_a_write_is_not(
    client: Client, courier: MemoryCourierOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier.refusing = NO_TOPIC
    changing = later(0.2, courier, refusing=None)
    assert client.ask("hello").outcome == "abstained"
    changing.join()
    courier.refusing = "no such topic: texts"
    with pytest.raises(NotSent, match="no such topic: texts"):
        client.teach("hello")
    with pytest.raises(NotAllTaught, match=r"after 0 texts: .*no such topic: texts") as caught:
        client.teach_many(["hello", "there"])
    assert (caught.value.taught, caught.value.unsure) == (0, 2)
    courier.refusing = NO_TOPIC
    # There is no time for another try, under way in which the time could end without a word from Kafka.
    monkeypatch.setattr(retrying, "pause_s", lambda *_: 60.0)
    with pytest.raises(NotSent, match=NO_TOPIC):
        client.ask("hello")


def test_a_broker_that_never_acknowledges_is_given_up(
    client: Client, courier: MemoryCourierOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "post", lambda *_: None)
    with pytest.raises(NotSent, match=r"not acknowledged it within 0\.2 s; it may have been written"):
        client.teach("hello", timeout=0.2)


def test_what_kafka_refuses_to_be_read_is_an_error_of_the_client(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise ConfigurationError("no such topic: texts")

    monkeypatch.setattr(over_kafka, "KafkaListener", refuse)
    monkeypatch.setattr(over_kafka, "end_offsets", refuse)
    for call in (lambda: client.correct("hello", "hi"), lambda: client.forget(key="k")):
        with pytest.raises(ClientError, match="no such topic: texts"):
            call()


def test_a_correction_that_nobody_teaches_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_kafka, "KafkaListener", lambda *_: MemoryEffects(MemoryHurnet()))
    with pytest.raises(NotTaught, match="does a feedback worker run") as caught:
        client.correct("hello", "hi", timeout=4.0)
    assert caught.value.feedback == "feedback/0/0"


def test_many_corrections_at_once_share_one_reader(
    client: Client, courier: MemoryCourierOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[MemoryEffects] = []

    def listener(*_: object) -> MemoryEffects:
        made.append(MemoryEffects(courier.hurnet))
        return made[-1]

    monkeypatch.setattr(over_kafka, "KafkaListener", listener)
    with ThreadPoolExecutor(50) as threads:
        corrected = list(threads.map(lambda n: client.correct(f"question {n}", "hi"), range(50)))
    assert len({each.feedback for each in corrected}) == 50
    assert all(each.taught for each in corrected)
    assert len(made) == 1


def test_an_entry_that_was_never_written_is_not_there(
    client: Client, courier: MemoryCourierOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_kafka, "end_offsets", lambda *_: {0: 5, 1: 0})
    for entry in ((0, 5), (1, 0), (2, 0)):
        with pytest.raises(NotThere, match=f"no record {entry[0]}/{entry[1]}"):
            client.forget(entry=entry)
    assert courier.hurnet.topics == {}
    assert len(client.forget(key="k").records) == 2  # each partition is asked


def test_a_query_waits_a_little_less_than_its_client(client: Client, courier: MemoryCourierOf) -> None:
    for timeout, wait_ms in ((20, 18_000), (1, 500), (3_600, 60_000), (0.0001, 1)):
        courier.hurnet.topics.clear()
        client.submit("hello", timeout=timeout)
        deadline = time.monotonic() + 20
        while not (asked := courier.hurnet.topics.get("queries")) and timeout > 0.01:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        for _, value in asked or ():
            assert Query.decode(value).timeout_ms == wait_ms
