"""What an atomic sink promises, of the real one and of its twin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.producer import transaction_manager
from kafka.producer.transaction_manager import TransactionManager
from kafka.protocol.producer import InitProducerIdRequest

from hurnet_stream.adapters.kafka import KafkaAtomicSink, KafkaSink, ensure_topics
from hurnet_stream.adapters.kafka.client import internals
from hurnet_stream.adapters.kafka.exchange.producer import TransactionalProducer
from hurnet_stream.errors import ConfigurationError, Superseded, TooLarge, TransientError, Undeliverable
from hurnet_stream.ports import AtomicSink, Outgoing, Record
from hurnet_stream.settings.settings import KafkaSettings
from tests.memory.atomic_sink import MemoryAtomicSink
from tests.memory.kafka import MemoryKafka
from tests.memory.sink import MemorySink

World = tuple[Callable[[], AtomicSink], str, Callable[[Outgoing], object]]
SINCE = {0: 0, 1: 0}
AN_HOUR_AGO_MS = round(time.time() * 1000) - 3_600_000
REFUSED: dict[str, Callable[[str], Outgoing]] = {
    "out of range": lambda strict: Outgoing(strict, b"x", b"key", timestamp_ms=1_000),
    "without": lambda strict: Outgoing(strict, b"x", None),
    "large": lambda strict: Outgoing(strict, b"x" * 5_000, b"key"),
}


@pytest.fixture(params=["memory", "kafka"])
def world(request: pytest.FixtureRequest, unique: str) -> Iterator[World]:
    """Makes sinks; a topic of two partitions; somebody else's producer."""
    if request.param == "memory":
        kafka = MemoryKafka()
        kafka.create("texts", partitions=2)
        kafka.create("texts-strict")
        kafka.earliest_ms["texts-strict"] = AN_HOUR_AGO_MS
        kafka.needs_keys.add("texts-strict")
        kafka.max_message_bytes["texts-strict"] = 2_000
        yield lambda: MemoryAtomicSink(kafka, unique), "texts", lambda m: MemorySink(kafka).send([m])
        return
    settings = KafkaSettings(
        bootstrap=request.getfixturevalue("kafka_bootstrap"),
        partitions=2,
        request_timeout=20,
        texts=f"{unique}-texts",
    )
    ensure_topics(settings, create=True)
    make_strict(settings)
    with closing(KafkaSink(settings)) as other:
        yield (
            lambda: KafkaAtomicSink(settings, f"{unique}-gateway", 30, 60),
            settings.texts,
            lambda m: other.send([m]),
        )


def make_strict(settings: KafkaSettings) -> str:
    """A topic that refuses much of what clients send to it."""
    configs = {
        "message.timestamp.before.max.ms": "3600000",
        "cleanup.policy": "compact",
        "max.message.bytes": "2000",
    }
    topic = f"{settings.texts}-strict"
    with KafkaAdminClient(bootstrap_servers=settings.bootstrap) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "configs": configs}}, wait_for_metadata=True)
    return topic


def fits(strict: str, value: bytes) -> Outgoing:
    return Outgoing(strict, value, b"key")


def texts(topic: str, *values: str) -> list[Outgoing]:
    return [Outgoing(topic, value.encode(), None, (), i % 2) for i, value in enumerate(values)]


def found(
    sink: AtomicSink, topic: str, since: dict[int, int] | None = None
) -> list[tuple[int, int, bytes | None]]:
    seen = sink.find(topic, lambda _: True, SINCE if since is None else since, 120)
    assert seen.complete
    return [(record.partition, record.offset, record.value) for record in seen.records]


def test_what_is_written_together_is_found_from_where_it_began(world: World) -> None:
    make, topic, _ = world
    with closing(make()) as sink:
        sink.begin()
        first = sink.write(texts(topic, "a", "b", "c"), sink.name)
        ends = sink.ends(topic)
        second = sink.write(texts(topic, "d"), sink.name)
        assert [place[0] for place in first] == [0, 1, 0]
        assert found(sink, topic) == [
            (*first[0], b"a"), (*first[2], b"c"), (*second[0], b"d"), (*first[1], b"b")
        ]  # fmt: skip
        assert found(sink, topic, dict(ends)) == [(*second[0], b"d")]
        beyond = dict.fromkeys(SINCE, 10_000)  # of a topic that was made anew
        assert len(found(sink, topic, beyond)) == 4


def test_only_the_wanted_are_found(world: World) -> None:
    make, topic, _ = world

    def has_mark(record: Record) -> bool:
        return record.header("mark") == b"1"

    with closing(make()) as sink:
        sink.begin()
        marked = Outgoing(topic, b"x", None, (("mark", b"1"),), 1)
        place = sink.write([*texts(topic, "a", "b"), marked], sink.name)[2]
        (record,) = sink.find(topic, has_mark, {}, 120).records
        assert (record.partition, record.offset) == place


def test_who_was_fenced_writes_no_more_and_goes_on_under_a_new_name(world: World) -> None:
    make, topic, _ = world
    with closing(make()) as first, closing(make()) as second:
        first.begin()
        second.begin()
        name = first.name
        assert name != second.name
        first.write(texts(topic, "a"), name)
        second.fence(name)
        with pytest.raises(TransientError):
            first.write(texts(topic, "zombie", "zombie"), name)
        assert first.name != name
        with pytest.raises(Superseded):
            first.write(texts(topic, "zombie"), name)
        first.begin()
        assert first.name not in ("", name)
        with pytest.raises(Superseded):
            first.write(texts(topic, "zombie"), name)
        first.write(texts(topic, "b"), first.name)
        second.write(texts(topic, "c"), second.name)  # who fences goes on under its own name
        assert [value for _, _, value in found(second, topic)] == [b"a", b"b", b"c"]


def test_a_message_that_is_refused_costs_the_name_nothing(world: World) -> None:
    make, topic, _ = world
    with closing(make()) as sink:
        sink.begin()
        name = sink.name
        large = Outgoing(topic, b"x" * (2 << 20), None, (), 0)
        with pytest.raises(Undeliverable) as refused:
            sink.write([*texts(topic, "a"), large], name)
        assert 1 in refused.value.suspects
        with pytest.raises(Undeliverable) as gone:
            sink.write([Outgoing(f"{topic}-missing", b"x")], name)
        assert gone.value.topics
        with suppress(Undeliverable):
            sink.write([Outgoing(topic, b"x", None, (), 17)], name)
        assert sink.name == name
        sink.write(texts(topic, "b"), name)
        assert [value for _, _, value in found(sink, topic)] == [b"b"]


def test_what_a_broker_refuses_costs_neither_the_name_nor_what_follows(world: World) -> None:
    make, topic, _ = world
    strict = f"{topic}-strict"
    with closing(make()) as sink:
        sink.begin()
        name, written = sink.name, list[bytes]()
        for why, refused in REFUSED.items():
            with pytest.raises(Undeliverable, match=why) as caught:
                sink.write([fits(strict, b"lost"), refused(strict), *texts(topic, "lost")], name)
            assert 1 in caught.value.suspects
            assert isinstance(caught.value, TooLarge) == (why == "large")
            assert sink.name == name
            for _ in range(2):
                written.append(f"{len(written)}".encode())
                sink.write([fits(strict, written[-1]), *texts(topic, "good")], name)
        assert [value for _, _, value in found(sink, strict)] == written
        assert len(found(sink, topic)) == len(written)


@pytest.mark.parametrize("first", [fits("", b"a"), REFUSED["out of range"]("")], ids=["taken", "refused"])
def test_what_was_sent_before_the_client_itself_refused_one_costs_nothing_that_follows(
    kafka_bootstrap: str, unique: str, monkeypatch: pytest.MonkeyPatch, first: Outgoing
) -> None:
    settings = KafkaSettings(bootstrap=kafka_bootstrap, request_timeout=20, texts=f"{unique}-texts")
    strict, undo = make_strict(settings), TransactionalProducer.undo

    def undo_once_answered(producer: TransactionalProducer, timeout_s: float) -> bool:
        for future in producer._futures:
            with suppress(KafkaError):
                future.get(timeout_s)
        return undo(producer, timeout_s)

    monkeypatch.setattr(TransactionalProducer, "undo", undo_once_answered)
    with closing(KafkaAtomicSink(settings, f"{unique}-gateway", 30, 60)) as sink:
        sink.begin()
        name = sink.name
        large = Outgoing(strict, b"x" * (2 << 20), b"key")
        with pytest.raises(TooLarge) as caught:
            sink.write([replace(first, topic=strict), large], name)
        assert caught.value.suspects == {1}
        sink.write([fits(strict, b"b")], name)
        assert [value for _, _, value in found(sink, strict, {0: 0})] == [b"b"]


@pytest.mark.parametrize("version", [3, 4])
def test_who_was_fenced_after_a_refusal_was_undone_never_writes_again_under_the_name(
    kafka_bootstrap: str, unique: str, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """A broker says it in two ways, by the version of the request."""
    settings = KafkaSettings(bootstrap=kafka_bootstrap, request_timeout=20, texts=f"{unique}-texts")
    strict, next_epoch = make_strict(settings), internals.next_epoch
    first, second = (KafkaAtomicSink(settings, f"{unique}-gateway", 30, 60) for _ in range(2))
    with closing(first), closing(second):
        first.begin()
        name = first.name

        def fenced_then_on(producer: object) -> object:
            second.fence(name)
            return next_epoch(producer)

        def request(**fields: object) -> object:
            return InitProducerIdRequest(**{**fields, "max_version": version})

        monkeypatch.setattr(internals, "next_epoch", fenced_then_on)
        monkeypatch.setattr(transaction_manager, "InitProducerIdRequest", request)
        with pytest.raises(Undeliverable):
            first.write([REFUSED["out of range"](strict)], name)
        assert first.name == ""
        with pytest.raises(Superseded):
            first.write([fits(strict, b"zombie")], name)
        first.begin()
        assert first.name not in ("", name)
        first.write([fits(strict, b"a")], first.name)
        assert [value for _, _, value in found(first, strict, {0: 0})] == [b"a"]


def test_others_records_lie_between(world: World) -> None:
    make, topic, send = world
    with closing(make()) as sink:
        sink.begin()
        send(Outgoing(topic, b"other", None, (), 0))
        sink.write(texts(topic, "a"), sink.name)
        assert [value for _, _, value in found(sink, topic)] == [b"other", b"a"]
        with pytest.raises(ConfigurationError):
            sink.ends(f"{topic}-missing")


def test_who_was_fenced_between_the_records_and_the_commit_is_told_that_it_failed(
    kafka_bootstrap: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KafkaSettings(
        bootstrap=kafka_bootstrap, partitions=2, request_timeout=20, texts=f"{unique}-texts"
    )
    ensure_topics(settings, create=True)
    first, second = (KafkaAtomicSink(settings, f"{unique}-gateway", 30, 60) for _ in range(2))
    with closing(first), closing(second):
        first.begin()
        second.begin()
        first.write(texts(settings.texts, "a"), first.name)
        begin_commit, name = TransactionManager.begin_commit, first.name

        def fenced_then_commit(manager: TransactionManager) -> object:
            monkeypatch.setattr(TransactionManager, "begin_commit", begin_commit)
            second.fence(name)
            assert [value for _, _, value in found(second, settings.texts)] == [b"a"]
            second.write(texts(settings.texts, "c"), second.name)
            return begin_commit(manager)

        monkeypatch.setattr(TransactionManager, "begin_commit", fenced_then_commit)
        with pytest.raises(TransientError):
            first.write(texts(settings.texts, "zombie"), name)
        assert [value for _, _, value in found(second, settings.texts)] == [b"a", b"c"]
