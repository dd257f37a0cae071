"""What a dead letter says, and when there are too many of them."""

from __future__ import annotations

import base64
import hashlib

import pytest

from schemas import DeadLetter
from workers.dead_letters import DeadLetterLimit, dead_letter
from workers.errors import TooManyDeadLetters
from workers.ports import Record
from workers.settings import IngestSettings


def test_a_dead_letter_names_its_record_and_bounds_what_it_copies() -> None:
    value = b"x" * 5_000_000
    record = Record("texts", 3, 17, 1_700_000_000_000, b"\xff", value)
    sent = dead_letter("dead-letters", "ingest", record, "too-long", "d" * 10_000)
    letter = DeadLetter.decode(sent.value)
    assert (letter.topic, letter.partition, letter.offset) == ("texts", 3, 17)
    assert letter.size == len(value)
    assert letter.sha256 == hashlib.sha256(value).hexdigest()
    assert base64.b64decode(letter.key or "") == b"\xff"
    assert sent.key == b"texts/3/17"
    assert len(sent.value or b"") < 10_000


def test_a_tombstone_has_no_excerpt() -> None:
    letter = DeadLetter.decode(
        dead_letter("d", "ingest", Record("t", 0, 0, 0, None, None), "tombstone", "").value
    )
    assert letter.excerpt is None
    assert letter.sha256 is None


def _limit(in_a_row: int = 1_000, share: float = 1.0, window: int = 10) -> DeadLetterLimit:
    return DeadLetterLimit(
        IngestSettings(dead_letters_in_a_row=in_a_row, dead_letters_share=share, dead_letters_window=window)
    )


def test_so_many_in_a_row_are_too_many() -> None:
    limit = _limit(in_a_row=3)
    for bad in [True, True, True, False, True, True, True]:
        limit.count(bad)
    with pytest.raises(TooManyDeadLetters, match="4 dead letters in a row"):
        limit.count(True)


def test_so_large_a_share_is_too_large_once_the_window_is_full() -> None:
    limit = _limit(share=0.5, window=10)
    for bad in [True, False] * 5:
        limit.count(bad)
    limit.count(True)  # pushes a bad one out: still half
    with pytest.raises(TooManyDeadLetters, match="of the last 10 records"):
        limit.count(True)


def test_old_records_leave_the_window() -> None:
    limit = _limit(share=0.5, window=4)
    for bad in [True, True, False, False] + [False] * 4 + [True, True]:
        limit.count(bad)
