"""What an atomic sink promises, of the real one and of its twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from kafka.producer.transaction_manager import TransactionManager

from hurnet_stream.adapters.kafka import KafkaAtomicSink, KafkaSink, ensure_topics
from hurnet_stream.errors import ConfigurationError, Superseded, TransientError, Undeliverable
from hurnet_stream.ports import AtomicSink, Outgoing, Record
from hurnet_stream.settings.settings import KafkaSettings
from tests.memory.atomic_sink import MemoryAtomicSink
from tests.memory.kafka import MemoryKafka
from tests.memory.sink import MemorySink

World = tuple[Callable[[], AtomicSink], str, Callable[[Outgoing], object]]
SINCE = {0: 0, 1: 0}


@pytest.fixture(params=["memory", "kafka"])
def world(request: pytest.FixtureRequest, unique: str) -> Iterator[World]:
    """Makes sinks; a topic of two partitions; somebody else's producer."""
    if request.param == "memory":
        kafka = MemoryKafka()
        kafka.create("texts", partitions=2)
        yield lambda: MemoryAtomicSink(kafka, unique), "texts", lambda m: MemorySink(kafka).send([m])
        return
    settings = KafkaSettings(
        bootstrap=request.getfixturevalue("kafka_bootstrap"),
        partitions=2,
        request_timeout=5,
        texts=f"{unique}-texts",
    )
    ensure_topics(settings, create=True)
    with closing(KafkaSink(settings)) as other:
        yield (
            lambda: KafkaAtomicSink(settings, f"{unique}-gateway", 5, 10),
            settings.texts,
            lambda m: other.send([m]),
        )


def texts(topic: str, *values: str) -> list[Outgoing]:
    return [Outgoing(topic, value.encode(), None, (), i % 2) for i, value in enumerate(values)]


def found(
    sink: AtomicSink, topic: str, since: dict[int, int] | None = None
) -> list[tuple[int, int, bytes | None]]:
    seen = sink.find(topic, lambda _: True, SINCE if since is None else since, 20)
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
        (record,) = sink.find(topic, has_mark, {}, 20).records
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
        bootstrap=kafka_bootstrap, partitions=2, request_timeout=5, texts=f"{unique}-texts"
    )
    ensure_topics(settings, create=True)
    first, second = (KafkaAtomicSink(settings, f"{unique}-gateway", 5, 10) for _ in range(2))
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
