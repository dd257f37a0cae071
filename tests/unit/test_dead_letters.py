"""What a dead letter says, and when there are too many of them."""

from __future__ import annotations

import base64
import hashlib

import pytest
from structlog.testing import capture_logs

from hurnet_schemas import DeadLetter
from hurnet_stream.dead_letters import LAPSES_S, WELL_AGAIN, DeadLetterAlarm, dead_letter
from hurnet_stream.errors import TooManyDeadLetters
from hurnet_stream.ports import Record
from hurnet_stream.settings.settings import IngestSettings


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


class Limits:
    """An alarm by a clock of its own."""

    def __init__(
        self, in_a_row: int = 1_000, share: float = 1.0, window: int = 10, stop: bool = False
    ) -> None:
        self.now = 0.0
        self.alarm = DeadLetterAlarm(
            IngestSettings(
                dead_letters_in_a_row=in_a_row,
                dead_letters_share=share,
                dead_letters_window=window,
                dead_letters_stop=stop,
            ),
            lambda: self.now,
        )

    def count(self, *records: bool) -> list[str]:
        for bad in records:
            self.alarm.count(bad)
        return self.alarm.unready()


def test_so_many_in_a_row_are_an_alarm_until_a_good_one_comes() -> None:
    limits = Limits(in_a_row=3)
    assert limits.count(True, True, True, False, True, True, True) == []
    assert "4 dead letters in a row" in limits.count(True)[0]
    assert "5 dead letters in a row" in limits.count(True)[0]
    assert limits.count(False) == []


def test_so_large_a_share_is_an_alarm_once_the_window_is_full() -> None:
    limits = Limits(share=0.5, window=10)
    assert limits.count(*[True, False] * 5) == []
    assert limits.count(True) == []  # pushes a bad one out: still half
    assert "of the last 10 records" in limits.count(True)[0]


def test_old_records_leave_the_window() -> None:
    limits = Limits(share=0.5, window=4)
    assert limits.count(*[True, True, False, False], *[False] * 4, *[True, True]) == []


def test_many_good_ones_end_what_a_large_window_remembers() -> None:
    limits = Limits(share=0.5, window=1_000)
    assert limits.count(*[True] * 900, *[False] * 99, True)
    assert limits.count(*[False] * WELL_AGAIN) == []


def test_an_alarm_lapses_when_nothing_comes_any_more() -> None:
    limits = Limits(in_a_row=3)
    assert limits.count(*[True] * 4)
    limits.now = LAPSES_S
    assert limits.count() == []


def test_an_alarm_is_told_at_a_bounded_rate() -> None:
    limits = Limits(in_a_row=3)
    with capture_logs() as lines:
        limits.count(*[True] * 500)
        limits.now = 61.0
        limits.count(*[True] * 500)
        limits.count(False, True)
    assert [line["log_level"] for line in lines] == ["error", "error", "info"]


def test_an_alarm_ends_the_worker_only_if_it_is_to() -> None:
    limits = Limits(in_a_row=3, stop=True)
    with pytest.raises(TooManyDeadLetters, match="4 dead letters in a row"):
        limits.count(*[True] * 4)
