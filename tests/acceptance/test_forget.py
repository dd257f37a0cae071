"""Entries deleted while everything runs and is killed: gone from answers, context and statistics alike."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

from hurnet_schemas import Query, TextEvent
from hurnet_stream.adapters.redis import RedisWeightsStore, connect
from hurnet_stream.ports import DeletionAudit, Outgoing
from tests.acceptance.system import PARTITIONS, Running, System, system_is_busy, wait_for
from tests.acceptance.test_identity import states

PEOPLE = 5


def events(first: int, count: int) -> list[TextEvent]:
    return [
        TextEvent(text=f"question number {i}", answer=f"answer {i % 7}", metadata={"who": f"p{i % PEOPLE}"})
        for i in range(first, first + count)
    ]


def teach(system: System, sent: list[TextEvent]) -> None:
    """Under the key of who said it, which puts all of a person's in one partition, one beside the other."""
    system.variables["HURNET_INGEST_KEYS"] = "append"
    with system.sink() as sink:
        sink.send(
            [
                Outgoing(
                    system.settings.kafka.texts,
                    event.encode(),
                    key=event.metadata["who"].encode(),
                    partition=int(event.metadata["who"][1:]) % PARTITIONS,
                )
                for event in sent
            ]
        )


def delete(system: System, who: str) -> None:
    tombstone = Outgoing(system.settings.kafka.texts, None, who.encode(), partition=int(who[1:]) % PARTITIONS)
    with system.sink() as sink:
        sink.send([tombstone])


def audit(system: System) -> list[DeletionAudit]:
    connection = connect(system.patient_redis)
    try:
        return list(RedisWeightsStore(connection).audit())
    finally:
        connection.client.close()


def nothing_of(worker: Running, context: str) -> bool:
    """Whether no figure of rows or weights is of this context."""
    found = [line for line in worker.get("/metrics")[1].splitlines() if f'context="{context}"' in line]
    return not [line for line in found if not line.startswith("hurnet_unlearned")]


def assert_unlearned(system: System, sent: list[TextEvent], *gone: str) -> None:
    """As if what these people said had never been."""
    kept = sorted(event.text for event in sent if event.metadata["who"] not in gone)
    wait_for(lambda: sorted(system.texts_in_store()) == kept, what="what was deleted is erased")
    assert system.checkpoint().statistics["default"].digest() == system.clean_statistics().digest()
    assert system.checkpoint().statistics["default"].count == len(kept)


@pytest.mark.parametrize(
    ("worker", "point"),
    [
        ("ingest", "before-delete"),
        ("ingest", "after-delete"),
        ("solver", "before-checkpoint"),
        ("solver", "in-checkpoint"),
        ("solver", "after-checkpoint"),
        ("solver", "before-erase"),
        ("solver", "in-erase"),
    ],
)
def test_killed_around_a_deletion_under_load(system: System, worker: str, point: str) -> None:
    sent = events(0, 300)
    teach(system, sent)
    other = "solver" if worker == "ingest" else "ingest"
    steady = system.start(other).wait_ready() if other == "ingest" else system.start(other)
    first = system.start(worker)
    wait_for(lambda: len(system.texts_in_store()) == 300, what="all texts in")
    first.kill()
    delete(system, "p1")
    doomed = system.start_doomed(worker, point, 1)
    sent += events(300, 300)
    teach(system, sent[300:])
    doomed.wait_end()
    delete(system, "p3")
    survivor = system.start(worker)
    wait_for(lambda: len(audit(system)) == 2, what="both deletions are done")
    wait_for(lambda: system.rows_folded() == 600, what="all folded")
    # p1's later texts came after its deletion.
    kept = [e for e in sent[:300] if e.metadata["who"] not in ("p1", "p3")]
    kept += [e for e in sent[300:] if e.metadata["who"] != "p3"]
    assert_unlearned(system, kept)
    assert sorted((u.pairs, len(u.deletion.targets)) for u in audit(system)) == [(60, 60), (120, 120)]
    assert survivor.terminate() == 0
    assert steady.terminate() == 0


@pytest.mark.parametrize(("worker", "point"), [("ingest", "after-delete"), ("solver", "before-checkpoint")])
def test_killed_between_the_parts_of_a_deletion_of_very_many(system: System, worker: str, point: str) -> None:
    """2,400 entries are deleted in three parts; whoever comes after a kill goes on, or begins anew."""
    sent = [
        event.model_copy(update={"metadata": {"who": f"p{1 + (i % 20 == 0)}"}})
        for i, event in enumerate(events(0, 2_526))
    ]
    teach(system, sent)
    other = system.start("solver" if worker == "ingest" else "ingest")
    first = system.start(worker)
    wait_for(lambda: len(system.texts_in_store()) == len(sent), what="all texts in")
    wait_for(lambda: system.rows_folded() == len(sent), what="all folded")
    first.kill()
    delete(system, "p1")
    system.start_doomed(worker, point, 1).wait_end()
    survivor = system.start(worker)
    responder = system.start("responder").wait_ready()
    wait_for(lambda: len(audit(system)) == 1, what="the deletion is done")
    assert_unlearned(system, sent, "p1")
    (done,) = audit(system)
    assert (done.deletion.parts, done.entries, done.pairs) == (2, 2_399, 2_399)
    assert system.run("verify").returncode == 0
    assert [running.terminate() for running in (other, survivor, responder)] == [0, 0, 0]


def test_within_a_second_a_responder_no_longer_answers_with_it(system: System) -> None:
    teach(system, [*events(0, 100), TextEvent(text="my cat is Tom", answer="Tom", metadata={"who": "p4"})])
    for name in ("ingest", "solver"):
        system.start(name)
    responder = system.start("responder", HURNET_RESPONDER_WAIT="60").wait_ready()  # a busy machine
    wait_for(lambda: len(system.texts_in_store()) == 101, what="all texts in")
    seen = {partition: state.watermark for partition, state in states(system).items()}
    query = Query(text="my cat is Tom", top_k=5, min_watermarks=seen)

    def asked(number: int) -> list[str]:
        system.ask([query.model_copy(update={"id": f"q{number}"})])
        wait_for(lambda: len(system.answers()) == number, what="an answer")
        (answer,) = [answer for answer in system.answers() if answer.id == f"q{number}"]
        return [candidate.answer for candidate in answer.candidates]

    assert asked(1)[0] == "Tom"
    delete(system, "p4")
    time.sleep(1.0)
    first_without = next(number for number in range(2, 30) if "Tom" not in asked(number))
    assert first_without == 2 or system_is_busy(), "it was answered with after a second"
    assert responder.terminate() == 0


def test_the_command_deletes_by_key_and_by_coordinates_again_and_again(system: System) -> None:
    sent = events(0, 60)
    teach(system, sent)
    workers = [system.start(name).wait_ready() for name in ("ingest", "solver")]
    wait_for(lambda: len(system.texts_in_store()) == 60, what="all texts in")
    nothing = system.run("forget")
    assert nothing.returncode == 2
    assert "--entry" in nothing.stderr
    unknown = system.run("forget", "--entry", "0/100000")
    assert unknown.returncode == 2
    assert "has no record 0/100000" in unknown.stderr
    done = [system.run("forget", "--key", "p2", "--entry", "0/1", "--wait", "100") for _ in range(2)]
    assert [d.returncode for d in done] == [0, 0], done[-1].stderr
    assert ["13 entries deleted" in d.stdout for d in done] == [True, False]
    assert all("backups" in d.stdout for d in done)
    assert all("No date can be given" in d.stdout for d in done)  # texts are kept for ever
    assert "entry 0/1: nothing to delete, it was deleted before" in done[1].stdout
    assert "key 'p2': nothing to delete, it was deleted before" in done[1].stdout
    absent = system.run("forget", "--key", "nobody", "--wait", "100")
    assert (absent.returncode, "done" in absent.stdout) == (3, False)
    assert "key 'nobody': nothing was deleted" in absent.stderr
    elsewhere = system.run("forget", "--key", "p3", "--context", "other", "--json", "--wait", "100")
    said = json.loads(elsewhere.stdout)
    assert (elsewhere.returncode, said["deleted"], said["missing"]) == (3, 0, ["key 'p3'"])
    status = json.loads(system.run("status", "--json").stdout)
    assert (sum(s["rows"] for s in status["shards"]), sum(s["rows_ever"] for s in status["shards"])) == (
        47,
        60,
    )
    log = [json.loads(line) for line in system.run("forget", "--log").stdout.splitlines()]
    assert sum(line["pairs"] for line in log) == 13
    assert sum(len(line["entries"]) for line in log) == 14  # 0/1 was deleted before, and is named again
    assert len(log) == 2 * (PARTITIONS + 1) + 2 * PARTITIONS
    changed = [digests for line in log for digests in line["digests"].values()]
    assert all(digests["before"] != digests["after"] for digests in changed)
    wait_for(lambda: len(system.texts_in_store()) == 47, what="erased")
    assert system.checkpoint().statistics["default"].digest() == system.clean_statistics().digest()
    assert system.dead_letters() == []
    assert [worker.terminate() for worker in workers] == [0, 0]
    late = system.run("forget", "--entry", "0/2", "--wait", "0")
    assert late.returncode == 1
    assert "not done yet" in late.stderr


def test_a_context_is_listed_and_dropped_while_all_workers_run_and_one_is_killed(system: System) -> None:
    typos = [TextEvent(text=f"typo number {i}", answer=f"t{i % 3}", context="typo") for i in range(60)]
    sent = [
        *events(0, 60),
        *(t.model_copy(update={"metadata": {"who": f"p{i % PEOPLE}"}}) for i, t in enumerate(typos)),
    ]
    teach(system, sent)
    workers = [system.start(name).wait_ready() for name in ("ingest", "solver", "responder")]
    wait_for(lambda: len(system.texts_in_store()) == 120, what="all texts in")
    listed = json.loads(system.run("contexts", "--json").stdout)["contexts"]
    assert [(c["context"], c["rows"]) for c in listed] == [("default", 60), ("typo", 60)]
    workers[1].kill()
    absent = system.run("contexts", "--drop", "nothing")
    assert (absent.returncode, "there is no context" in absent.stderr) == (3, True)
    late = system.run("contexts", "--drop", "typo", "--wait", "0")
    assert late.returncode == 1, late.stdout
    workers[1] = system.start("solver").wait_ready()
    wait_for(lambda: len(audit(system)) == PARTITIONS, what="dropped")
    wait_for(lambda: len(system.texts_in_store()) == 60, what="erased")
    wait_for(lambda: "typo" not in system.run("contexts").stdout, what="its name is given back")
    verified = system.run("verify")
    assert verified.returncode == 0, verified.stdout
    assert sorted(system.checkpoint().statistics) == ["default"]
    for worker in workers[1:]:
        wait_for(partial(nothing_of, worker, "typo"), what="its series are gone")
    again = TextEvent(text="typo again", context="typo", metadata={"who": "p1"})
    teach(system, [again])
    wait_for(lambda: "typo again" in system.texts_in_store(), what="the name is used again")
    assert system.run("verify").returncode == 0
    assert [worker.terminate() for worker in workers] == [0, 0, 0]
