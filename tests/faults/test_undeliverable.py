"""A reply topic that a real cluster refuses for want of replicas: nothing else is held up."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from hurnet_stream.adapters.kafka import TransactionalExchange
from hurnet_stream.settings.settings import KafkaSettings
from tests.acceptance.system import system_is_busy
from tests.cluster import KafkaCluster
from tests.contract.test_undeliverable import KINDS, create, named, started

# kafka-python leaves the socket of a refused or failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")


@KINDS
@pytest.mark.parametrize("known", [True, False])
def test_a_reply_topic_under_min_isr(kind: type[TransactionalExchange], known: bool) -> None:
    """Whether it is known beforehand or not. If not, the transaction can be neither committed nor aborted,
    and the next queries must be answered all the same."""
    with KafkaCluster(3) as cluster:
        kafka = named(KafkaSettings(bootstrap=cluster.bootstrap, session_timeout=6), "t")
        create(cluster.bootstrap, kafka)
        mine = {"assignments": {0: [1, 3]}, "configs": {"min.insync.replicas": "2"}}
        with KafkaAdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            admin.create_topics({"mine": mine}, wait_for_metadata=True)
        made = started(kafka, kind)
        try:
            made.ask("a", "b")
            made.answers(kafka.answers, 2)
            cluster.nodes[2].kill()
            wait_until_out_of_sync(cluster.nodes[0].bootstrap, "mine")
            made.kafka = kafka.model_copy(update={"bootstrap": cluster.nodes[0].bootstrap})
            if not known:
                made.responder._exchange.unwritable = lambda _: None  # type: ignore[method-assign, assignment]
            begun = time.monotonic()
            made.ask("mine", to="mine")
            made.ask("c")
            expected = {"a": "answered", "b": "answered", "mine": "rejected", "c": "answered"}
            assert made.answers(kafka.answers, 4) == expected
            assert time.monotonic() - begun < (30 if known else 60) or system_is_busy()
        finally:
            made.responder.close()


def wait_until_out_of_sync(bootstrap: str, topic: str) -> None:
    deadline = time.monotonic() + 120
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        while time.monotonic() < deadline:
            with suppress(KafkaError):  # the client may ask the broker that was killed
                if len(admin.describe_topics([topic])[0]["partitions"][0]["isr_nodes"]) == 1:
                    return
            time.sleep(0.2)
    raise AssertionError(f"{topic} still has all its replicas in sync")
