"""A topic beside another one, and what of the old one is not in it yet, as Kafka alone tells it."""

from __future__ import annotations

from contextlib import closing

import pytest
from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka import KafkaSink, TransactionalExchange
from hurnet_stream.adapters.kafka.admin.check import configs_of
from hurnet_stream.adapters.kafka.admin.forwarded import Forwarded
from hurnet_stream.adapters.kafka.admin.reshaped import create_beside
from hurnet_stream.errors import ConfigurationError, TransientError
from hurnet_stream.operations.resharding import group_of
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import KafkaSettings, ResponderSettings
from hurnet_stream.wiring.moving import wait_until_forwarded
from tests.acceptance.system import wait_for


@pytest.fixture
def old(kafka_bootstrap: str, unique: str) -> KafkaSettings:
    """With a topic of texts that has one partition and keeps records for two days."""
    topic = f"{unique}-texts"
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        made = {"num_partitions": 1, "replication_factor": 1, "configs": {"retention.ms": "172800000"}}
        admin.create_topics({topic: made})
    return KafkaSettings(bootstrap=kafka_bootstrap, texts=topic)


def test_the_new_topic_keeps_records_as_long_as_the_old_one(old: KafkaSettings) -> None:
    new = f"{old.texts}-3"
    assert create_beside(old, new, 3) == 3
    assert create_beside(old, new, 5) == 3, "it is there"
    config = configs_of(old, [new])[new] or {}
    assert (config["retention.ms"], config["cleanup.policy"]) == ("172800000", "delete")
    with pytest.raises(ConfigurationError):
        create_beside(old.model_copy(update={"texts": f"{new}-missing"}), f"{new}-x", 2)


def test_a_writer_waits_until_all_that_was_written_before_is_forwarded(
    old: KafkaSettings, unique: str
) -> None:
    create_beside(old, f"{old.texts}-3", 3)
    new = old.model_copy(update={"texts": f"{old.texts}-3"})
    wait_until_forwarded(new, unique)  # nothing is forwarded to it
    with closing(KafkaSink(old)) as sink:
        sink.send([Outgoing(old.texts, b"%d" % n, partition=0) for n in range(5)])
    member = ResponderSettings(group=group_of(unique, new.texts), instance="one")
    with closing(TransactionalExchange(old, old.texts, member)) as exchange:
        records = wait_for(lambda: exchange.poll(0.25, 10).records)
        assert len(records) == 5
        first = [Outgoing(new.texts, record.value, partition=1) for record in records[:3]]
        assert exchange.deliver(first, {0: 3})
        assert [partition for partition, _ in exchange.written()] == [1, 1, 1]
        forwarded = Forwarded(new, member.group)
        # What a transaction commits can be seen a moment after its commit.
        ends = wait_for(forwarded.ends, what="something is committed")
        wait_for(lambda: forwarded.left(ends) == 2, what="three of five are forwarded")
        with pytest.raises(TransientError, match="2 records of the old topic"):
            wait_until_forwarded(new, unique, wait_s=0.0)
        assert exchange.deliver([], {0: 5})
        wait_for(lambda: forwarded.left(ends) == 0, what="all are forwarded")
    wait_until_forwarded(new, unique)
