"""Files into Kafka: each text once, whatever is killed in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_schemas import TextEvent
from hurnet_stream.errors import KafkaFailing
from hurnet_stream.operations import backfilling
from hurnet_stream.operations.backfilling import FilesChanged, Progress, Sending
from hurnet_stream.operations.files.encoded import Encoder
from hurnet_stream.operations.files.found import found
from hurnet_stream.operations.files.rows import Draft, Reject
from hurnet_stream.operations.files.source import Named, TextSource
from tests.memory.backfill import MemoryBackfill


class Killed(BaseException):
    """Ends a run in the middle of a block."""


def rows(*texts: str, killed_at: int | None = None) -> Iterator[Named]:
    for number, text in enumerate(texts):
        if number == killed_at:
            raise Killed
        yield "f.csv", Draft(number + 1, {"text": text})


def run(
    backfill: MemoryBackfill, drafts: Iterator[Named], *, again: bool = False, resumes: bool = True
) -> Progress:
    progress = Progress()
    rejects: list[Reject] = []
    Sending(backfill, Encoder("default"), progress, resumes=resumes).run(
        drafts, lambda _, reject: rejects.append(reject), lambda: None, again=again
    )
    return progress


def sent(backfill: MemoryBackfill) -> list[str]:
    return [TextEvent.decode(value).text for value, _, _ in backfill.records]


TEXTS = tuple(f"text {number}" for number in range(20))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfilling, "BLOCK_RECORDS", 3)


@given(st.integers(1, 7), st.lists(st.integers(0, 19), max_size=5), st.lists(st.integers(1, 7), max_size=6))
def test_killed_anywhere_and_begun_again_each_text_is_sent_once_and_in_order(
    size: int, kills: list[int], sizes: list[int]
) -> None:
    backfill = MemoryBackfill()
    before = backfilling.BLOCK_RECORDS
    try:
        for number, kill in enumerate(kills):
            backfilling.BLOCK_RECORDS = sizes[number] if number < len(sizes) else size  # type: ignore[misc]
            with pytest.raises(Killed):
                run(backfill, rows(*TEXTS, killed_at=kill))
        backfilling.BLOCK_RECORDS = size  # type: ignore[misc]
        progress = run(backfill, rows(*TEXTS))
    finally:
        backfilling.BLOCK_RECORDS = before  # type: ignore[misc]
    assert sent(backfill) == list(TEXTS)
    assert progress.count + progress.before == 20
    assert progress.watermarks == {0: 9, 1: 9}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("block", [1, 3, 7])
def test_a_block_of_which_nobody_knows_is_written_once(how: str, block: int) -> None:
    backfill = MemoryBackfill()
    backfill.fails = {block: how}
    progress = run(backfill, rows(*TEXTS))
    assert sent(backfill) == list(TEXTS)
    assert (progress.count, progress.watermarks) == (20, {0: 9, 1: 9})


@pytest.mark.usefixtures("small_blocks")
def test_without_notes_nothing_is_tried_twice() -> None:
    backfill = MemoryBackfill(keeps=False)
    backfill.fails = {2: "after"}
    with pytest.raises(KafkaFailing):
        run(backfill, rows(*TEXTS), resumes=False)
    assert sent(backfill) == list(TEXTS[:6])


@pytest.mark.usefixtures("small_blocks")
def test_a_command_that_is_repeated_sends_nothing_and_one_that_grew_what_is_new() -> None:
    backfill = MemoryBackfill()
    run(backfill, rows(*TEXTS))
    assert run(backfill, rows(*TEXTS)).count == 0
    assert run(backfill, rows(*TEXTS, "new")).count == 1
    assert sent(backfill) == [*TEXTS, "new"]
    assert run(backfill, rows(*TEXTS), again=True).count == 20
    assert sent(backfill)[21:] == list(TEXTS)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("now", "told"),
    [
        (("other", *TEXTS[1:]), "they are others now"),
        ((*TEXTS[:19], "other"), "they are others now"),
        (TEXTS[:19], "they have only 19 now"),
        ((), "they have only 0 now"),
        (("text", "0text 1", *TEXTS[2:]), "they are others now"),
    ],
)
def test_files_that_have_changed_are_told_and_not_sent(now: tuple[str, ...], told: str) -> None:
    backfill = MemoryBackfill()
    run(backfill, rows(*TEXTS))
    with pytest.raises(FilesChanged, match=told):
        run(backfill, rows(*now))
    assert sent(backfill) == list(TEXTS)


def test_a_note_stays_within_what_a_broker_keeps() -> None:
    backfill = MemoryBackfill()
    sending = Sending(backfill, Encoder("default"), Progress())
    assert "ends" in json.loads(sending._note({0: 1}))
    assert "ends" not in json.loads(sending._note({partition: 10**15 for partition in range(500)}))


def test_a_folder_goes_on_in_the_middle_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfilling, "BLOCK_RECORDS", 2)
    for name in ("b", "a"):
        lines = "".join(json.dumps({"text": f"{name} {number}", "key": name}) + "\n" for number in range(3))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    (tmp_path / "notes.md").write_text("# a document\n\nof two lines\n")
    backfill = MemoryBackfill()
    source = TextSource(found((str(tmp_path),), "auto"))
    drafts = source.drafts()
    with pytest.raises(Killed):
        run(backfill, _first(drafts, 5))
    run(backfill, TextSource(found((str(tmp_path),), "auto")).drafts())
    assert sent(backfill) == ["a 0", "a 1", "a 2", "b 0", "b 1", "b 2", "# a document\n\nof two lines"]
    assert [key for _, key, _ in backfill.records] == [b"a"] * 3 + [b"b"] * 3 + [b"notes.md"]


def _first(drafts: Iterator[Named], most: int) -> Iterator[Named]:
    for _ in range(most):
        yield next(drafts)
    raise Killed
