"""A store backed up under load, lost, and restored: all is there again but what was deleted since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient

from hurnet_schemas import Query
from hurnet_stream.local import ValkeyServer
from tests.acceptance.system import PARTITIONS, System, wait_for
from tests.acceptance.test_forget import audit, delete, events, teach
from tests.background import again_and_again

WORKERS = ("ingest", "solver", "responder")


@contextmanager
def load(system: System, first: int) -> Iterator[list[int]]:
    """Texts of nobody in particular, all the time; gives the numbers that were sent."""
    sent: list[int] = []

    def send() -> None:
        teach(system, events(first + len(sent), 5))
        sent.extend(range(5))

    with again_and_again(send, 0.05):
        yield sent


def lost_and_restored(system: System, file: Path, *options: str) -> str:
    """Under another prefix, which the system uses from now on. Returns what the command said."""
    for worker in system.running:
        if worker.process.poll() is None:
            worker.kill()
    system.variables["HURNET_REDIS_PREFIX"] += "-again"
    done = system.run("restore", str(file), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers_to(system: System, texts: list[str]) -> list[str]:
    """The texts of all candidates of answers to these questions."""
    known = {answer.id for answer in system.answers()}
    queries = [Query(id=f"q{len(known) + i}", text=text, top_k=5) for i, text in enumerate(texts)]
    system.ask(queries)
    wanted = {query.id for query in queries}
    wait_for(lambda: wanted <= {answer.id for answer in system.answers()}, what="answers")
    answers = [answer for answer in system.answers() if answer.id in wanted]
    return [candidate.text for answer in answers for candidate in answer.candidates]


def test_backed_up_under_load_then_deleted_then_restored(system: System, tmp_path: Path) -> None:
    teach(system, events(0, 300))
    for name in WORKERS:
        system.start(name)
    wait_for(lambda: len(system.texts_in_store()) == 300, what="all texts in")
    file = tmp_path / "store.hurnet"
    with load(system, 300) as sent:
        done = system.run("backup", str(file), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["bytes"] == file.stat().st_size
    delete(system, "p1")
    wait_for(lambda: len(audit(system)) == 1, what="deleted")
    kept = sorted(e.text for e in events(0, 300 + len(sent)) if e.metadata["who"] != "p1")
    wait_for(lambda: sorted(system.texts_in_store()) == kept, what="erased")
    checked = system.run("restore", "--check", str(file))
    assert (checked.returncode, "could be restored" in checked.stdout) == (0, True), checked.stderr
    assert "1 deletions came since" in lost_and_restored(system, file)
    # Nobody has read the deletion yet but the restore itself: there is no ingest.
    system.start("responder").wait_ready()
    questions = [f"question number {number}" for number in range(0, 300, 7)]
    gone = {event.text for event in events(0, 1_000) if event.metadata["who"] == "p1"}
    assert not gone & {*answers_to(system, questions), *system.texts_in_store()}
    for name in ("ingest", "solver"):
        system.start(name)
    wait_for(lambda: sorted(system.texts_in_store()) == kept, what="what came since is in")
    wait_for(lambda: system.run("verify").returncode == 0, what="verified")
    assert not gone & {*answers_to(system, questions)}


def test_what_kafka_no_longer_tells_must_be_told_by_somebody(system: System, tmp_path: Path) -> None:
    teach(system, events(0, 100))
    workers = [system.start(name) for name in ("ingest", "solver")]
    wait_for(lambda: len(system.texts_in_store()) == 100, what="all texts in")
    file, log = tmp_path / "store.hurnet", tmp_path / "forgotten.jsonl"
    assert system.run("backup", str(file)).returncode == 0
    assert system.run("backup", str(file)).returncode == 2, "it is there already"
    for who in ("p1", "p2"):
        delete(system, who)
    teach(system, events(100, 20))
    wait_for(lambda: len(audit(system)) == 2, what="deleted")
    log.write_text(system.run("forget", "--log").stdout, "utf-8")
    newer = tmp_path / "newer.hurnet"
    assert system.run("backup", str(newer)).returncode == 0
    assert [worker.terminate() for worker in workers] == [0, 0]
    topic = system.settings.kafka.texts
    with KafkaAdminClient(bootstrap_servers=system.variables["HURNET_KAFKA_BOOTSTRAP"]) as admin:
        for policy in ("compact,delete", "delete"):
            configs = {"cleanup.policy": policy, "delete.retention.ms": "1"}
            admin.alter_configs([ConfigResource("topic", topic, configs=configs)])
            checked = system.run("restore", "--check", str(file))
            assert (checked.returncode, "compacted" in checked.stderr) == (
                (2, True) if "compact" in policy else (0, False)
            )
        admin.delete_records({TopicPartition(topic, p): -1 for p in range(PARTITIONS)})
    system.variables["HURNET_REDIS_PREFIX"] += "-again"
    for arguments in (["--check"], []):
        refused = system.run("restore", *arguments, str(file))
        assert refused.returncode == 2
        assert "Kafka no longer holds" in refused.stderr
        assert "--deletions" in refused.stderr
        assert system.batches() == []
    texts = [event.text for event in events(0, 100) if event.metadata["who"] not in ("p1", "p2")]
    for list_ in (log, newer):
        system.variables["HURNET_REDIS_PREFIX"] += "-again"
        assert system.run("restore", str(file), "--deletions", str(list_)).returncode == 0
        assert sorted(system.texts_in_store()) == sorted(texts)
    system.variables["HURNET_REDIS_PREFIX"] += "-all"
    assert system.run("restore", str(file), "--accept-lost-deletions").returncode == 0
    assert len(system.texts_in_store()) == 100


@pytest.mark.parametrize("way", ["replicaof", "backup"])
def test_a_store_moves_to_another_redis_under_load(
    way: str, kafka_bootstrap: str, unique: str, tmp_path: Path
) -> None:
    """The runbook of docs/life-cycle.md: ids in are ids out."""
    with (
        ValkeyServer() as old,
        ValkeyServer() as new,
        System(kafka_bootstrap, old.url, unique, tmp_path) as system,
    ):
        system.create_topics()
        teach(system, events(0, 300))
        workers = {name: system.start(name).wait_ready() for name in WORKERS}
        with load(system, 300) as sent:
            wait_for(lambda: len(system.texts_in_store()) > 330, what="texts come in")
            if way == "replicaof":
                move_by_replica(system, old, new, [workers["ingest"].terminate, workers["solver"].terminate])
            else:
                move_by_backup(system, new, [workers["ingest"].terminate, workers["solver"].terminate])
            system.variables["HURNET_REDIS_URL"] = new.url
            workers["responder"].terminate()
            moved = [system.start(name).wait_ready() for name in WORKERS]
        wanted = sorted(event.text for event in events(0, 300 + len(sent)))
        wait_for(lambda: sorted(system.texts_in_store()) == wanted, what="each text is in once")
        wait_for(lambda: system.run("verify").returncode == 0, what="verified")
        assert answers_to(system, ["question number 7"])
        assert [worker.terminate() for worker in moved] == [0, 0, 0]


def move_by_replica(system: System, old: ValkeyServer, new: ValkeyServer, stops: list) -> None:  # type: ignore[type-arg]
    from tests.stand_ins import admin, is_synced

    with admin(new) as client:
        client.replicaof("127.0.0.1", str(old.port))
    wait_for(lambda: is_synced(new), what="the replica has what the primary has")
    assert [stop() for stop in stops] == [0, 0]
    with admin(old) as client, admin(new) as replica:

        def caught_up() -> bool:
            done = client.info("replication")["master_repl_offset"]
            return bool(replica.info("replication")["slave_repl_offset"] >= done)

        wait_for(caught_up, what="the replica has the last write")
        replica.replicaof("NO", "ONE")


def move_by_backup(system: System, new: ValkeyServer, stops: list) -> None:  # type: ignore[type-arg]
    file = system.folder / "move.hurnet"
    assert [stop() for stop in stops] == [0, 0]
    assert system.run("backup", str(file)).returncode == 0
    done = system.run("restore", str(file), HURNET_REDIS_URL=new.url)
    assert done.returncode == 0, done.stderr
