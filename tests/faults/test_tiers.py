"""A responder with a folder on real servers: killed at every step of saving its index, its files damaged, it
answers what one without a folder does, and what was deleted leaves its files."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hurnet_schemas import Answer, Query, TextEvent
from tests.acceptance.system import Running, System, lines, wait_for

TIMED: Any = {"id": True, "receipt": {"query", "seconds"}}
"""What differs from one time to the next."""
ROWS = 17_500
"""More than a block has, so that there are files of all kinds."""
GONE = [f"secret number {i} of somebody" for i in range(0, 60, 7)]
FILLER = " that stands in the corner beside the window of the house" * 2
QUESTIONS = ["the lamp of room 17", GONE[0], "where is room 16999", "number 35 of somebody"]


@pytest.fixture(scope="module")
def filled(
    kafka_bootstrap: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("tiers")
    settings = {"HURNET_INGEST_BATCH": "500", "HURNET_RESPONDER_SAVE_INTERVAL": "1"}
    with System(kafka_bootstrap, valkey_url, f"t{secrets.token_hex(5)}", folder, **settings) as system:
        system.create_topics()
        texts = [f"secret number {i} of somebody" for i in range(60)]
        texts += [f"the lamp of room {i}{FILLER}" for i in range(ROWS - len(texts))]
        system.teach(
            [TextEvent(text=text) for text in texts]
        )  # no pairs: no mix is learned while it is tested
        ingest = system.start("ingest")
        wait_for(lambda: sum(batch.rows for batch in system.batches()) == ROWS, what="all texts in the store")
        ingest.wait_ready()
        system.start("solver")
        yield system


def started(system: System, **settings: str) -> Running:
    return system.start("responder", HURNET_RESPONDER_FOLDER=str(system.folder / "shelf"), **settings)


def mapped(responder: Running) -> int:
    """How many rows it mapped at its start."""
    said = [line for line in lines(responder.said()) if line["event"] == "mapped what was saved"]
    return sum(sum(line["rows"].values()) for line in said)


def files(system: System) -> Path:
    return system.folder / "shelf" / "generation-0"


def saved(system: System) -> bytes:
    path = files(system) / "saved"
    return path.read_bytes() if path.exists() else b""


def stands_in(paths: Iterable[Path], text: str) -> bool:
    """Whether one of these files has it. What is removed meanwhile, since it was saved anew, has not."""
    for path in paths:
        with suppress(FileNotFoundError):
            if text.encode() in path.read_bytes():
                return True
    return False


def is_saved(system: System, text: str) -> bool:
    return stands_in(files(system).glob("*-*"), text)


def answers(system: System) -> list[dict[str, Any]]:
    """To all questions, by whoever answers now, without what differs from one time to the next."""
    run = secrets.token_hex(4)
    system.ask([Query(id=f"{run}-{i}", text=text, top_k=5) for i, text in enumerate(QUESTIONS)])

    def mine() -> list[Answer]:
        return [answer for answer in system.answers() if answer.id.startswith(run)]

    wait_for(lambda: len(mine()) >= len(QUESTIONS), what="every question answered")
    said = sorted(mine(), key=lambda answer: answer.id)
    assert [answer.id for answer in said] == [f"{run}-{i}" for i in range(len(QUESTIONS))]  # once
    return [answer.model_dump(exclude=TIMED) for answer in said]


def differences(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[Any]:
    """The fields of answers and receipts that differ."""
    pairs = [
        pair
        for answer, another in zip(one, other, strict=True)
        for pair in ((answer, another), (answer["receipt"], another["receipt"]))
    ]
    return [
        (name, mine[name], theirs[name])
        for mine, theirs in pairs
        for name in mine
        if name != "receipt" and mine[name] != theirs[name]
    ]


def forget(system: System, text: str) -> None:
    (place,) = [
        f"{batch.partition}/{entry.offset}"
        for batch in system.batches()
        for entry in batch.entries
        if entry.text == text
    ]
    done = system.run("forget", "--entry", place, "--wait", "100")
    assert done.returncode == 0, done.stderr


def test_killed_at_every_step_of_saving_it_answers_as_one_without_a_folder(filled: System) -> None:
    system = filled
    plain = system.start("responder").wait_ready()
    # The first mix is published some time after the start, and changes scores.
    wait_for(lambda: answers(system)[0]["receipt"]["mix"]["version"] > 0, what="the first mix")
    expected = answers(system)
    assert plain.terminate() == 0
    first = started(system).wait_ready()
    assert differences(answers(system), expected) == []
    assert first.terminate() == 0
    assert saved(system)
    for i, (point, nth) in enumerate(
        [("before-index-saved", 1), ("after-index-saved", 1), ("after-index-wiped", 2)]
    ):
        folder = str(system.folder / "shelf")
        doomed = system.start_doomed("responder", point, nth, HURNET_RESPONDER_FOLDER=folder)
        # What was deleted before may be saved, and so end it, before it is ready.
        wait_for(partial(mapped, doomed), what="what was saved is mapped")
        forget(system, GONE[i])  # there is something to save
        assert doomed.wait_end() == -9
    last = started(system).wait_ready()
    assert mapped(last) > 0
    mine = answers(system)
    assert last.terminate() == 0
    plain = system.start("responder").wait_ready()
    assert differences(answers(system), mine) == []
    assert plain.terminate() == 0


def test_what_is_deleted_leaves_the_files(filled: System) -> None:
    system = filled
    responder = started(system).wait_ready()
    for text in GONE[3:5]:
        wait_for(partial(is_saved, system, text), what="the text in a file")  # that may be made anew just now
        forget(system, text)
    wait_for(lambda: not any(is_saved(system, text) for text in GONE[3:5]), what="the texts out of all files")
    assert responder.terminate() == 0


def test_damaged_files_are_noticed_and_made_anew(filled: System) -> None:
    system = filled
    if not saved(system):
        assert started(system).wait_ready().terminate() == 0
    mine: list[dict[str, Any]] = []
    for kind in ("planes", "texts", "saved"):
        path = next(path for path in files(system).iterdir() if path.name.split("-")[0] == kind)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)
        responder = started(system).wait_ready()
        assert mapped(responder) == 0, kind
        wait_for(lambda: saved(system), what="saved again")
        mine = answers(system)
        assert responder.terminate() == 0
    again = started(system).wait_ready()
    assert mapped(again) > 0
    assert differences(answers(system), mine) == []
    second = started(system, HURNET_RESPONDER_INSTANCE="second")
    assert second.wait_end() != 0  # two don't share a folder
    assert "another process uses" in second.said()
    assert again.terminate() == 0
