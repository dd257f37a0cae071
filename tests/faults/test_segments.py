"""Old rows leave Redis for files while all runs, the solver is killed at every step, and files go away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.ipc
import pytest

from hurnet_schemas import Query, TextEvent
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from tests.acceptance.system import PARTITIONS, System, wait_for
from tests.acceptance.test_forget import assert_unlearned, audit, delete, events, teach
from tests.faults.test_backup import answers_to, lost_and_restored
from tests.faults.test_upsert import learned
from tests.s3 import s3

ROWS = 30
KEPT = 20
STEPS = [("before-a-file", 2), ("after-a-file", 2), ("after-sealing", 1)]


def sealing(system: System, url: str) -> System:
    """Small segments, of old deletions too."""
    system.variables |= {
        "HURNET_SEGMENTS_URL": url,
        "HURNET_SEGMENTS_ROWS": str(ROWS),
        "HURNET_SEGMENTS_KEEP_ROWS": str(KEPT),
        "HURNET_INGEST_BATCH": "10",
        "HURNET_INGEST_KEYS": "append",
        "HURNET_SOLVE_KEEP_DELETIONS": "0",
    }
    return system


def sealed(system: System) -> int:
    """Rows that lie in files."""
    store = RedisEntryStore(connect(system.settings.redis))
    try:
        return sum(store.sealed().values())
    finally:
        store.close()


def in_redis(system: System, rows: int) -> int:
    return rows - sealed(system)


def wait_sealed(system: System, rows: int) -> None:
    """Until at most what is to stay, and less than a segment more, is left in Redis of so many rows."""
    most = PARTITIONS * (KEPT + ROWS + 10)
    wait_for(lambda: in_redis(system, rows) <= most, what="old rows are sealed")


def tables(folder: Path) -> Iterator[Any]:
    """All files, as any program that reads Arrow sees them."""
    for path in folder.rglob("*.arrow"):
        with suppress(FileNotFoundError):  # the solver removes what it has written anew
            yield pyarrow.ipc.open_file(str(path)).read_all()


def positions(folder: Path) -> set[tuple[int, int]]:
    """Where the rows of all files stand."""
    return {(row["shard"], row["position"]) for table in tables(folder) for row in table.to_pylist()}


def test_killed_at_every_step_of_sealing_under_load(system: System, tmp_path: Path) -> None:
    folder = tmp_path / "segments"
    sealing(system, str(folder))
    ingest, responder = system.start("ingest"), system.start("responder")
    sent: list[TextEvent] = []
    for point, nth in STEPS:
        doomed = system.start_doomed("solver", point, nth)
        sent += events(len(sent), 300)
        teach(system, sent[-300:])
        doomed.wait_end()
    solver = system.start("solver")
    wait_for(lambda: len(system.texts_in_store()) == len(sent), what="all texts in")
    wait_sealed(system, len(sent))
    assert sorted(system.texts_in_store()) == sorted(event.text for event in sent)
    # A file that a killed solver has left is no row twice.
    wait_for(lambda: len(positions(folder)) == sealed(system), what="each sealed row is in a file, once")
    for who in ("p1", "p3"):
        delete(system, who)
    wait_for(lambda: len(audit(system)) == 2, what="both deletions are done")
    wait_for(lambda: learned(system) == system.clean_statistics().digest(), what="what is left is learned")
    assert_unlearned(system, sent, "p1", "p3")
    late = system.start("responder", HURNET_RESPONDER_INSTANCE="late").wait_ready()
    responder.terminate()
    kept = [event for event in sent if event.metadata["who"] not in ("p1", "p3")]
    asked = [event.text for event in kept[::60]]
    assert set(asked) <= set(answers_to(system, asked))
    proof = system.run("verify")
    assert proof.returncode == 0, proof.stdout + proof.stderr
    exported = tmp_path / "exported.jsonl"
    assert system.run("export", "--context", "default", str(exported)).returncode == 0
    assert len(exported.read_text().splitlines()) == len(kept)
    file = tmp_path / "store.hurnet"
    assert system.run("backup", str(file)).returncode == 0
    assert [worker.terminate() for worker in (late, solver, ingest)] == [0] * 3
    # Restored it needs none of the files, and is sealed anew, into files of its own.
    lost_and_restored(system, file)
    system.variables["HURNET_SEGMENTS_URL"] = str(tmp_path / "others")
    assert sorted(system.texts_in_store()) == sorted(event.text for event in kept)
    assert sealed(system) == 0
    system.start("solver")
    wait_sealed(system, len(sent))
    wait_for(lambda: learned(system) == system.clean_statistics().digest(), what="all is learned anew")
    assert_unlearned(system, sent, "p1", "p3")
    assert positions(tmp_path / "others")


def test_files_that_are_away_stop_sealing_and_nothing_else(system: System, tmp_path: Path) -> None:
    folder = tmp_path / "segments"
    folder.write_text("a file, and no folder")
    sealing(system, str(folder))
    sent = events(0, 300)
    teach(system, sent)
    workers = [system.start(name) for name in ("ingest", "solver", "responder")]
    wait_for(lambda: "can't reach the files" in workers[1].said(), what="the solver says so")
    wait_for(lambda: len(system.texts_in_store()) == len(sent), what="all texts in")
    wait_for(lambda: sent[0].text in answers_to(system, [sent[0].text]), what="it is answered")
    assert sealed(system) == 0
    folder.unlink()
    workers[1].kill()
    workers[1] = system.start("solver")
    wait_for(lambda: sealed(system) > 0, what="it is sealed once they are there")
    # One that is gone is said, with what to do; nobody answers without its rows.
    gone = sorted(folder.rglob("*.arrow"))[0]
    gone.rename(tmp_path / "gone")
    late = system.start("responder", HURNET_RESPONDER_INSTANCE="late")
    assert late.wait_end() != 0
    assert "bring the file back" in late.said()
    verified = system.run("verify", "--json")
    assert verified.returncode != 0
    assert "bring the file back" in verified.stdout
    (tmp_path / "gone").rename(gone)
    system.start("responder", HURNET_RESPONDER_INSTANCE="later").wait_ready()
    system.ask([Query(id="q", text=sent[5].text)])
    wait_for(lambda: [a for a in system.answers() if a.id == "q"], what="an answer")
    assert json.loads(system.run("status", "--json").stdout)


def test_sealed_into_an_object_store_that_goes_away(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    with s3() as (server, url):
        sealing(system, url)
        sent = events(0, 300)
        teach(system, sent)
        workers = [system.start(name) for name in ("ingest", "solver")]
        wait_for(lambda: len(system.texts_in_store()) == 300, what="all texts in")
        wait_sealed(system, 300)
        assert sorted(system.texts_in_store()) == sorted(event.text for event in sent)
        system.start("responder").wait_ready()
        server.stop()
        teach(system, events(300, 300))
        wait_for(lambda: "can't reach the files" in workers[1].said(), what="the solver says so")
        before = sealed(system)
        # Who has read the rows answers on, and what comes is learned.
        asked = events(450, 1)[0].text
        wait_for(lambda: asked in answers_to(system, [asked]), what="an answer from what came since")
        assert sealed(system) == before
    assert [worker.terminate() for worker in workers] == [0, 0]
