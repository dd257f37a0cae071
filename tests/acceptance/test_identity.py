"""Another topic, store or Kafka in place of ours: real servers are swapped under real workers."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from hurnet_schemas import Query, TextEvent
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.core.stored.batch import ShardState
from hurnet_stream.errors import StoreError
from hurnet_stream.local import KafkaServer, ValkeyServer
from tests.acceptance.system import PARTITIONS, Running, System, system_is_busy, wait_for
from tests.conftest import QUICK_GROUPS

SOON = 2.0
"""Seconds within which what doesn't belong together is no longer served, beside a test's own slowness."""
SLOW = 3.0
BUSY = 10.0
"""The same for a worker that lost its Kafka: it may be waiting for a reply, or pausing after none came."""


def numbered(first: int, end: int) -> list[TextEvent]:
    return [TextEvent(text=f"statement number {i}", answer=f"answer {i % 3}") for i in range(first, end)]


def held(system: System) -> Counter[str]:
    with suppress(StoreError):
        return Counter(system.texts_in_store())
    return Counter()


def expected(*ranges: Sequence[TextEvent]) -> Counter[str]:
    return Counter(event.text for events in ranges for event in events)


def filled(system: System, *events: Sequence[TextEvent]) -> None:
    wait_for(lambda: held(system) == expected(*events), what="all texts in the store, once each")


def recreate(system: System) -> None:
    topic = system.settings.kafka.texts
    with KafkaAdminClient(bootstrap_servers=system.settings.kafka.bootstrap) as admin:
        admin.delete_topics([topic])

        def made() -> bool:
            with suppress(TopicAlreadyExistsError):
                admin.create_topics({topic: {"num_partitions": PARTITIONS}}, wait_for_metadata=True)
                return True
            return False

        wait_for(made, what="the topic is gone, and made anew")


def unready(worker: Running, seconds: float, word: str = "") -> None:
    """Waits until it says so, with `word`: within so many seconds, unless others use the machine."""
    said: list[tuple[int, str]] = []
    began = time.monotonic()

    def told() -> bool:
        said.append(worker.get("/readyz"))
        return said[-1][0] == 503 and word in said[-1][1]

    try:
        wait_for(told)
        assert time.monotonic() - began < seconds or system_is_busy()
    except AssertionError as error:
        raise AssertionError(f"{worker.name}: {said[-3:]} and {worker.said()[-2000:]}") from error


def states(system: System) -> Mapping[int, ShardState]:
    store = RedisEntryStore(connect(system.patient_redis))
    try:
        return store.states()
    finally:
        store.close()


def test_a_topic_made_anew_that_grew_past_the_watermark_is_refused_and_repaired(system: System) -> None:
    old, new = numbered(0, 20), numbered(100, 150)
    system.teach(old)
    ingest = system.start("ingest").wait_ready()
    filled(system, old)
    ingest.terminate()
    recreate(system)
    system.teach(new)
    ingest = system.start("ingest")
    assert ingest.wait_end() == 1
    assert "the topic of texts was recreated" in ingest.said()
    assert "hurnet repair" in ingest.said()
    assert held(system) == expected(old)
    assert "topic of texts was recreated" in system.run("status").stderr
    told = system.run("repair")
    assert "the topic lacks 20 texts" in told.stdout, told
    assert held(system) == expected(old)
    done = system.run("repair", "--yes")
    assert done.returncode == 0, done
    assert "sent again: 20 texts, 0 deletions" in done.stdout
    system.start("ingest").wait_ready()
    filled(system, old, new)
    assert "nothing to repair" in system.run("repair").stdout


def test_a_topic_made_anew_under_a_running_ingest_is_refused(system: System) -> None:
    old = numbered(0, 20)
    system.teach(old)
    ingest = system.start("ingest").wait_ready()
    filled(system, old)
    recreate(system)
    system.teach(numbered(100, 150))
    assert ingest.wait_end() == 1
    assert "recreated" in ingest.said()
    assert held(system) == expected(old)


def test_responders_answer_nothing_while_the_topic_is_another(system: System) -> None:
    """A client's watermark is then an offset of the new topic, which says nothing of the old store."""
    system.variables["HURNET_RESPONDER_WAIT"] = "60"  # a busy machine
    old, new = numbered(0, 30), numbered(100, 110)
    system.teach(old)
    ingest, responder = system.start("ingest").wait_ready(), system.start("responder")
    filled(system, old)
    responder.wait_ready()
    recreate(system)
    system.teach(new)
    assert ingest.wait_end() == 1
    unready(responder, SOON + SLOW, "recreated")
    # Its time runs from when it is read, since it states none: the repair may take long.
    system.ask([Query(text="statement number 105", id="new", min_watermarks={2: 1})])
    time.sleep(3)
    assert system.answers() == []
    assert system.run("repair", "--yes").returncode == 0
    system.start("ingest").wait_ready()
    responder.wait_ready()
    filled(system, old, new)
    wait_for(lambda: [answer.id for answer in system.answers()] == ["new"])
    assert system.answers()[0].candidates[0].text == "statement number 105"


def test_two_systems_with_prefixes_of_their_own_each_get_everything(
    system: System, kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path
) -> None:
    """On the same topics, and with responders of the same name: no group and no transaction is shared."""
    same = {name: value for name, value in system.variables.items() if name.startswith("HURNET_KAFKA_")}
    same["HURNET_RESPONDER_INSTANCE"] = "same"
    folder = tmp_path / "other"
    folder.mkdir()
    texts = numbered(0, 60)
    with System(kafka_bootstrap, valkey_url, f"{unique}-other", folder, **same) as other:
        workers = [one.start(name) for one in (system, other) for name in ("ingest",)]
        workers += [one.start("responder", HURNET_RESPONDER_INSTANCE="same") for one in (system, other)]
        for worker in workers:
            worker.wait_ready()
        system.teach(texts)
        filled(system, texts)
        filled(other, texts)
        system.ask([Query(text=f"statement number {i}", id=f"q{i}") for i in range(20)])
        wait_for(lambda: len(system.answers()) == 40, what="an answer of each system to each query")
        assert Counter(answer.id for answer in system.answers()) == {f"q{i}": 2 for i in range(20)}
        for worker in workers:
            assert worker.terminate() == 0


@pytest.fixture
def own_kafka(unique: str, valkey_url: str, tmp_path: Path) -> Iterator[tuple[KafkaServer, System]]:
    with KafkaServer(tmp_path / "kafka", settings=QUICK_GROUPS) as kafka:
        folder = tmp_path / "logs"
        folder.mkdir()
        with System(kafka.bootstrap, valkey_url, unique, folder) as system:
            yield kafka, system.create_topics()


@pytest.fixture
def own_store(kafka_bootstrap: str, unique: str, tmp_path: Path) -> Iterator[tuple[ValkeyServer, System]]:
    with ValkeyServer(tmp_path / "first") as store:
        folder = tmp_path / "logs"
        folder.mkdir()
        with System(kafka_bootstrap, store.url, unique, folder) as system:
            yield store, system.create_topics()


def test_a_store_swapped_for_an_empty_one_is_filled_anew_and_nothing_old_is_answered(
    own_store: tuple[ValkeyServer, System], tmp_path: Path
) -> None:
    store, system = own_store
    system.variables["HURNET_RESPONDER_WAIT"] = "60"  # a busy machine
    texts = numbered(0, 300)
    system.teach(texts)
    workers = [system.start(name) for name in ("ingest", "solver", "responder")]
    filled(system, texts)
    for worker in workers:
        worker.wait_ready()
    system.ask([Query(text="statement number 7", id="before")])
    wait_for(lambda: len(system.answers()) == 1)
    workers[0].process.send_signal(signal.SIGSTOP)  # the one that would fill it again stands still
    store.stop()
    with ValkeyServer(tmp_path / "second", port=store.port):
        for worker in workers[1:]:
            unready(worker, SOON + SLOW)
        system.ask([Query(text="statement number 7", id="between", timeout_ms=1_000)])
        time.sleep(2)
        assert len(system.answers()) == 1  # nothing is answered from what is in memory alone
        more = numbered(300, 400)
        system.teach(more)
        workers[0].process.send_signal(signal.SIGCONT)
        filled(system, texts, more)
        for worker in workers:
            worker.wait_ready()
        marks = {p: state.watermark for p, state in states(system).items()}
        system.ask([Query(text="statement number 399", id="after", min_watermarks=marks)])
        wait_for(lambda: {"before", "between", "after"} <= {a.id for a in system.answers()})
        (after,) = [answer for answer in system.answers() if answer.id == "after"]
        assert after.receipt is not None
        wait_for(lambda: system.rows_folded() == len(texts) + len(more), what="all folded, and saved")
        assert system.run("verify").returncode == 0


def test_a_store_that_is_emptied_under_load_is_filled_anew(own_store: tuple[ValkeyServer, System]) -> None:
    store, system = own_store
    texts = numbered(0, 150)
    system.teach(texts)
    workers = [system.start(name) for name in ("ingest", "solver", "responder")]
    filled(system, texts)
    for worker in workers:
        worker.wait_ready()
    with redis.Redis.from_url(store.url) as client:
        client.flushall()
    more = numbered(150, 300)
    system.teach(more)
    filled(system, texts, more)
    for worker in workers:
        worker.wait_ready()
        assert worker.process.poll() is None
    system.ask([Query(text="statement number 299", id="after")])
    wait_for(lambda: len(system.answers()) == 1)


def test_another_kafka_at_the_same_port_gets_nothing_and_gives_nothing(
    own_kafka: tuple[KafkaServer, System], tmp_path: Path
) -> None:
    kafka, system = own_kafka
    texts = numbered(0, 60)
    system.teach(texts)
    ingest, responder = system.start("ingest"), system.start("responder")
    filled(system, texts)
    ingest.wait_ready()
    responder.wait_ready()
    kafka.stop()
    with KafkaServer(tmp_path / "foreign", port=kafka.port, settings=QUICK_GROUPS) as foreign:
        system.create_topics()
        system.teach(numbered(500, 600))
        system.ask([Query(text="statement number 7", id="foreign")])
        for worker in (ingest, responder):
            unready(worker, SOON + SLOW + BUSY, "cluster")
        time.sleep(3)
        with KafkaAdminClient(bootstrap_servers=foreign.bootstrap) as admin:
            assert admin.list_groups() == []
        assert system.answers() == []
    assert held(system) == expected(texts)
    kafka.start()
    ingest.wait_ready()
    responder.wait_ready()
    system.teach(numbered(60, 70))
    filled(system, texts, numbered(60, 70))
    system.ask([Query(text="statement number 69", id="ours")])
    wait_for(lambda: [answer.id for answer in system.answers()] == ["ours"])
