"""Bad input, wrong set-ups, workers started by mistake: a dead letter or one clear line, and nothing lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import redis
from kafka import KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet_schemas import Query, TextEvent
from hurnet_stream.local import ValkeyServer
from hurnet_stream.local.loopback import free_ports
from tests.acceptance.system import Running, System, lines, metric, wait_for

POISON: list[tuple[bytes | None, str]] = [
    (b"turn on the light", "not-json"),
    (b'{"text": "\xff"}', "not-utf8"),
    (b'{"text": 1}', "invalid-message"),
    (b'{"text": ""}', "blank-text"),
    (b'{"text": " \\t\\n"}', "blank-text"),
    (b'{"text": "nul \\u0000"}', "invalid-message"),
    (b'{"text": "\\ud800"}', "not-json"),
    (b'{"v": 2, "text": "hi"}', "unknown-version"),
    (None, "tombstone"),
    (b'{"text": "hi", "context": "Caf\xc3\xa9 / \\n"}', "invalid-message"),
    (b'{"text": "' + b"a" * 5_000_000 + b'"}', "too-long"),
]


def allow_large_records(system: System) -> None:
    topic = system.settings.kafka.texts
    with KafkaAdminClient(bootstrap_servers=system.variables["HURNET_KAFKA_BOOTSTRAP"]) as admin:
        admin.alter_configs([ConfigResource("topic", topic, configs={"max.message.bytes": "8000000"})])


def send_raw(system: System, values: list[bytes | None]) -> None:
    bootstrap = system.variables["HURNET_KAFKA_BOOTSTRAP"]
    producer = KafkaProducer(bootstrap_servers=bootstrap, max_request_size=8_000_000)
    for number, value in enumerate(values):
        headers = [("forget", b"nothing")] if value is None else []  # without, a tombstone would delete
        topic = system.settings.kafka.texts
        producer.send(topic, key=b"%d" % number, value=value, partition=0, headers=headers).get(30)
    producer.close()


def test_poison_becomes_dead_letters_and_good_texts_go_on(system: System) -> None:
    allow_large_records(system)
    worker = system.start("ingest").wait_ready()
    good = TextEvent(text="a good one").encode()
    send_raw(system, [value for poison, _ in POISON for value in (poison, good)])
    wait_for(lambda: len(system.texts_in_store()) == len(POISON), what="all good texts in")
    letters = sorted(system.dead_letters(), key=lambda letter: letter.offset)
    assert [(letter.offset, letter.reason) for letter in letters] == [
        (2 * i, reason) for i, (_, reason) in enumerate(POISON)
    ]
    assert letters[-1].size > 5_000_000
    counted = 'hurnet_dead_letters_total{reason="tombstone"} 1.0'
    wait_for(lambda: counted in worker.get("/metrics")[1], what="it is counted, which follows the append")
    assert worker.terminate() == 0


def test_a_producer_that_sends_nothing_but_rubbish_is_an_alarm(system: System) -> None:
    system.teach([b"rubbish"] * 1_200)
    worker = system.start("ingest", HURNET_INGEST_DEAD_LETTERS_IN_A_ROW="100")
    wait_for(lambda: "dead letters in a row" in worker.get("/readyz")[1], what="an alarm")
    assert worker.get("/readyz")[0] == 503
    wait_for(lambda: len(system.dead_letters()) == 1_200, what="all put aside")
    system.teach([TextEvent(text="good")] * 3)
    worker.wait_ready()
    assert len([line for line in lines(worker.said()) if "must be broken" in line["event"]]) == 1
    assert worker.terminate() == 0


def test_rubbish_ends_a_worker_that_is_told_to_stop_at_it(system: System) -> None:
    system.teach([b"rubbish"] * 300)
    stop = {"HURNET_INGEST_DEAD_LETTERS_IN_A_ROW": "100", "HURNET_INGEST_DEAD_LETTERS_STOP": "true"}
    worker = system.start("ingest", **stop)
    assert worker.wait_end() == 1
    assert "dead letters in a row" in worker.said()


def said_at_the_end(worker: Running) -> str:
    return str(lines(worker.said())[-1]["event"])


def test_a_broker_that_is_not_there(system: System) -> None:
    nowhere = {"HURNET_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_ports(1)[0]}", "HURNET_LIFECYCLE_GIVE_UP": "1"}
    worker = system.start("ingest", **nowhere)
    assert worker.wait_end() == 1
    assert "no Kafka broker at 127.0.0.1" in said_at_the_end(worker)
    command = system.run("topics", **nowhere)
    assert command.returncode == 2
    assert "no Kafka broker at" in command.stderr
    assert "Traceback" not in command.stderr


def test_a_store_that_is_not_there(system: System) -> None:
    nowhere = {"HURNET_REDIS_URL": f"redis://127.0.0.1:{free_ports(1)[0]}/0", "HURNET_LIFECYCLE_GIVE_UP": "1"}
    worker = system.start("solver", **nowhere)
    assert worker.wait_end() == 1
    assert "can't be reached" in said_at_the_end(worker)


def test_a_store_that_needs_a_password(system: System) -> None:
    with ValkeyServer(password="a secret") as guarded:
        url = f"redis://127.0.0.1:{guarded.port}/0"
        worker = system.start("ingest", HURNET_REDIS_URL=url)
        assert worker.wait_end() == 2
        assert "HURNET_REDIS_PASSWORD" in said_at_the_end(worker)
        allowed = system.start("ingest", HURNET_REDIS_URL=url, HURNET_REDIS_PASSWORD="a secret").wait_ready()
        assert allowed.terminate() == 0
        assert "a secret" not in allowed.said()


@pytest.mark.parametrize(
    ("spoil", "mend", "said"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "is full"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "is a replica"),
    ],
    ids=["full", "read-only"],
)
def test_a_store_that_takes_no_writes_is_waited_for(
    kafka_bootstrap: str,
    unique: str,
    tmp_path: Path,
    spoil: tuple[str, ...],
    mend: tuple[str, ...],
    said: str,
) -> None:
    with (
        ValkeyServer(settings={"maxmemory-policy": "noeviction"}) as server,
        redis.Redis.from_url(server.url) as client,
        System(kafka_bootstrap, server.url, unique, tmp_path) as system,
    ):
        system.create_topics()
        worker = system.start("ingest").wait_ready()
        client.execute_command(*spoil)
        sent = [TextEvent(text=f"text {i}") for i in range(100)]
        system.teach(sent)
        wait_for(lambda: said in worker.said(), what=said)
        # Between two appends that are refused a turn may pass that had nothing to append.
        wait_for(lambda: worker.get("/readyz")[0] == 503, what="it is not ready")
        assert worker.get("/livez")[0] == 200
        client.execute_command(*mend)
        wait_for(lambda: len(system.texts_in_store()) == len(sent), what="all texts in")
        assert Counter(system.texts_in_store()) == Counter(event.text for event in sent)
        assert worker.terminate() == 0


@pytest.mark.parametrize("name", ["ingest", "responder"])
def test_topics_that_are_missing(
    kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path, name: str
) -> None:
    with System(kafka_bootstrap, valkey_url, unique, tmp_path) as system:
        worker = system.start(name)
        assert worker.wait_end() == 2
        assert f"{unique}-" in said_at_the_end(worker)
        assert "hurnet topics --create" in said_at_the_end(worker)
        assert system.run("topics").returncode == 1
        assert system.run("topics", "--create").returncode == 0
        assert system.run("topics").returncode == 0


def test_another_embedder_is_refused(system: System) -> None:
    assert system.start("ingest").wait_ready().terminate() == 0
    for name in ("ingest", "responder"):
        other = system.start(name, HURNET_EMBEDDER_NAME="hash64")
        assert other.wait_end() == 1
        assert "was made by" in said_at_the_end(other)


def test_an_unknown_setting_and_a_wrong_one(system: System) -> None:
    for wrong in ({"HURNET_TYPO": "1"}, {"HURNET_INGEST_BATCH": "many"}, {"HURNET_EMBEDDER_NAME": "no-such"}):
        worker = system.run("ingest", **wrong)
        assert worker.returncode == 2
        assert "Traceback" not in worker.stderr


def test_a_second_solver_stands_by_until_the_first_is_killed(system: System) -> None:
    system.teach([TextEvent(text=f"text {i}", answer=f"answer {i % 3}") for i in range(60)])
    ingest = system.start("ingest").wait_ready()
    first = system.start("solver").wait_ready()
    second = system.start("solver")
    wait_for(lambda: "standing by" in second.get("/readyz")[1], what="the second stands by")
    wait_for(lambda: len(system.texts_in_store()) == 60, what="all texts in")
    first.kill()
    # Standing by is ready, too.
    wait_for(lambda: metric(second.get("/metrics")[1], "hurnet_context_rows") == 60, what="all folded by it")
    assert "leading" in second.get("/readyz")[1]
    assert second.terminate() == 0
    assert ingest.terminate() == 0
    assert system.checkpoint().statistics["default"].digest() == system.clean_statistics().digest()


def test_of_two_responders_of_one_name_one_ends_and_each_query_is_answered_once(system: System) -> None:
    system.teach([TextEvent(text=f"text {i}", answer=f"answer {i % 3}") for i in range(60)])
    ingest = system.start("ingest").wait_ready()
    wait_for(lambda: len(system.texts_in_store()) == 60, what="all texts in")
    workers = [system.start("responder").wait_ready() for _ in range(2)]
    asked = [Query(text=f"text {i}", id=f"q{i}") for i in range(300)]
    for first in range(0, len(asked), 10):
        system.ask(asked[first : first + 10])
    wait_for(lambda: len(system.answers()) >= len(asked), what="all queries answered")
    assert Counter(answer.id for answer in system.answers()) == Counter(query.id for query in asked)
    ended = wait_for(lambda: [w for w in workers if w.process.poll() is not None], what="one has ended")
    assert [worker.process.returncode for worker in ended] == [1]
    assert "HURNET_RESPONDER_INSTANCE" in said_at_the_end(ended[0])
    assert ingest.terminate() == 0
