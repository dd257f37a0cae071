"""What workers may expect of sources, sinks and exchanges: one suite on MemoryKafka and Apache Kafka."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import Literal, Protocol

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka import AtLeastOnceExchange, TransactionalExchange
from hurnet_stream.adapters.kafka.reading.source import KafkaSource
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.core.offsets import MAX_NOTE
from hurnet_stream.errors import ConfigurationError, StoreGap, Superseded, Undeliverable
from hurnet_stream.ports import (
    POLL_BYTES,
    Committed,
    EndOffsets,
    Exchange,
    OffsetRange,
    Outgoing,
    Polled,
    Record,
    Sink,
    Source,
)
from hurnet_stream.settings.settings import KafkaSettings, ResponderSettings
from tests.acceptance.system import system_is_busy
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource

SECONDS = 120.0  # a group that loses a member, or a topic just made, may take a while on a busy machine
Reset = Literal["earliest", "none"]


class Broker(Protocol):
    def create(self, topic: str, partitions: int) -> None: ...

    def recreate(self, topic: str, partitions: int) -> None: ...

    def delete_before(self, topic: str, partition: int, offset: int) -> None: ...

    def source(self, topic: str, group: str, reset: Reset = "none") -> Source: ...

    def sink(self) -> Sink: ...

    def exchange(self, topic: str, group: str, transactional_id: str) -> Exchange: ...


class InMemory:
    def __init__(self) -> None:
        self._log = MemoryKafka()

    def create(self, topic: str, partitions: int) -> None:
        self._log.create(topic, partitions)

    recreate = create

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        self._log.delete_before(topic, partition, offset)

    def source(self, topic: str, group: str, reset: Reset = "none") -> Source:
        return MemorySource(self._log, topic, group, reset=reset)

    def sink(self) -> Sink:
        return MemorySink(self._log)

    def exchange(self, topic: str, group: str, transactional_id: str) -> Exchange:
        return MemoryExchange(self._log, topic, group, transactional_id)


class OnKafka:
    def __init__(self, bootstrap: str, stack: ExitStack) -> None:
        self._settings = KafkaSettings(bootstrap=bootstrap, session_timeout=30)
        self._admin = stack.enter_context(KafkaAdminClient(bootstrap_servers=bootstrap))
        self._stack = stack

    def create(self, topic: str, partitions: int) -> None:
        self._admin.create_topics({topic: {"num_partitions": partitions}}, wait_for_metadata=True)

    def recreate(self, topic: str, partitions: int) -> None:
        self._admin.delete_topics([topic])
        deadline = time.monotonic() + SECONDS
        while topic in self._admin.list_topics():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.create(topic, partitions)

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        self._admin.delete_records({TopicPartition(topic, partition): offset})

    def source(self, topic: str, group: str, reset: Reset = "none") -> Source:
        return self._stack.enter_context(
            closing(KafkaSource(self._settings, topic, f"{topic}-{group}", reset=reset))
        )

    def sink(self) -> Sink:
        return self._stack.enter_context(closing(KafkaSink(self._settings)))

    def exchange(self, topic: str, group: str, transactional_id: str) -> Exchange:
        member = ResponderSettings(group=f"{topic}-{group}", instance=transactional_id)
        made = TransactionalExchange(self._settings, topic, member)
        return self._stack.enter_context(closing(made))

    def at_least_once(self, topic: str, group: str) -> Exchange:
        made = AtLeastOnceExchange(self._settings, topic, ResponderSettings(group=f"{topic}-{group}"))
        return self._stack.enter_context(closing(made))


@pytest.fixture(params=[InMemory, OnKafka])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    with ExitStack() as stack:
        if request.param is InMemory:
            yield InMemory()
        else:
            yield OnKafka(request.getfixturevalue("kafka_bootstrap"), stack)


@pytest.fixture
def topic(broker: Broker, unique: str) -> str:
    broker.create(unique, 4)
    return unique


def messages(topic: str, values: Sequence[int], partition: int | None = 0) -> list[Outgoing]:
    return [Outgoing(topic, b"%d" % value, partition=partition) for value in values]


def values(records: Sequence[Record]) -> list[int]:
    return [int(record.value or b"") for record in records]


def read(source: Source, count: int, at_once: int = 1_000) -> list[Record]:
    """Poll until there are at least `count` records."""
    records: list[Record] = []
    deadline = time.monotonic() + SECONDS
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came, lag {source.lag()}"
        records += source.poll(0.2, at_once).records
    return records


def quiet(source: Source, seconds: float = 0.5) -> bool:
    """Whether no record comes within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if source.poll(0.1, 10).records:
            return False
    return True


def settle(partitions: int, *members: Source) -> list[list[Polled]]:
    """Poll the members side by side until they share all partitions; returns what each of them was told."""
    told: list[list[Polled]] = [[] for _ in members]
    deadline = time.monotonic() + SECONDS
    while True:
        with ThreadPoolExecutor(len(members)) as threads:
            for heard, polled in zip(told, threads.map(lambda m: m.poll(0.1, 1), members), strict=True):
                heard.append(polled)
        owned = [partition for member in members for partition in member.assignment()]
        if len(owned) == len(set(owned)) == partitions and all(m.assignment() for m in members):
            return told
        assert time.monotonic() < deadline, f"the group did not settle: {owned}"


def assigned(told: list[Polled]) -> frozenset[int]:
    return frozenset().union(*(polled.assigned for polled in told))


def test_records_come_in_order_and_as_they_were_sent(broker: Broker, topic: str) -> None:
    sent = [
        Outgoing(topic, b"v%d" % i, b"k", (("a", b"1"), ("a", b"\xff")), i % 4, 1_700_000_000_000 + i)
        for i in range(100)
    ]
    assert broker.sink().send(sent) == [(i % 4, i // 4) for i in range(100)]
    records = read(broker.source(topic, "g"), 100)
    for partition in range(4):
        mine = [r for r in records if r.partition == partition]
        assert [r.offset for r in mine] == list(range(25))
        assert [(r.value, r.key, r.headers, r.timestamp_ms) for r in mine] == [
            (m.value, m.key, m.headers, m.timestamp_ms) for m in sent if m.partition == partition
        ]


def test_a_key_always_goes_to_the_same_partition(broker: Broker, topic: str) -> None:
    broker.sink().send([Outgoing(topic, b"0", key=b"%d" % (i % 8)) for i in range(80)])
    homes = Counter({(r.key, r.partition) for r in read(broker.source(topic, "g"), 80)})
    assert len(homes) == 8


def test_a_poll_brings_no_more_than_asked_for(broker: Broker, topic: str) -> None:
    broker.sink().send(messages(topic, range(10)))
    source = broker.source(topic, "g")
    settle(4, source)
    assert all(len(source.poll(0.1, 3).records) <= 3 for _ in range(5))


def test_reading_resumes_at_the_committed_offset(broker: Broker, topic: str) -> None:
    broker.sink().send(messages(topic, range(10)))
    first = broker.source(topic, "g")
    assert values(read(first, 10)) == list(range(10))
    first.commit({0: 4})
    first.close()
    assert values(read(broker.source(topic, "g"), 6)) == list(range(4, 10))
    assert values(read(broker.source(topic, "another"), 10)) == list(range(10))


def test_seek_on_assignment_beats_what_was_committed(broker: Broker, topic: str) -> None:
    broker.sink().send(messages(topic, range(10)))
    first = broker.source(topic, "g")
    read(first, 10)
    first.commit({0: 10})
    first.close()
    second = broker.source(topic, "g")
    (told,) = settle(4, second)
    assert assigned(told) == {0, 1, 2, 3}
    second.seek(0, 7)
    second.seek(99, 0)  # not assigned: ignored
    assert values(read(second, 3)) == [7, 8, 9]


def test_partitions_change_hands_and_start_again_at_the_committed_offset(broker: Broker, topic: str) -> None:
    for partition in range(4):
        broker.sink().send(messages(topic, range(10), partition))
    first = broker.source(topic, "g")
    read(first, 40)
    first.commit(dict.fromkeys(range(4), 6))
    second = broker.source(topic, "g")
    told, heard = settle(4, first, second)
    kept, moved = first.assignment(), second.assignment()
    assert len(kept) == len(moved) == 2
    assert assigned(told) == kept, "what is handed back counts as assigned anew"
    assert frozenset().union(*(p.revoked for p in told)) >= moved
    assert assigned(heard) == moved
    seen = [r for polled in told + heard for r in polled.records]
    seen += read(first, 8 - sum(r.partition in kept for r in seen))
    seen += read(second, 8 - sum(r.partition in moved for r in seen))
    assert Counter((r.partition, r.offset) for r in seen) == Counter(
        (p, o) for p in range(4) for o in range(6, 10)
    )
    second.close()
    (told,) = settle(4, first)
    assert assigned(told) == {0, 1, 2, 3}


def test_a_partition_has_no_new_owner_before_the_old_one_gives_it_up(broker: Broker, topic: str) -> None:
    first = broker.source(topic, "g")
    settle(4, first)
    second = broker.source(topic, "g")
    for _ in range(2):
        assert not second.poll(0.1, 1).assigned
    settle(4, first, second)


def test_a_member_commits_only_what_it_owns(broker: Broker, topic: str) -> None:
    first = broker.source(topic, "g")
    settle(4, first)
    second = broker.source(topic, "g")
    settle(4, first, second)
    lost = min(second.assignment())
    broker.sink().send(messages(topic, range(3), lost))
    first.commit({lost: 3})
    first.close()
    second.close()
    assert values(read(broker.source(topic, "g"), 3)) == [0, 1, 2]


def test_pause_names_exactly_those_that_bring_nothing(broker: Broker, topic: str) -> None:
    source = broker.source(topic, "g")
    settle(4, source)
    source.pause(frozenset({0, 1}))
    for partition in range(4):
        broker.sink().send(messages(topic, [partition], partition))
    assert sorted(values(read(source, 2))) == [2, 3]
    source.pause(frozenset({1}))
    assert values(read(source, 1)) == [0]
    assert quiet(source)
    source.pause(frozenset())
    assert values(read(source, 1)) == [1]


def test_pause_outlives_a_rebalance(broker: Broker, topic: str) -> None:
    broker.sink().send(messages(topic, [7]))
    source = broker.source(topic, "g")
    source.pause(frozenset({0}))
    settle(4, source)
    assert quiet(source)
    other = broker.source(topic, "g")
    settle(4, source, other)
    other.close()
    settle(4, source)
    assert quiet(source)
    source.pause(frozenset())
    assert values(read(source, 1)) == [7]


def test_partitions_paused_half_read_go_on_where_they_were(broker: Broker, topic: str) -> None:
    """A partition that has brought something is paused, as by a worker that must not take more."""
    for partition in range(4):
        broker.sink().send(messages(topic, range(100 * partition, 100 * partition + 50), partition))
    source = broker.source(topic, "group", reset="earliest")
    settle(4, source)
    for partition in range(4):
        source.seek(partition, 0)
    found: list[int] = []
    deadline = time.monotonic() + SECONDS
    while len(found) < 200 and time.monotonic() < deadline:
        polled = source.poll(0.2, 7)
        found += values(polled.records)
        source.pause(frozenset(record.partition for record in polled.records))
    assert sorted(found) == [100 * p + n for p in range(4) for n in range(50)]
    assert all(own == sorted(own) for p in range(4) if (own := [v for v in found if v // 100 == p]))


def test_bounds_and_lag(broker: Broker, topic: str) -> None:
    sink = broker.sink()
    sink.send(messages(topic, range(10)))
    broker.delete_before(topic, 0, 3)
    source = broker.source(topic, "g")
    read(source, 7)
    assert source.offset_ranges(frozenset({0, 1})) == {0: OffsetRange(3, 10), 1: OffsetRange(0, 0)}
    assert source.offset_ranges(frozenset()) == {}
    lag_of(source, {0: 0})
    sink.send(messages(topic, range(5)))
    assert len(read(source, 1, at_once=1)) == 1
    lag_of(source, {0: 4})


def test_a_source_knows_its_log_and_sees_it_made_anew(broker: Broker, topic: str) -> None:
    source = broker.source(topic, "g")
    settle(4, source)
    before = source.log()
    assert before is not None
    assert before == broker.source(topic, "other").log()
    other = f"{topic}-2"
    broker.create(other, 1)
    elsewhere = broker.source(other, "g").log()
    assert elsewhere is not None
    assert (elsewhere.cluster, elsewhere.topic != before.topic) == (before.cluster, True)
    broker.recreate(topic, 4)
    deadline = time.monotonic() + SECONDS
    while (now := source.log()) in (before, None):
        assert time.monotonic() < deadline
        with suppress(StoreGap):
            source.poll(0.1, 10)
    assert now is not None
    assert now.cluster == before.cluster


def test_single_records_are_found_again(broker: Broker, topic: str) -> None:
    """They equal those that were polled, leader epoch included. At a marker there is none."""
    broker.sink().send([Outgoing(topic, b"%d" % i, b"k", (("h", b"1"),), 0, 1_000 + i) for i in range(5)])
    exchange = broker.exchange(topic, "g", "writer")
    settle(4, exchange)
    assert exchange.deliver(messages(topic, [5], 1), {})
    broker.sink().send(messages(topic, [6], 1))
    source = broker.source(topic, "other")
    polled = {(r.partition, r.offset): r for r in read(source, 7)}
    assert source.records_at({0: 4, 1: 2}) == {0: polled[0, 4], 1: polled[1, 2]}
    assert source.records_at({0: 2, 1: 1}) == {0: polled[0, 2], 1: None}
    assert source.records_at({}) == {}
    assert source.records_at({0: 2})[0].anchor == polled[0, 2].anchor  # type: ignore[union-attr]
    assert polled[0, 2].leader_epoch == 0
    assert not source.compacted(0)


def test_a_position_that_retention_ate_is_a_gap(broker: Broker, topic: str) -> None:
    broker.sink().send(messages(topic, range(10)))
    source = broker.source(topic, "g")
    settle(4, source)
    broker.delete_before(topic, 0, 8)
    source.seek(0, 5)
    with pytest.raises(StoreGap, match=f"{topic}/0 at 5"):
        read(source, 1)
    with pytest.raises(StoreGap):  # loudly, until someone decides
        read(source, 1)
    source.seek(0, source.offset_ranges(frozenset({0}))[0].first)
    assert values(read(source, 2)) == [8, 9]


def test_a_position_past_the_end_is_a_gap(broker: Broker, topic: str) -> None:
    """This is what happens when a topic is deleted and made anew."""
    source = broker.source(topic, "g")
    settle(4, source)
    source.seek(0, 5)
    with pytest.raises(StoreGap):
        read(source, 1)


def test_a_source_may_be_told_to_skip_gaps(broker: Broker, topic: str) -> None:
    broker.sink().send(messages(topic, range(10)))
    broker.delete_before(topic, 0, 8)
    source = broker.source(topic, "g", "earliest")
    settle(4, source)
    source.seek(0, 5)
    assert values(read(source, 2)) == [8, 9]


@pytest.mark.parametrize("size", [2 << 20, 5_000_000])
def test_a_message_that_is_too_large_is_refused_and_the_next_one_sent(
    broker: Broker, topic: str, size: int
) -> None:
    sink = broker.sink()
    with pytest.raises(Undeliverable, match="large") as caught:
        sink.send([Outgoing(topic, b"x" * size)])
    assert caught.value.suspects == {0}
    assert not caught.value.topics
    sink.send(messages(topic, [1]))
    assert values(read(broker.source(topic, "g"), 1)) == [1]


@pytest.mark.parametrize("size", [2 << 20, 5_000_000])
def test_an_answer_that_is_too_large_is_told_and_nothing_is_delivered(
    broker: Broker, topic: str, size: int
) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send(messages(topic, range(3)))
    exchange = broker.exchange(topic, "g", topic)
    records = read(exchange, 3)
    large = [Outgoing(answers, b"fits"), Outgoing(answers, b"x" * size), Outgoing(answers, b"fits too")]
    with pytest.raises(Undeliverable, match="large") as caught:
        exchange.deliver(large, {0: 3})
    assert caught.value.suspects == {1}
    assert not caught.value.topics
    assert values(read(exchange, 3)) == values(records), "back at the committed offsets"
    assert exchange.deliver(messages(answers, [1]), {0: 3})
    assert values(read(broker.source(answers, "reader"), 1)) == [1]


def test_an_answer_to_a_topic_that_is_gone_is_told_and_nothing_is_delivered(
    broker: Broker, topic: str
) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send(messages(topic, range(3)))
    exchange = broker.exchange(topic, "g", topic)
    records = read(exchange, 3)
    with pytest.raises(Undeliverable, match=f"{topic}-gone") as caught:
        exchange.deliver([*messages(answers, [1]), Outgoing(f"{topic}-gone", b"x")], {0: 3})
    assert caught.value.topics == {f"{topic}-gone"}
    assert caught.value.suspects == {1}
    assert values(read(exchange, 3)) == values(records)
    assert exchange.unwritable(f"{topic}-gone")
    assert exchange.unwritable(answers) is None


def test_a_poll_is_bounded_in_bytes(broker: Broker, topic: str) -> None:
    large = [Outgoing(topic, b"x" * 1_000_000, partition=i % 4) for i in range(40)]
    for i in range(0, 40, 10):
        broker.sink().send(large[i : i + 10])
    source = broker.source(topic, "g")
    sizes: list[int] = []
    deadline = time.monotonic() + SECONDS
    while sum(sizes) < 40_000_000:
        assert time.monotonic() < deadline
        sizes.append(sum(len(r.value or b"") for r in source.poll(0.2, 1_000).records))
    assert max(sizes) < POLL_BYTES + 1_000_000
    broker.sink().send(messages(topic, range(300)))
    while not source.poll(0.2, 1_000).records:
        assert time.monotonic() < deadline


def test_a_rewind_brings_back_what_was_not_delivered(broker: Broker, topic: str) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send(messages(topic, range(5)))
    exchange = broker.exchange(topic, "g", topic)
    read(exchange, 5)
    assert exchange.deliver(messages(answers, [1]), {0: 2})
    exchange.rewind()
    assert values(read(exchange, 3)) == [2, 3, 4]


def test_an_unknown_topic_is_refused_at_once_and_not_made(broker: Broker, topic: str) -> None:
    sink = broker.sink()
    exchange = broker.exchange(topic, "g", topic)
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=f"{topic}-x"):
        sink.send([Outgoing(topic, b"1", partition=0), Outgoing(f"{topic}-x", b"")])
    assert time.monotonic() - started < 5 or system_is_busy()
    assert not exchange.has_topic(f"{topic}-x")
    assert exchange.has_topic(topic)


def test_an_unknown_partition_is_refused(broker: Broker, topic: str) -> None:
    with pytest.raises(Undeliverable, match="partition"):
        broker.sink().send(messages(topic, [1], partition=17))


def test_what_is_delivered_is_visible_and_committed(broker: Broker, topic: str) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send(messages(topic, range(20)))
    exchange = broker.exchange(topic, "g", topic)
    done = 0
    while done < 20:
        records = read(exchange, 1)
        assert exchange.deliver(messages(answers, values(records)), {0: records[-1].offset + 1})
        done += len(records)
    exchange.close()
    assert values(read(broker.source(answers, "reader"), 20)) == list(range(20))
    successor = broker.exchange(topic, "g", topic)
    settle(4, successor)
    assert quiet(successor)


def test_without_transactions_what_is_delivered_is_sent_and_committed(
    kafka_bootstrap: str, unique: str
) -> None:
    with ExitStack() as stack:
        broker = OnKafka(kafka_bootstrap, stack)
        for name in (unique, f"{unique}-answers"):
            broker.create(name, 1)
        broker.sink().send(messages(unique, range(20)))
        exchange = broker.at_least_once(unique, "g")
        records = read(exchange, 20)
        assert exchange.deliver(messages(f"{unique}-answers", values(records)), {0: 20})
        exchange.close()
        assert values(read(broker.source(f"{unique}-answers", "reader"), 20)) == list(range(20))
        successor = broker.at_least_once(unique, "g")
        settle(1, successor)
        assert quiet(successor)


def test_nothing_is_delivered_for_partitions_of_another_member(broker: Broker, topic: str) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send([Outgoing(topic, b"5", partition=p) for p in range(4)])
    exchange, other = (broker.exchange(topic, "g", f"{topic}-{i}") for i in range(2))
    settle(4, exchange, other)
    mine, theirs = min(exchange.assignment()), min(other.assignment())
    assert not exchange.deliver(messages(answers, [1]), {mine: 1, theirs: 1})
    assert {r.partition for r in read(exchange, 2)} == exchange.assignment(), "back at the committed offsets"
    assert exchange.deliver(messages(answers, [2]), {mine: 1})
    assert values(read(broker.source(answers, "reader"), 1)) == [2]


def test_transactions_leave_holes_in_the_offsets(broker: Broker, topic: str) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send(messages(topic, range(3)))
    exchange = broker.exchange(topic, "g", topic)
    for offset in range(3):
        (record,) = read(exchange, 1, at_once=1)
        assert exchange.deliver(messages(answers, [offset]), {0: record.offset + 1})
    reader = broker.source(answers, "reader")
    assert [r.offset for r in read(reader, 3)] == [0, 2, 4]
    assert quiet(reader)
    lag_of(reader, {0: 0})


def test_a_note_stands_beside_an_offset_until_the_next_commit(broker: Broker, topic: str) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send(messages(topic, range(3)))
    exchange = broker.exchange(topic, "g", topic)
    read(exchange, 3)
    both = frozenset({0, 1})
    assert exchange.progress(both) == {0: None, 1: None}
    assert exchange.deliver(messages(answers, [1]), {0: 1}, {0: "x" * MAX_NOTE})
    assert exchange.progress(both) == {0: Committed(1, "x" * MAX_NOTE), 1: None}
    assert exchange.deliver(messages(answers, [2]), {0: 2})
    exchange.commit({1: 0}, {1: "first"})
    assert exchange.progress(both) == {0: Committed(2), 1: Committed(0, "first")}
    assert exchange.committed(both) == {0: 2, 1: 0}
    exchange.close()
    assert broker.exchange(topic, "g", topic).progress(both) == {0: Committed(2), 1: Committed(0, "first")}


def test_without_transactions_notes_are_kept_too(kafka_bootstrap: str, unique: str) -> None:
    with ExitStack() as stack:
        broker = OnKafka(kafka_bootstrap, stack)
        for name in (unique, f"{unique}-answers"):
            broker.create(name, 1)
        broker.sink().send(messages(unique, range(3)))
        exchange = broker.at_least_once(unique, "g")
        read(exchange, 3)
        assert exchange.deliver(messages(f"{unique}-answers", [1]), {0: 1}, {0: "note"})
        assert exchange.progress(frozenset({0})) == {0: Committed(1, "note")}


def ends_of(exchange: Exchange, topic: str, max_age_s: float = 0.0) -> EndOffsets:
    """The ends of `topic`, by an answer to a question that was asked after this call."""
    now, deadline = time.monotonic(), time.monotonic() + SECONDS
    while (found := exchange.end_offsets(topic, max_age_s)) is None or found.asked < now:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_the_end_of_any_topic_is_known_without_waiting(broker: Broker, topic: str) -> None:
    other = f"{topic}-other"
    broker.create(other, 2)
    broker.sink().send(messages(other, range(5), 1))
    exchange = broker.exchange(topic, "g", topic)
    took = []
    for _ in range(5):
        started = time.monotonic()
        assert exchange.end_offsets(f"{topic}-nowhere", 0.0) is None
        took.append(time.monotonic() - started)
    assert min(took) < 0.1  # on a busy machine nothing is sure of the longest
    assert ends_of(exchange, other).written == {0: 0, 1: 5}
    assert ends_of(exchange, other).readable == {0: 0, 1: 5}
    broker.sink().send(messages(other, range(2), 0))
    assert ends_of(exchange, other).written == {0: 2, 1: 5}
    assert exchange.end_offsets(f"{topic}-nowhere", 0.0) is None


def lag_of(source: Source, wanted: dict[int, int]) -> None:
    """Wait until the lag of these partitions is what is wanted."""
    deadline = time.monotonic() + SECONDS
    while not wanted.items() <= (lag := source.lag()).items():
        assert time.monotonic() < deadline, f"{lag}, not {wanted}"
        time.sleep(0.05)


def test_a_consumer_that_gets_nothing_any_more_is_seen_to_fall_behind(
    kafka_bootstrap: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hurnet_stream.adapters.kafka.reading.standing.LAG_INTERVAL_S", 0.1)
    with ExitStack() as stack:
        broker = OnKafka(kafka_bootstrap, stack)
        broker.create(unique, 2)
        source = broker.source(unique, "g")
        settle(2, source)
        for partition in range(2):
            source.seek(partition, 0)
        lag_of(source, {0: 0, 1: 0})
        broker.sink().send(messages(unique, range(7)))
        started = time.monotonic()
        lag_of(source, {0: 7, 1: 0})  # without another poll
        assert time.monotonic() - started < 5 or system_is_busy()
        monkeypatch.setattr("hurnet_stream.adapters.kafka.reading.standing.LAG_BELIEVED_S", -1.0)
        assert source.lag() == {}, "what was heard long ago is not known"


def test_records_that_never_come_leave_no_lag(broker: Broker, topic: str, kafka_bootstrap: str) -> None:
    """These are the marker at a transaction's end and the records of an aborted one."""
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    broker.sink().send(messages(topic, range(3)))
    exchange = broker.exchange(topic, "g", topic)
    reader = broker.source(answers, "reader")
    settle(1, reader)
    reader.seek(0, 0)
    if isinstance(broker, OnKafka):
        producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=f"{topic}-aborts")
        producer.init_transactions()
        producer.begin_transaction()
        for _ in range(20):
            producer.send(answers, b"9", partition=0).get(timeout=SECONDS)
        producer.abort_transaction()
        producer.close()
    (record,) = read(exchange, 1, at_once=1)
    assert exchange.deliver(messages(answers, [7]), {0: record.offset + 1})
    assert values(read(reader, 1)) == [7]
    assert quiet(reader)
    lag_of(reader, {0: 0})


def test_a_position_that_fell_out_is_told_as_assigned_anew(broker: Broker, topic: str) -> None:
    broker.sink().send(messages(topic, range(10)))
    source = broker.source(topic, "g", "earliest")
    settle(4, source)
    source.seek(0, 50)
    heard: frozenset[int] = frozenset()
    deadline = time.monotonic() + SECONDS
    while 0 not in heard:
        assert time.monotonic() < deadline
        polled = source.poll(0.2, 10)
        heard |= polled.assigned
        assert not polled.records
    assert quiet(source), "it goes on at the end"
    broker.sink().send(messages(topic, [99]))
    assert values(read(source, 1)) == [99]


def test_of_two_with_the_same_transactional_id_one_is_superseded(broker: Broker, topic: str) -> None:
    answers = f"{topic}-answers"
    broker.create(answers, 1)
    for partition in range(4):
        broker.sink().send(messages(topic, [10 * partition + i for i in range(5)], partition))
    running = [broker.exchange(topic, "g", topic) for _ in range(2)]
    settle(4, *running)
    answered: list[int] = []
    superseded = 0
    deadline = time.monotonic() + SECONDS
    while len(answered) < 20:
        assert time.monotonic() < deadline
        for exchange in tuple(running):
            records = exchange.poll(0.2, 1).records
            try:
                done = records and exchange.deliver(
                    messages(answers, values(records)), {r.partition: r.offset + 1 for r in records}
                )
            except Superseded:
                superseded += 1
                running.remove(exchange)
                exchange.close()
                continue
            answered += values(records) if done else []
    assert superseded == 1
    expected = sorted(10 * partition + i for partition in range(4) for i in range(5))
    assert sorted(answered) == expected
    assert sorted(values(read(broker.source(answers, "reader"), 20))) == expected
