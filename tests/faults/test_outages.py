"""The broker and the store killed under load: the workers go on by themselves, and the books balance."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hurnet_schemas import Query, TextEvent
from hurnet_stream.errors import TransientError
from hurnet_stream.local import KafkaServer, ValkeyServer
from tests.acceptance.system import System, wait_for
from tests.cluster import KafkaCluster
from tests.conftest import QUICK_GROUPS
from tests.lone import with_lone_system

TEXTS = 900
QUERIES = 300


def statements(first: int, count: int) -> list[TextEvent]:
    return [
        TextEvent(text=f"statement number {i}", answer=f"answer {i % 5}") for i in range(first, first + count)
    ]


def questions(first: int, count: int) -> list[Query]:
    return [Query(text=f"statement number {i}", id=f"q{i}") for i in range(first, first + count)]


@dataclass
class Sent:
    """What was sent, and acknowledged by Kafka."""

    texts: list[TextEvent] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)


class Load(Sent):
    """Sends texts and queries in the background, each again until it is acknowledged."""

    def __init__(self, system: System) -> None:
        super().__init__(statements(0, TEXTS), questions(0, QUERIES))
        self.system = system
        self.thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        for step in range(30):
            texts = self.texts[step * 30 : step * 30 + 30]
            queries = self.queries[step * 10 : step * 10 + 10]
            self._until_acknowledged(lambda texts=texts: self.system.teach(texts))  # type: ignore[misc]
            self._until_acknowledged(lambda queries=queries: self.system.ask(queries))  # type: ignore[misc]

    def _until_acknowledged(self, send: Callable[[], None]) -> None:
        for _ in range(60):
            try:
                return send()
            except TransientError:
                continue
        raise AssertionError("the broker stayed away")

    def __enter__(self) -> Load:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join()


def check_books(system: System, load: Sent) -> None:
    """A send whose acknowledgement was lost is sent again, under another offset: so ids are compared as sets,
    and what is in Kafka with what is in the store as multisets."""
    in_kafka = Counter(TextEvent.decode(r.value).text for r in system.read(system.settings.kafka.texts))
    assert set(in_kafka) == {event.text for event in load.texts}
    wait_for(lambda: Counter(system.texts_in_store()) == in_kafka, what="all texts in the store, once each")
    asked = Counter(Query.decode(r.value).id for r in system.read(system.settings.kafka.queries))
    assert set(asked) == {query.id for query in load.queries}
    wait_for(lambda: len(system.answers()) >= sum(asked.values()), what="all queries answered")
    assert Counter(answer.id for answer in system.answers()) == asked
    rows = sum(in_kafka.values())
    wait_for(lambda: sum(s.rows for s in system.checkpoint().shards.values()) == rows, what="all rows folded")
    assert system.checkpoint().statistics["default"].digest() == system.clean_statistics().digest()


def run_through(system: System, disturb: Callable[[], None]) -> None:
    system.create_topics()
    workers = [system.start(name) for name in ("ingest", "solver", "responder")]
    with Load(system) as load:
        disturb()
    check_books(system, load)
    for worker in workers:
        assert worker.process.poll() is None, f"{worker.name} ended: {worker.said()[-3000:]}"
        assert worker.terminate() == 0


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.mark.timeout(900)
def test_the_broker_is_killed_under_load(valkey_url: str, tmp_path: Path) -> None:
    def scenario(system: System, kafka: KafkaServer) -> None:
        def disturb() -> None:
            threading.Event().wait(3)
            kafka.kill()
            threading.Event().wait(2)
            kafka.start()

        run_through(system, disturb)

    with_lone_system(valkey_url, tmp_path, scenario)


def test_the_store_is_killed_under_load(
    kafka_bootstrap: str, own_valkey: ValkeyServer, unique: str, tmp_path: Path
) -> None:
    def disturb() -> None:
        for _ in range(3):
            threading.Event().wait(1.5)
            own_valkey.kill()
            threading.Event().wait(1)
            own_valkey.start()

    with System(kafka_bootstrap, own_valkey.url, unique, tmp_path) as system:
        run_through(system, disturb)


@pytest.mark.timeout(400)
def test_three_brokers_are_killed_in_turn_under_load(valkey_url: str, unique: str, tmp_path: Path) -> None:
    with KafkaCluster(3, settings=QUICK_GROUPS) as cluster:

        def disturb() -> None:
            for node in cluster.nodes:
                threading.Event().wait(2)
                node.kill()
                threading.Event().wait(4)
                node.start()

        settings = {"HURNET_KAFKA_REPLICATION": "3"}
        with System(cluster.bootstrap, valkey_url, unique, tmp_path, **settings) as system:
            run_through(system, disturb)
