"""Small requests share transactions. Each is written whole, or not at all, and nobody is told otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from hurnet_stream.errors import HurnetError, KafkaFailing, Undeliverable
from hurnet_stream.gateway import group_commit
from hurnet_stream.gateway.group_commit import GroupCommit, NotWritten
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import wait_for
from tests.memory.atomic_sink import MemoryAtomicSink
from tests.memory.kafka import MemoryKafka

LARGE = b"x" * (2 << 20)


class Sink(MemoryAtomicSink):
    """Counts its transactions, and can be made to wait."""

    def __init__(self, kafka: MemoryKafka) -> None:
        super().__init__(kafka)
        self.sizes: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def write(self, messages: Sequence[Outgoing], under: str) -> Sequence[tuple[int, int]]:
        assert self.open.wait(20)
        self.sizes.append(len(messages))
        return super().write(messages, under)


@pytest.fixture
def kafka() -> MemoryKafka:
    kafka = MemoryKafka()
    kafka.create("texts", partitions=2)
    return kafka


@pytest.fixture
def sink(kafka: MemoryKafka) -> Sink:
    return Sink(kafka)


@pytest.fixture
def group(sink: Sink) -> Iterator[GroupCommit]:
    group = GroupCommit(sink)
    wait_for(lambda: group.trouble() is None)
    yield group
    sink.open.set()
    group.close()


def text(value: bytes = b"{}", partition: int = 0) -> Outgoing:
    return Outgoing("texts", value, None, (), partition)


def test_what_comes_while_a_transaction_is_under_way_shares_the_next(group: GroupCommit, sink: Sink) -> None:
    sink.open.clear()
    first = group.submit([text()])
    wait_for(first.running)
    others = [group.submit([text(str(n).encode()), text(str(n).encode(), 1)]) for n in range(100)]
    sink.open.set()
    places = [future.result(20) for future in others]
    assert sink.sizes == [1, 200]
    assert first.result(20) == [(0, 0)]
    assert [(sum(p for p, _ in each), len(each)) for each in places] == [(1, 2)] * 100
    assert len({place for each in places for place in each}) == 200


def test_a_transaction_is_bounded_and_a_request_is_never_divided(group: GroupCommit, sink: Sink) -> None:
    sink.open.clear()
    first = group.submit([text()])
    wait_for(first.running)
    others = [group.submit([text()] * size) for size in (1_500, 1_000, 3_000, 10)]
    sink.open.set()
    for future in others:
        future.result(20)
    assert sink.sizes == [1, 1_500, 1_000, 3_000, 10]


def test_one_that_is_refused_spoils_no_other(group: GroupCommit, sink: Sink, kafka: MemoryKafka) -> None:
    sink.open.clear()
    first = group.submit([text()])
    wait_for(first.running)
    name = group.name
    good, bad, better = (
        group.submit([text()], name),
        group.submit([text(), text(LARGE)]),
        group.submit([text()], name),
    )
    nowhere = group.submit([Outgoing("nowhere", b"x")])
    sink.open.set()
    assert len(good.result(20)) == len(better.result(20)) == 1
    for refused in (bad, nowhere):
        with pytest.raises(Undeliverable):
            refused.result(20)
    assert len(kafka.records("texts")) == 3


KEYLESS = Outgoing("strict", b"keyless")


def kept(number: int) -> Outgoing:
    return Outgoing("strict", b"%d" % number, b"key")


@pytest.fixture
def strict(kafka: MemoryKafka) -> None:
    kafka.create("strict")
    kafka.needs_keys.add("strict")


@pytest.mark.usefixtures("strict")
def test_what_a_broker_refuses_spoils_no_other(group: GroupCommit, sink: Sink, kafka: MemoryKafka) -> None:
    sink.open.clear()
    first, name = group.submit([text()]), group.name
    wait_for(first.running)
    good = [group.submit([kept(n)]) for n in range(5)]
    bad = group.submit([kept(5), KEYLESS])
    good += [group.submit([kept(n)], name) for n in range(6, 11)]
    sink.open.set()
    with pytest.raises(Undeliverable, match="without a key"):
        bad.result(20)
    places = [future.result(20) for future in good]
    assert [record.value for record in kafka.records("strict")] == [
        b"%d" % n for n in (*range(5), *range(6, 11))
    ]
    assert len({place for each in places for place in each}) == 10
    assert sink.sizes == [1, 12, 10]


@pytest.mark.usefixtures("strict")
def test_any_number_may_be_refused_in_one_transaction(
    group: GroupCommit, sink: Sink, kafka: MemoryKafka
) -> None:
    sink.open.clear()
    first = group.submit([text()])
    wait_for(first.running)
    futures = [group.submit([KEYLESS if n % 2 else kept(n)]) for n in range(700)]
    sink.open.set()
    told = [isinstance(future.exception(20), Undeliverable) for future in futures]
    assert told == [False, True] * 350
    assert len(kafka.records("strict")) == 350
    assert group.submit([kept(0)]).result(20)


@pytest.mark.usefixtures("strict")
def test_of_several_suspects_each_is_tried_alone(
    group: GroupCommit, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka does not always name the one."""
    write = sink.write

    def vague(messages: Sequence[Outgoing], under: str) -> Sequence[tuple[int, int]]:
        try:
            return write(messages, under)
        except Undeliverable as error:
            raise Undeliverable(str(error), frozenset(range(len(messages)))) from error

    monkeypatch.setattr(sink, "write", vague)
    sink.open.clear()
    first = group.submit([text()])
    wait_for(first.running)
    futures = [
        group.submit(messages, group.name) for messages in ([KEYLESS], [kept(1)], [KEYLESS], [kept(2)])
    ]
    sink.open.set()
    told = [isinstance(future.exception(20), Undeliverable) for future in futures]
    assert told == [True, False, True, False]
    assert sink.sizes == [1, 4, 1, 1, 1, 1]


def test_of_a_failed_transaction_nobody_knows_and_the_name_is_another(
    group: GroupCommit, kafka: MemoryKafka
) -> None:
    name = group.name
    kafka.fail(1)
    with pytest.raises(KafkaFailing):
        group.submit([text()], name).result(20)
    wait_for(lambda: group.trouble() is None and group._sink.name not in ("", name))
    with pytest.raises(NotWritten):
        group.submit([text()], name).result(20)
    assert group.submit([text()], group.name).result(20)


def test_there_is_no_room_beyond_the_bounds(
    group: GroupCommit, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "REQUESTS_MOST", 3)
    monkeypatch.setattr(group_commit, "BYTES_MOST", 10_000)
    sink.open.clear()
    first = group.submit([text()])
    wait_for(first.running)
    waiting = [group.submit([text(b"x" * 3_000)]) for _ in range(2)]
    with pytest.raises(NotWritten, match="wait to be written"):
        group.submit([text(b"x" * 5_000)])
    waiting.append(group.submit([text()]))
    with pytest.raises(NotWritten, match="3 requests wait"):
        group.submit([text()])
    sink.open.set()
    for future in waiting:
        future.result(20)
    assert group.submit([text(b"x" * 20_000)]).result(20)  # alone, whatever its size


def test_without_kafka_it_says_so_at_once_and_goes_on_when_it_is_back(
    group: GroupCommit, sink: Sink, kafka: MemoryKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "RETRY_S", 0.01)
    kafka.away = True
    with pytest.raises(HurnetError):
        group.submit([text()]).result(20)
    wait_for(group.trouble)
    with pytest.raises(NotWritten, match="away"):
        group.submit([text()])
    with pytest.raises(NotWritten):
        _ = group.name
    kafka.away = False
    wait_for(lambda: group.trouble() is None)
    assert group.submit([text()]).result(20)


def test_what_waited_too_long_or_was_cancelled_is_not_written(
    group: GroupCommit, sink: Sink, kafka: MemoryKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.open.clear()
    first = group.submit([text()])
    wait_for(first.running)
    cancelled = group.submit([text()])
    assert cancelled.cancel()
    monkeypatch.setattr(group_commit, "WAIT_S", 0.0)
    late = group.submit([text()])
    sink.open.set()
    with pytest.raises(NotWritten, match="waited"):
        late.result(20)
    assert len(kafka.records("texts")) == 1


def test_closing_writes_what_waits(group: GroupCommit, sink: Sink, kafka: MemoryKafka) -> None:
    futures = [group.submit([text()]) for _ in range(20)]
    group.close()
    assert all(future.result(0) for future in futures)
    assert len(kafka.records("texts")) == 20
    with pytest.raises(NotWritten):
        group.submit([text()])


def test_a_bug_in_the_sink_ends_the_request_and_not_the_thread(
    group: GroupCommit, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sink, "write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            group.submit([text()]).result(20)
    assert group.submit([text()]).result(20)
