"""What is seen of a real Kafka from outside: ends, open transactions, records that are still to be read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from kafka import KafkaProducer

from hurnet_stream.adapters.kafka.admin.check import ensure_topics
from hurnet_stream.adapters.kafka.admin.overview import Overview
from hurnet_stream.adapters.kafka.reading.apart import end_offsets
from hurnet_stream.adapters.kafka.reading.unread import COUNTED, Unread
from hurnet_stream.overview.system_reader import gather
from hurnet_stream.settings.settings import KafkaSettings, RedisSettings, Settings


@pytest.fixture
def kafka(kafka_bootstrap: str, unique: str) -> KafkaSettings:
    names = {name: f"{unique}-{name}" for name in ("texts", "queries", "answers", "feedback", "dead_letters")}
    settings = KafkaSettings(bootstrap=kafka_bootstrap, partitions=2, **names)
    ensure_topics(settings, create=True)
    return settings


@pytest.fixture
def producer(kafka: KafkaSettings, unique: str) -> Iterator[Any]:
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=unique)) as made:
        made.init_transactions()
        yield made


def send(producer: Any, topic: str, count: int, partition: int = 0) -> None:
    for number in range(count):
        producer.send(topic, str(number).encode(), partition=partition)
    producer.flush()


def until(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_offsets_that_markers_and_aborted_records_take_are_no_lag(
    kafka: KafkaSettings, producer: Any
) -> None:
    topic = kafka.texts
    with ExitStack() as stack:
        overview, unread = Overview(kafka), Unread(kafka)
        stack.callback(overview.close)
        stack.callback(unread.close)

        def readable(partition: int = 0) -> int:
            return overview.topics([topic])[topic].readable[partition]

        producer.begin_transaction()
        send(producer, topic, 3)  # offsets 0, 1, 2
        producer.commit_transaction()  # marker 3
        producer.begin_transaction()
        send(producer, topic, 2)  # 4, 5
        producer.abort_transaction()  # marker 6
        until(lambda: readable() == 7)
        spans = {(topic, 0): (3, 7), (topic, 1): (0, 0)}
        assert unread.count(spans) == {(topic, 0): 0, (topic, 1): 0}
        assert unread.count({(topic, 0): (1, 7)}) == {(topic, 0): 2}
        assert unread.count({(topic, 0): (0, 2)}) == {
            (topic, 0): 2
        }  # what lies behind the end is not counted
        producer.begin_transaction()
        send(producer, topic, 1)  # 7, held back
        found = overview.topics([topic])[topic]
        assert (found.first[0], found.readable[0], found.written[0]) == (0, 7, 8)
        producer.commit_transaction()
        until(lambda: readable() == 9)
        assert unread.count({(topic, 0): (3, 9)}) == {(topic, 0): 1}
        assert unread.count({(topic, 0): (0, COUNTED + 9)}) == {(topic, 0): COUNTED + 9}  # too far to be read


def test_a_topic_ends_behind_its_last_record_even_if_a_transaction_is_open(
    kafka: KafkaSettings, producer: Any
) -> None:
    producer.begin_transaction()
    send(producer, kafka.texts, 1)
    assert end_offsets(kafka, kafka.texts) == {0: 1, 1: 0}
    producer.abort_transaction()


def test_topics_that_do_not_exist_are_left_out_and_the_log_is_told_by_its_ids(kafka: KafkaSettings) -> None:
    with closing(Overview(kafka)) as overview:
        found = overview.topics([kafka.texts, f"{kafka.texts}-nowhere"])
        assert set(found) == {kafka.texts}
        assert found[kafka.texts].readable == {0: 0, 1: 0}
        log = overview.log(found[kafka.texts].topic_id)
        assert log is not None
        assert len(log.topic) == 32
        assert overview.log("") is None
        (group,) = overview.groups({f"{kafka.texts}-group": kafka.texts})
        assert (group.members, group.committed) == ((), {})


def test_a_status_without_a_topic_and_without_a_store_tells_the_rest(
    kafka: KafkaSettings, producer: Any
) -> None:
    producer.begin_transaction()
    send(producer, kafka.queries, 2)
    producer.commit_transaction()
    with closing(Overview(kafka)) as overview:  # the marker is written after the commit
        until(lambda: overview.topics([kafka.queries])[kafka.queries].readable[0] == 3)
    without = kafka.model_copy(update={"feedback": f"{kafka.feedback}-nowhere"})
    redis = RedisSettings(url="redis://127.0.0.1:9/0", timeout=0.5)
    status = gather(Settings().model_copy(update={"kafka": without, "redis": redis}))
    missing, away = status.problems
    assert f"no such topic, or no right to see it: {kafka.feedback}-nowhere" in missing
    assert "127.0.0.1:9" in away
    assert [shard.end_offset for shard in status.shards] == [0, 0]
    assert status.ends["queries"] == 3
    assert status.workers is not None
    assert set(status.workers) == {"ingest", "responder"}
    assert status.workers["responder"].lag_records == 2  # the marker is none
