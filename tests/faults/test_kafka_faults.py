"""Brokers and workers die, and every query is answered exactly once all the same."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, MemberToRemove
from kafka.errors import KafkaTimeoutError
from kafka.record.util import crc32c_c

from hurnet_stream.adapters.kafka import AtLeastOnceExchange, TransactionalExchange
from hurnet_stream.adapters.kafka.admin.check import TopicFinding, ensure_topics
from hurnet_stream.adapters.kafka.exchange.producer import TransactionalProducer
from hurnet_stream.adapters.kafka.reading.source import KafkaSource
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.errors import ConfigurationError, Superseded, TransientError
from hurnet_stream.local import KafkaServer
from hurnet_stream.ports import Exchange, Outgoing
from hurnet_stream.settings.addresses import shown
from hurnet_stream.settings.settings import KafkaSettings, ResponderSettings
from tests.acceptance.system import system_is_busy, wait_for
from tests.cluster import KafkaCluster
from tests.contract.echo import (
    PARTITIONS,
    SECONDS,
    Traffic,
    create,
    echo,
    read_all,
    serve_once,
    settled,
)
from tests.lone import with_lone_broker
from tests.stand_ins import LOOPBACKS, Forwarder, password_broker

# kafka-python leaves the socket of a refused or failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")

REPOSITORY = Path(__file__).parents[2]
ROOTS = REPOSITORY / "workers", REPOSITORY / "schemas", REPOSITORY


@pytest.fixture
def lone() -> Iterator[KafkaServer]:
    """A broker of the test's own, to be killed."""
    with KafkaServer() as server:
        yield server


@pytest.fixture
def guarded() -> Iterator[dict[str, str]]:
    """Settings for a broker that wants a password, on a second listener of its own."""
    with password_broker({}) as (_, settings):
        yield settings


@pytest.fixture
def nowhere() -> Iterator[KafkaSettings]:
    """The address of a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield KafkaSettings(bootstrap=f"127.0.0.1:{probe.getsockname()[1]}", request_timeout=1)


@pytest.mark.parametrize(
    "connect",
    [
        KafkaSink,
        lambda settings: KafkaSource(settings, "t", "g"),
        lambda settings: TransactionalExchange(settings, settings.queries, ResponderSettings(group="g")),
        lambda settings: AtLeastOnceExchange(settings, settings.queries, ResponderSettings(group="g")),
        ensure_topics,
    ],
    ids=["sink", "source", "transactions", "at-least-once", "topics"],
)
def test_a_broker_that_is_not_there_is_said_within_seconds(
    nowhere: KafkaSettings, connect: Callable[[KafkaSettings], object]
) -> None:
    threads = threading.active_count()
    started = time.monotonic()
    with pytest.raises(TransientError, match=f"no Kafka broker at {nowhere.bootstrap}"):
        connect(nowhere)
    assert time.monotonic() - started < 4 or system_is_busy()
    wait_for(lambda: threading.active_count() <= threads, what="a failed try leaves no thread behind")


def test_a_source_of_a_topic_that_is_not_there_says_so(kafka_bootstrap: str, unique: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no such topic: {unique}"):
        KafkaSource(settled(kafka_bootstrap), unique, "g")


def test_checksums_are_taken_in_c() -> None:
    """Without the package crc32c kafka-python takes 2-4 times as long for each record."""
    assert crc32c_c is not None


def test_a_deleted_topic_is_not_made_anew_by_those_who_read_it() -> None:
    """A client that may create topics would do so unnoticed, with the broker's default of partitions."""
    with KafkaServer(settings={"auto.create.topics.enable": "true"}) as server:
        create(server.bootstrap, "q")
        admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
        with closing(admin), closing(KafkaSource(settled(server.bootstrap), "q", "g")) as source:
            while not source.assignment():
                source.poll(0.2, 1)
            admin.delete_topics(["q"])
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                with suppress(TransientError):
                    source.poll(0.2, 1)
            assert "q" not in admin.list_topics()


def test_tls_to_a_broker_without_it_is_a_configuration_error(kafka_bootstrap: str) -> None:
    settings = KafkaSettings(bootstrap=kafka_bootstrap, security_protocol="SSL", request_timeout=1)
    with pytest.raises(ConfigurationError, match="TLS handshake"):
        KafkaSink(settings)


def test_a_port_that_is_not_kafka_is_told_from_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(TransientError, match="doesn't answer as Kafka"):
            KafkaSink(KafkaSettings(bootstrap=address, request_timeout=1))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"bootstrap": "nowhere"}, "host:port"),
        ({"security_protocol": "SASL_PLAINTEXT", "username": "me"}, "HURNET_KAFKA_SASL_MECHANISM"),
        ({"security_protocol": "SSL", "ca_file": "/no/such.pem"}, "TLS files"),
        ({"security_protocol": "SSL", "cert_file": __file__, "key_password": "hush"}, "TLS files"),
    ],
)
def test_wrong_settings_are_told_without_their_secrets(wrong: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as raised:
        KafkaSink(KafkaSettings.model_validate(wrong))
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_what_a_broker_will_not_take_is_a_configuration_error(
    guarded: Mapping[str, str], mechanism: str
) -> None:
    wrong = KafkaSettings.model_validate({**guarded, "sasl_mechanism": mechanism, "password": "hush"})
    with pytest.raises(ConfigurationError, match=r"refuses us|Authentication failed") as raised:
        KafkaSink(wrong)
    assert "hush" not in str(raised.value)
    with closing(KafkaSink(KafkaSettings.model_validate(guarded))):
        pass


def test_topics_are_made_once_and_then_checked(kafka_bootstrap: str, unique: str) -> None:
    topics = ("texts", "queries", "answers", "feedback", "dead_letters", "canary_answers")
    names = {name: f"{unique}-{name}" for name in topics}
    settings = KafkaSettings(bootstrap=kafka_bootstrap, partitions=2, **names)
    assert all(f == TopicFinding(f.name, False, False, 0, ("missing",)) for f in ensure_topics(settings))
    partitions = {name: 1 if key in ("feedback", "canary_answers") else 2 for key, name in names.items()}
    for created in (True, False):
        found = [TopicFinding(name, True, created, n) for name, n in partitions.items()]
        assert ensure_topics(settings, create=True) == found
    problems = {f.problems for f in ensure_topics(settings.model_copy(update={"partitions": 3}))}
    assert problems == {(), ("2 partitions, HURNET_KAFKA_PARTITIONS asks for 3",)}  # those with one stay


def test_more_replicas_than_brokers_are_refused_clearly(lone: KafkaServer) -> None:
    with pytest.raises(ConfigurationError, match=r"HURNET_KAFKA_REPLICATION"):
        ensure_topics(KafkaSettings(bootstrap=lone.bootstrap, replication=3), create=True)


def test_a_compacted_topic_of_texts_is_a_problem(kafka_bootstrap: str, unique: str) -> None:
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        compacted = {"num_partitions": 4, "configs": {"cleanup.policy": "compact"}}
        admin.create_topics({unique: compacted}, wait_for_metadata=True)
    findings = ensure_topics(KafkaSettings(bootstrap=kafka_bootstrap, texts=unique))
    assert "compact" in " ".join(findings[0].problems)


def test_a_broker_that_goes_away_is_waited_for(lone: KafkaServer) -> None:
    create(lone.bootstrap, "q")
    settings = settled(lone.bootstrap)
    with closing(KafkaSink(settings)) as sink, closing(KafkaSource(settings, "q", "g")) as source:
        sink.send([Outgoing("q", b"1")])
        while not source.poll(0.2, 10).records:
            pass
        lone.kill()
        started = time.monotonic()
        with pytest.raises(TransientError):
            sink.send([Outgoing("q", b"2")])
        assert time.monotonic() - started < 15 or system_is_busy()
        for _ in range(5):
            started = time.monotonic()
            with suppress(TransientError):
                assert not source.poll(0.5, 10).records
            assert time.monotonic() - started < 15 or system_is_busy()
        lone.start()
        deadline = time.monotonic() + SECONDS
        seen: list[bytes | None] = []
        while b"3" not in seen:
            assert time.monotonic() < deadline
            try:
                sink.send([Outgoing("q", b"3")])
                seen += [r.value for r in source.poll(1.0, 10).records]
            except TransientError:
                time.sleep(0.1)


KILLED = """
import os, signal, sys
from hurnet_stream.adapters.kafka.exchange.producer import TransactionalProducer
from tests.contract.echo import echo, serve_once, settled

bootstrap, queries, answers, moment = sys.argv[1:]
wait = TransactionalProducer._wait

def die_in_third(producer, result, deadline):
    if transactions == 3 and producer.commit_sent == (moment == "commit"):
        if moment == "commit":
            wait(producer, result, deadline)
        os.kill(os.getpid(), signal.SIGKILL)
    wait(producer, result, deadline)

TransactionalProducer._wait = die_in_third
transactions = 1
exchange = echo(settled(bootstrap), queries)
while True:
    transactions += serve_once(exchange, answers) > 0
"""


@pytest.mark.parametrize("moment", ["offsets", "commit"])
def test_a_worker_killed_in_a_transaction(kafka_bootstrap: str, unique: str, moment: str) -> None:
    queries, answers = f"{unique}-q", f"{unique}-a"
    create(kafka_bootstrap, queries, answers)
    settings = settled(kafka_bootstrap)
    with closing(KafkaSink(settings)) as sink:
        sink.send([Outgoing(queries, b"?", partition=i % PARTITIONS) for i in range(500)])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, kafka_bootstrap, queries, answers, moment],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))},
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    before = len(read_all(settings, answers, 1))
    assert 0 < before < 500
    served, deadline = 0, time.monotonic() + SECONDS
    with closing(echo(settings, queries)) as successor:
        while before + served < 500:
            assert time.monotonic() < deadline
            served += serve_once(successor, answers)
    asked = Counter(b"%d:%d" % (p, o) for p, o, _ in read_all(settings, queries, 500))
    assert Counter(value for _, _, value in read_all(settings, answers, 500)) == asked


@pytest.fixture
def queries(kafka_bootstrap: str, unique: str) -> str:
    """The name of a topic that has one query; there is another topic for its answer."""
    create(kafka_bootstrap, unique, f"{unique}-a")
    with closing(KafkaSink(settled(kafka_bootstrap))) as sink:
        sink.send([Outgoing(unique, b"?", partition=0)])
    return unique


def wait_for_query(exchange: Exchange) -> None:
    deadline = time.monotonic() + SECONDS
    while not exchange.poll(0.2, 1).records:
        assert time.monotonic() < deadline


def answer(exchange: Exchange, queries: str) -> bool:
    return exchange.deliver([Outgoing(f"{queries}-a", b"0:0", partition=0)], {0: 1})


def test_a_commit_whose_answer_is_lost_counts_as_done(
    kafka_bootstrap: str, queries: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = TransactionalProducer._wait

    def lose_the_answer(producer: TransactionalProducer, result: Any, deadline: float) -> None:
        wait(producer, result, deadline)
        if producer.commit_sent:
            raise KafkaTimeoutError("lost")

    settings = settled(kafka_bootstrap)
    with closing(echo(settings, queries)) as exchange:
        wait_for_query(exchange)
        monkeypatch.setattr(TransactionalProducer, "_wait", lose_the_answer)
        assert answer(exchange, queries)
        assert not exchange.poll(1.0, 1).records
    assert len(read_all(settings, f"{queries}-a", 1)) == 1


def test_what_fails_before_the_commit_did_not_happen_and_leaves_no_thread(
    kafka_bootstrap: str, queries: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = TransactionalProducer._wait

    def fail_with_the_offsets(producer: TransactionalProducer, result: Any, deadline: float) -> None:
        wait(producer, result, deadline)
        if not producer.commit_sent:
            raise KafkaTimeoutError("late")

    settings = settled(kafka_bootstrap)
    with closing(echo(settings, queries)) as exchange:
        wait_for_query(exchange)
        exchange.has_topic(queries)
        threads = threading.active_count()
        with monkeypatch.context() as patch:
            patch.setattr(TransactionalProducer, "_wait", fail_with_the_offsets)
            for _ in range(5):
                assert not answer(exchange, queries)
                wait_for_query(exchange)
        assert answer(exchange, queries)
        deadline = time.monotonic() + SECONDS
        while threading.active_count() > threads:
            assert time.monotonic() < deadline, threading.enumerate()
            time.sleep(0.1)
    assert len(read_all(settings, f"{queries}-a", 1)) == 1


def test_one_pause_longer_than_the_transaction_may_take_is_forgiven_a_second_one_not(
    lone: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker aborts the transaction and fences its producer, as if another one had taken over."""
    create(lone.bootstrap, "q", "q-a")
    wait = TransactionalProducer._wait

    def pause_before_commit(producer: TransactionalProducer, result: Any, deadline: float) -> None:
        wait(producer, result, deadline)
        if not producer.commit_sent:
            time.sleep(8)

    settings = settled(lone.bootstrap).model_copy(update={"queries": "q"})
    responder = ResponderSettings(group="g", transaction_timeout=3, transaction_deadline=60)
    with (
        closing(KafkaSink(settings)) as sink,
        closing(TransactionalExchange(settings, settings.queries, responder)) as exchange,
    ):
        sink.send([Outgoing("q", b"?", partition=0)])
        wait_for_query(exchange)
        with monkeypatch.context() as patch:
            patch.setattr(TransactionalProducer, "_wait", pause_before_commit)
            assert not answer(exchange, "q")
        wait_for_query(exchange)
        assert answer(exchange, "q")
        monkeypatch.setattr(TransactionalProducer, "_wait", pause_before_commit)
        with pytest.raises(Superseded, match=r"HURNET_RESPONDER_INSTANCE"):
            answer(exchange, "q")
    assert len(read_all(settings, "q-a", 1)) == 1


@pytest.mark.parametrize("end", ["commit_transaction", "abort_transaction"])
def test_a_transaction_that_ends_under_another_leader_is_no_log_cut_off(lone: KafkaServer, end: str) -> None:
    """Its marker is the first batch of that leader's epoch, and no record. The leader after that is asked
    whether its log still holds all that was read."""
    create(lone.bootstrap, "q")
    settings = settled(lone.bootstrap)
    with closing(KafkaSink(settings)) as sink:
        sink.send([Outgoing("q", b"0", partition=0)])
    producer = KafkaProducer(bootstrap_servers=lone.bootstrap, transactional_id="t")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send("q", b"1", partition=0).get(timeout=SECONDS)
    lone.kill()
    lone.start()
    getattr(producer, end)()
    producer.close()
    with closing(KafkaSource(settings, "q", "g")) as source:
        assert read_to(source, 3) == ([b"0", b"1"] if end == "commit_transaction" else [b"0"])
        lone.kill()
        lone.start()
        with closing(KafkaSink(settings)) as sink:
            sink.send([Outgoing("q", b"2", partition=0)])
        assert read_to(source, 4) == [b"2"]


def read_to(source: KafkaSource, end: int) -> list[bytes | None]:
    """The records of partition 0 before the offset `end`. A broker that is away is waited for; any other
    error is raised."""
    found: list[bytes | None] = []
    deadline = time.monotonic() + SECONDS
    while source.positions().get(0, 0) < end:
        assert time.monotonic() < deadline, found
        with suppress(TransientError):
            found += [record.value for record in source.poll(0.2, 10).records]
    return found


def test_a_member_that_was_thrown_out_delivers_nothing(kafka_bootstrap: str, queries: str) -> None:
    """Its client has no generation then, and a broker accepts a commit without a generation from anybody."""
    settings = settled(kafka_bootstrap)
    with closing(echo(settings, queries)) as exchange:
        wait_for_query(exchange)
        with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
            (member,) = admin.describe_groups([f"g-{queries}"])[f"g-{queries}"]["members"]
            admin.remove_group_members(f"g-{queries}", [MemberToRemove(member_id=member["member_id"])])
        time.sleep(2.5)  # two heartbeats
        assert not answer(exchange, queries)
        wait_for_query(exchange)
        assert answer(exchange, queries)
    assert len(read_all(settings, f"{queries}-a", 1)) == 1


@pytest.mark.timeout(900)
def test_a_lone_broker_killed_while_transactions_run() -> None:
    def scenario(lone: KafkaServer) -> None:
        create(lone.bootstrap, "q", "a")
        with Traffic(settled(lone.bootstrap), "q", "a") as traffic:
            for _ in range(2):
                lone.kill()
                time.sleep(0.5)
                lone.start()
                traffic.wait_for(50)
            assert traffic.check() > 100

    with_lone_broker(scenario)


def test_three_brokers_killed_in_turn() -> None:
    """At some time the broker that is killed coordinates the transactions, or the group."""
    with KafkaCluster(3) as cluster:
        create(cluster.bootstrap, "q", "a")
        with Traffic(settled(cluster.bootstrap), "q", "a") as traffic:
            for node in cluster.nodes:
                node.kill()
                traffic.wait_for(100)
                node.start()
                traffic.wait_for(20)
            count = traffic.check()
            print(f"{count} queries, longest gap {traffic.longest_gap:.1f} s")
        assert traffic.longest_gap < 30 or system_is_busy()


def test_brokers_are_reached_by_ipv6_too(kafka_bootstrap: str, unique: str) -> None:
    with Forwarder(int(kafka_bootstrap.rpartition(":")[2]), LOOPBACKS[-1]) as address:
        names = {
            name: f"{unique}-{name}" for name in ("texts", "queries", "answers", "feedback", "dead_letters")
        }
        settings = KafkaSettings.model_validate(
            {"bootstrap": f"127.0.0.1:1, {shown(LOOPBACKS[-1], address.port)}", **names}
        )
        assert all(finding.created for finding in ensure_topics(settings, create=True))
        assert address.used
