"""Old and new programs beside each other under load, upgraded one by one, and back again.

The order of docs/life-cycle.md, each step with texts and queries on the way: each text is in once, each query
is answered once, and statistics are those of a clean run.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hurnet_schemas import Query, TextEvent
from tests.acceptance.system import Running, System, wait_for
from tests.background import again_and_again
from tests.faults.old_program import exported


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment that starts the old program."""
    return {"PYTHONPATH": exported(tmp_path_factory.mktemp("old"))}


@contextmanager
def load(system: System) -> Iterator[None]:
    """Texts and queries, until the end of the block."""
    firsts = itertools.count(0, 6)

    def send() -> None:
        first = next(firsts)
        numbers = range(first, first + 6)
        system.teach([TextEvent(text=f"statement number {i}", answer=f"answer {i % 5}") for i in numbers])
        system.ask([Query(text=f"statement number {i}", id=f"q{i}") for i in numbers[:3]])

    with again_and_again(send, 0.1):
        yield


def check_books(system: System) -> None:
    texts = Counter(
        TextEvent.decode(record.value).text for record in system.read(system.settings.kafka.texts)
    )
    wait_for(lambda: Counter(system.texts_in_store()) == texts, what="all texts in the store, once each")
    ids = (Query.decode(record.value).id or "" for record in system.read(system.settings.kafka.queries))
    asked = Counter(name for name in ids if name.startswith("q"))  # not those of `hurnet ask`
    wait_for(lambda: answered(system).total() >= asked.total(), what="all queries answered")
    assert answered(system) == asked
    rows = texts.total()
    wait_for(lambda: sum(s.rows for s in system.checkpoint().shards.values()) == rows, what="all rows folded")
    assert system.checkpoint().statistics["default"].digest() == system.clean_statistics().digest()
    assert system.dead_letters() == []


def answered(system: System) -> Counter[str]:
    return Counter(answer.id for answer in system.answers() if answer.id.startswith("q"))


def replaced(before: Running, system: System, environment: dict[str, str]) -> Running:
    """The successor starts first and stands by, or shares the partitions; then the old one is stopped."""
    name = before.name
    instance = {"HURNET_RESPONDER_INSTANCE": f"{system.settings.redis.prefix}-{len(system.running)}"}
    after = system.start(name, **environment, **(instance if name == "responder" else {}))
    if name == "responder":
        after.wait_ready()
    assert before.terminate() == 0, before.said()[-2_000:]
    wait_for(lambda: after.process.poll() is None and after.get("/livez")[0] == 200, what=f"{name} lives")
    return after


def progressed(system: System, what: str) -> None:
    """Texts and queries get through this combination of programs."""
    rows, answered = len(system.texts_in_store()), len(system.answers())
    wait_for(lambda: len(system.texts_in_store()) > rows + 20, what=f"texts go on: {what}")
    wait_for(lambda: len(system.answers()) > answered + 10, what=f"answers go on: {what}")


@pytest.mark.timeout(600)
def test_a_rolling_upgrade_and_a_rollback_under_load(system: System, old: dict[str, str]) -> None:
    new: dict[str, str] = {}
    workers = {name: system.start(name, **old) for name in ("ingest", "solver", "responder")}
    workers["responder"].wait_ready()
    assert "hurnet_build_info" not in workers["responder"].get("/metrics")[1], "this is not the old program"
    with load(system):
        progressed(system, "all old")
        for direction, environment in (("upgrade", new), ("rollback", old)):
            for name in ("responder", "solver", "ingest"):
                workers[name] = replaced(workers[name], system, environment)
                progressed(system, f"{direction}, {name} is the other program")
            for client in (new, old):
                asked = system.run("ask", "statement number 1", "--timeout", "60", **client)
                assert asked.returncode == 0, asked.stderr
        for name in ("ingest", "solver", "responder"):
            workers[name] = replaced(workers[name], system, new)
        progressed(system, "all new again")
    check_books(system)
    for client in (old, new):
        verified = system.run("verify", **client)
        assert verified.returncode == 0, verified.stdout + verified.stderr
    refused = system.run("compact")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert system.run("compact", "--yes", "--wait", "200").returncode == 0
    check_books(system)
    behind = system.start("responder", **old, HURNET_RESPONDER_INSTANCE="behind")
    assert behind.wait_end() != 0
    assert "upgrade" in behind.said()
    assert "delete" not in behind.said().lower()
    assert [worker.terminate() for worker in workers.values()] == [0, 0, 0]
