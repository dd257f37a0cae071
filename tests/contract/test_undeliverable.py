"""Reply topics of clients that a real broker refuses, each in its own way: nothing else is held up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

from hurnet_schemas import Answer, Query
from hurnet_stream.adapters.kafka import AtLeastOnceExchange, KafkaBackfill, TransactionalExchange
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.errors import ConfigurationError, Stalled, TransientError
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Exchange, Outgoing, Texts
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import KafkaSettings, ResponderSettings, Settings
from tests.contract.echo import read_all
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.weights_store import MemoryWeightsStore
from tests.stand_ins import password_broker
from tests.worlds.responder import EMBEDDER, PAIRS, World

# kafka-python leaves the socket of a refused or failed connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")

KINDS = pytest.mark.parametrize("kind", [TransactionalExchange, AtLeastOnceExchange])


@dataclass
class System:
    """A responder over a store in memory and topics of its own on a real broker."""

    kafka: KafkaSettings
    settings: ResponderSettings
    responder: Responder
    mine: str

    def ask(self, *identifiers: str, to: str | None = None, top_k: int = 1) -> None:
        headers = () if to is None else (("reply-to", to.encode()),)
        patient = self.kafka.model_copy(update={"request_timeout": 60.0})
        with closing(KafkaSink(patient)) as sink:
            asked = [Query(text="rain", id=i, top_k=top_k).encode() for i in identifiers]
            sink.send([Outgoing(self.kafka.queries, value, headers=headers, partition=0) for value in asked])

    def answers(self, topic: str, count: int) -> dict[str, str]:
        """Turn until so many answers are there."""
        deadline = time.monotonic() + 120
        counter = self.responder._metrics.registry.get_sample_value
        while sum(counter("hurnet_queries_total", {"outcome": o}) or 0 for o in OUTCOMES) < count:
            assert time.monotonic() < deadline
            try:
                self.responder.step()
            except TransientError:
                time.sleep(0.1)
        found = [Answer.decode(value) for _, _, value in read_all(self.kafka, topic, 1)]
        if isinstance(self.responder._exchange, TransactionalExchange):
            assert len({a.id for a in found}) == len(found)
        return {a.id: a.outcome for a in found}


OUTCOMES = ("answered", "abstained", "rejected", "timed-out")
Build = Callable[..., System]


@pytest.fixture
def system(kafka_bootstrap: str, unique: str) -> Iterator[Build]:
    made: list[System] = []

    def build(
        kind: type[TransactionalExchange] | type[AtLeastOnceExchange],
        texts: Sequence[str] = (),
        **mine: str,
    ) -> System:
        kafka = named(KafkaSettings(bootstrap=kafka_bootstrap, session_timeout=6), unique)
        create(kafka_bootstrap, kafka, **mine)
        made.append(started(kafka, kind, texts))
        return made[-1]

    yield build
    for system in made:
        system.responder.close()


def named(kafka: KafkaSettings, unique: str) -> KafkaSettings:
    topics = {
        name: f"{unique}-{name}" for name in ("texts", "queries", "answers", "feedback", "dead_letters")
    }
    return kafka.model_copy(update=topics)


def create(bootstrap: str, kafka: KafkaSettings, **mine: str) -> None:
    """Create our topics, and a client's with these settings."""
    plain = {name: {"num_partitions": 1} for name in (kafka.queries, kafka.answers, kafka.dead_letters)}
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.create_topics(
            {**plain, f"{kafka.answers}-mine": {"num_partitions": 1, "configs": mine}}, wait_for_metadata=True
        )


def started(
    kafka: KafkaSettings,
    kind: type[TransactionalExchange] | type[AtLeastOnceExchange],
    texts: Sequence[str] = (),
) -> System:
    settings = ResponderSettings(
        group=f"g-{kafka.queries}",
        instance="one",
        poll=0.05,
        threshold=0,
        reply_topics=".*",
        transaction_deadline=5,
    )
    world = World()
    if texts:
        world.teach(*((text, None) for text in texts))
    world.teach(*PAIRS, *((f"rain {i} {'x' * 300}", f"{i} {'y' * 300}") for i in range(30)))
    stores = MemoryEntryStore(world.redis), MemoryWeightsStore(world.redis)
    exchange: Exchange = kind(kafka, kafka.queries, settings)
    responder = Responder(
        exchange, *stores, EMBEDDER, Settings(kafka=kafka, responder=settings), ResponderMetrics()
    )
    return System(kafka, settings, responder, f"{kafka.answers}-mine")


@KINDS
def test_answers_above_what_a_reply_topic_takes_are_rejected_alone(
    system: Build, kind: type[TransactionalExchange]
) -> None:
    made = system(kind, **{"max.message.bytes": "6000"})
    made.ask("a")
    made.ask("b", "c", "d", to=made.mine)
    made.ask("large", to=made.mine, top_k=30)
    made.ask("e", "f", to=made.mine)
    made.ask("g")
    assert made.answers(made.kafka.answers, 8) == {"a": "answered", "large": "rejected", "g": "answered"}
    assert made.answers(made.mine, 8) == dict.fromkeys("bcdef", "answered")


@KINDS
def test_an_answer_of_many_long_texts_fits_into_a_message(
    system: Build, kind: type[TransactionalExchange]
) -> None:
    made = system(kind, texts=["rain " * 3_000 + str(i) for i in range(120)])
    made.ask("a")
    made.ask("large", top_k=100)
    made.ask("mine", to=made.mine, top_k=100)
    assert made.answers(made.kafka.answers, 3) == {"a": "answered", "large": "answered"}
    assert made.answers(made.mine, 3) == {"mine": "answered"}


@KINDS
def test_a_reply_topic_that_is_compacted_refuses_an_answer_without_a_key(
    system: Build, kind: type[TransactionalExchange]
) -> None:
    made = system(kind, **{"cleanup.policy": "compact"})
    made.ask("a")
    made.ask("mine", to=made.mine)
    made.ask("b")
    assert made.answers(made.kafka.answers, 3) == {"a": "answered", "mine": "rejected", "b": "answered"}


@KINDS
def test_a_reply_topic_that_vanishes_between_check_and_sending(
    system: Build, kind: type[TransactionalExchange]
) -> None:
    made = system(kind)
    made.ask("a")
    made.ask("mine", to=made.mine)
    made.ask("b")
    admitted = made.responder._delivery.admitted

    def vanishing(pending: object) -> object:
        found = admitted(pending)  # type: ignore[arg-type]
        with KafkaAdminClient(bootstrap_servers=made.kafka.bootstrap) as admin:
            if made.mine in admin.list_topics():
                admin.delete_topics([made.mine])
        return found

    made.responder._delivery.admitted = vanishing  # type: ignore[method-assign, assignment]
    assert made.answers(made.kafka.answers, 3) == {"a": "answered", "mine": "rejected", "b": "answered"}


@pytest.fixture
def locked() -> Iterator[tuple[str, KafkaSettings]]:
    """A broker that checks rights: a client of the inner address may do everything, and the user of the
    settings only what it was given a right to."""
    authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    rules = {"authorizer.class.name": authorizer, "super.users": "User:ANONYMOUS"}
    with password_broker(rules) as (inner, outer):
        yield inner, KafkaSettings.model_validate({**outer, "session_timeout": 6})


def allow(bootstrap: str, kind: ResourceType, name: str, *operations: ACLOperation) -> None:
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.create_acls(
            [
                ACL("User:me", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
                for operation in operations
            ]
        )


@KINDS
@pytest.mark.parametrize("seen", [True, False])
def test_a_reply_topic_that_we_may_not_write_to(
    locked: tuple[str, KafkaSettings], unique: str, kind: type[TransactionalExchange], seen: bool
) -> None:
    bootstrap, settings = locked
    kafka = named(settings, unique)
    create(bootstrap, kafka)
    topic = ResourceType.TOPIC
    for name in (kafka.queries, kafka.answers, kafka.dead_letters):
        allow(bootstrap, topic, name, ACLOperation.READ, ACLOperation.WRITE, ACLOperation.DESCRIBE)
    if seen:
        allow(bootstrap, topic, f"{kafka.answers}-mine", ACLOperation.DESCRIBE)
    allow(bootstrap, ResourceType.GROUP, "*", ACLOperation.READ, ACLOperation.DESCRIBE)
    allow(bootstrap, ResourceType.TRANSACTIONAL_ID, "*", ACLOperation.WRITE, ACLOperation.DESCRIBE)
    allow(bootstrap, ResourceType.CLUSTER, "kafka-cluster", ACLOperation.IDEMPOTENT_WRITE)
    made = started(kafka, kind)
    try:
        made.ask("a")
        made.ask("mine", to=made.mine)
        made.ask("b")
        assert made.answers(kafka.answers, 3) == {"a": "answered", "mine": "rejected", "b": "answered"}
    finally:
        made.responder.close()


def test_a_stall_is_transient() -> None:
    assert issubclass(Stalled, TransientError)


@pytest.mark.parametrize("job", ["", "job"], ids=["without a note", "with a note"])
def test_a_topic_that_refuses_a_text_of_a_file_is_a_matter_for_a_person(
    kafka_bootstrap: str, unique: str, job: str
) -> None:
    """And not for another try: kafka-python says of other texts only that they were in a batch with it."""
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, texts=f"{unique}-texts")
    configs = {"message.timestamp.before.max.ms": "3600000"}
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.create_topics({kafka.texts: {"num_partitions": 1, "configs": configs}}, wait_for_metadata=True)
    with closing(KafkaBackfill(kafka, job and f"{unique}-{job}")) as backfill:
        backfill.resume()
        with pytest.raises(
            ConfigurationError, match=r"it refuses a text .*message\.timestamp\.before\.max\.ms"
        ):
            backfill.write(Texts([b"1", b"2", b"3"], timestamps_ms=[None, 1_000, None]), lambda _: "note")
        assert backfill.resume() == ""
        assert backfill.write(Texts([b"1"]), lambda _: "note")
