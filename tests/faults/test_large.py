"""Everything that grows beyond one machine, at once: a Redis Cluster, old rows in files, slices with folders.

What a question meets here, and what is done to it:

    texts ── ingest ── Redis Cluster of three ── slice 0 ─┐
                         │ seals                          ├── coordinator ── answers
              solver ── segments (files) ────── slice 1 ─┘                   equal to those of
                                                  killed, and back            one plain responder
                                                  from its folder
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hurnet_schemas import TextEvent
from tests.acceptance.system import PARTITIONS, Running, System, lines, wait_for
from tests.acceptance.test_forget import PEOPLE, assert_unlearned, audit, delete, teach
from tests.background import again_and_again
from tests.contract.three_nodes import three_nodes
from tests.faults.test_segments import sealed, sealing, tables, wait_sealed
from tests.faults.test_slices import ANSWERS, BY_SCORE, IN_TIME_S, SLICED, Sliced, text
from tests.faults.test_tiers import stands_in

ROWS = 450
GONE = "p1"
"""Whose entries are deleted: they are in partition 1, hence in slice 1."""
WHOLE = {"HURNET_SLICES_COUNT": "0", "HURNET_RESPONDER_FOLDER": ""}
"""A plain responder, with everything in memory."""


def events(first: int, count: int) -> list[TextEvent]:
    """Whose they are goes by their number: `who`."""
    return [
        TextEvent(text=text(n), answer=f"answer {n % ANSWERS}", metadata={"who": who(n)})
        for n in range(first, first + count)
    ]


def who(number: int) -> str:
    return f"p{number % PEOPLE}"


class Large(Sliced):
    """The whole system. `files` are sealed segments, and `folders` those of slices."""

    def __init__(self, system: System, files: Path, folders: Path) -> None:
        super().__init__(system)
        self.files, self.folders = files, folders
        self.taught: list[TextEvent] = []
        self._writing = threading.Lock()

    def teach(self, count: int) -> None:
        with self._writing:
            new = events(len(self.taught), count)
            teach(self.system, new)
            self.taught += new

    def delete(self, person: str) -> tuple[int, list[TextEvent]]:
        """What they said up to now. Returns how many entries there were, and those that stay."""
        with self._writing:
            delete(self.system, person)
            kept = [event for event in self.taught if event.metadata["who"] != person]
            return len(self.taught), kept

    def sealed_texts(self) -> set[str]:
        return {str(found) for table in tables(self.files) for found in table["text"].to_pylist()}

    def saved(self, number: int) -> Path:
        return self.folders / f"slice-{number}-of-2" / "generation-0" / "saved"

    def has_saved(self, wanted: str) -> bool:
        """Whether a text stands in the files of slices."""
        return stands_in((path for path in self.folders.rglob("*-[0-9]*") if path.is_file()), wanted)

    def answers_go_on(self) -> None:
        begun = len(self.answers())
        wait_for(lambda: len(self.answers()) > begun + 5, IN_TIME_S, "answers go on")


@pytest.fixture
def large(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Large]:
    files, folders = tmp_path / "segments", tmp_path / "folders"
    chosen = {
        "HURNET_RESPONDER_FOLDER": str(folders),  # of coordinators, too, which leave it alone
        "HURNET_RESPONDER_SAVE_INTERVAL": "1",
        **BY_SCORE,
        **SLICED,
    }
    name = f"t{secrets.token_hex(5)}"
    with three_nodes() as url, System(kafka_bootstrap, url, name, tmp_path, **chosen) as system:
        sealing(system.create_topics(), str(files))
        yield Large(system, files, folders)


def mapped(worker: Running) -> int:
    """How many rows it had before it read the store."""
    said = [line for line in lines(worker.said()) if line["event"] == "mapped what was saved"]
    return sum(sum(line["rows"].values()) for line in said)


@pytest.mark.timeout(600)  # it has as much to do as slices under load
def test_a_slice_is_killed_and_sealed_entries_are_deleted_under_load(large: Large) -> None:
    system = large.system
    # If the solver compacts while the slice is dead, what the slice has saved is of no use.
    ingest, solver = system.start("ingest"), system.start("solver", HURNET_SOLVE_KEEP_DELETIONS="3600")
    large.teach(ROWS)
    wait_for(lambda: len(system.texts_in_store()) == ROWS, IN_TIME_S, "all texts in")
    wait_sealed(system, ROWS)
    slices = [large.slice(number, 2) for number in range(2)]
    coordinator = large.coordinator("a")
    for worker in (ingest, solver, *slices, coordinator):
        worker.wait_ready(IN_TIME_S)
    gone = [n for n in range(ROWS) if who(n) == GONE]
    stays = itertools.cycle(n for n in range(ROWS) if who(n) != GONE)
    assert text(gone[0]) in large.sealed_texts()
    wait_for(lambda: large.saved(1).exists() and large.has_saved(text(gone[0])), IN_TIME_S, "saved")

    def load() -> None:
        large.ask(*(next(stays) for _ in range(PARTITIONS)))
        large.teach(PARTITIONS)

    with again_and_again(load, 0.2):
        large.answers_go_on()
        slices[1].kill()
        before, kept = large.delete(GONE)
        wait_for(lambda: len(audit(system)) == 1, IN_TIME_S, "deleted")
        slices[1] = large.slice(1, 2).wait_ready(IN_TIME_S)
        large.answers_go_on()
    assert mapped(slices[1]) > len(gone)
    assert not (large.folders / "generation-0").exists(), "a coordinator holds nothing"
    answers = large.wait_answered()
    right = {id_: f"answer {int(id_.partition(':')[2]) % ANSWERS}" for id_ in large.sent}
    assert [each for each in answers if each.answer != right[each.id]] == []
    assert system.dead_letters() == []

    deleted = {text(n) for n in gone}
    wait_for(lambda: not deleted & large.sealed_texts(), IN_TIME_S, "they left the sealed files")
    wait_for(lambda: not any(map(large.has_saved, deleted)), IN_TIME_S, "and those of slices")
    wait_for(lambda: system.rows_folded() == len(large.taught), IN_TIME_S, "all folded")
    assert_unlearned(system, kept + large.taught[before:])
    assert sealed(system) > ROWS // 2
    proof = system.run("verify")
    assert proof.returncode == 0, proof.stdout + proof.stderr

    assert solver.terminate() == 0  # weights of one version from now on
    alone = system.start("responder", **large.alone, **WHOLE).wait_ready(IN_TIME_S)
    large.assert_equal_answers([*gone[:5], *range(ROWS)[::15]], alone, coordinator)
    assert [each.terminate() for each in (alone, coordinator, *slices, ingest)] == [0] * 5
