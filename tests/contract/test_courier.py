"""What a courier promises, of the real one and of its twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from hurnet_stream.adapters.kafka import KafkaSink, ensure_topics
from hurnet_stream.adapters.kafka.courier import KafkaCourier
from hurnet_stream.ports import Acknowledged, Courier, News, Outgoing, Replied, Undelivered
from hurnet_stream.settings.settings import KafkaSettings
from tests.acceptance.system import wait_for
from tests.memory.courier import Clock, MemoryCourier
from tests.memory.kafka import MemoryKafka
from tests.memory.sink import MemorySink

Send = Callable[[Outgoing], object]
Courting = tuple[Courier, Send, KafkaSettings]


@pytest.fixture(params=["memory", "kafka"])
def courting(request: pytest.FixtureRequest, unique: str) -> Iterator[Courting]:
    """A courier that hears replies, somebody else's producer, and the settings of both."""
    if request.param == "memory":
        kafka, settings = MemoryKafka(), KafkaSettings()
        for topic in ("texts", "queries"):
            kafka.create(topic, partitions=2)
        kafka.create("answers")
        MemorySink(kafka).send([Outgoing("answers", b"from before")])
        yield MemoryCourier(kafka, "answers", Clock()), lambda m: MemorySink(kafka).send([m]), settings
        return
    bootstrap = request.getfixturevalue("kafka_bootstrap")
    names = {name: f"{unique}-{name.replace('_', '-')}" for name in ("texts", "queries", "answers")}
    settings = KafkaSettings(bootstrap=bootstrap, partitions=2, request_timeout=5, **names)
    ensure_topics(settings, create=True)
    with closing(KafkaSink(settings)) as sink:
        sink.send([Outgoing(settings.answers, b"from before")])
        with closing(KafkaCourier(settings, settings.answers)) as courier:
            wait_for(lambda: courier.trouble() is None and courier.partitions(settings.texts))
            yield courier, lambda m: sink.send([m]), settings


def heard(courier: Courier, count: int) -> list[News]:
    """The next `count` events."""
    news: list[News] = []

    def enough() -> bool:
        news.extend(courier.receive(0.1))
        return len(news) >= count

    wait_for(enough)
    return news


def test_what_is_posted_is_acknowledged_with_its_place_in_order(courting: Courting) -> None:
    courier, _, kafka = courting
    for number in range(3):
        courier.post(f"text/{number}", Outgoing(kafka.texts, b"{}", b"key", (), 1))
    news = heard(courier, 3)
    assert [each.ticket for each in news if isinstance(each, Acknowledged)] == ["text/0", "text/1", "text/2"]
    assert [(each.partition, each.offset) for each in news if isinstance(each, Acknowledged)] == [
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert (courier.partitions(kafka.texts), courier.trouble()) == (2, None)


def test_what_can_not_be_sent_is_told_and_what_follows_is_sent(courting: Courting) -> None:
    courier, _, kafka = courting
    courier.post("large", Outgoing(kafka.texts, b"x" * (2 << 20)))
    courier.post("nowhere", Outgoing(kafka.texts, b"x", None, (), 17))
    courier.post("missing", Outgoing(f"{kafka.texts}-missing", b"x"))
    courier.post("well", Outgoing(kafka.texts, b"{}", None, (), 0))
    news = {each.ticket: each for each in heard(courier, 4) if not isinstance(each, Replied)}
    refused = [name for name, each in news.items() if isinstance(each, Undelivered) and each.why]
    assert sorted(refused) == ["large", "missing", "nowhere"]
    assert isinstance(news["well"], Acknowledged)


def test_replies_are_heard_from_the_beginning_of_listening_on(courting: Courting) -> None:
    courier, send, kafka = courting
    send(Outgoing(kafka.answers, b"first", None, (("correlation-id", b"mine"),)))
    send(Outgoing(kafka.answers, b"second"))
    news = heard(courier, 2)
    assert [(each.correlation, each.value) for each in news if isinstance(each, Replied)] == [
        ("mine", b"first"),
        ("", b"second"),
    ]
    assert list(courier.receive(0.0)) == []
