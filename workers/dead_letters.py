"""Dead letters: the message for a record that can't be processed, and when there are too many of them."""

from __future__ import annotations

import base64
import hashlib
from collections import deque

from schemas.dead_letter import MAX_EXCERPT, DeadLetter, Reason
from workers.errors import TooManyDeadLetters
from workers.ports import Outgoing, Record
from workers.settings import IngestSettings

_ADVICE = "Read the newest dead letters and mend the producer; a restart goes on from here."


def dead_letter(topic: str, worker: str, record: Record, reason: Reason, detail: str) -> Outgoing:
    """What to send to `topic` for `record`; the key is its coordinates, so that copies can be told."""
    value, fault = record.value or b"", record.fault
    letter = DeadLetter(
        reason=reason,
        detail=detail,
        worker=worker,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        first_offset=fault.first if fault and fault.first != record.offset else None,
        timestamp_ms=record.timestamp_ms,
        key=_excerpt(record.key),
        excerpt=_excerpt(fault.excerpt if fault else record.value),
        size=fault.size if fault else len(value),
        sha256=fault.sha256 if fault else _sha256(record.value),
    )
    return Outgoing(topic, letter.encode(), key=record.coordinates.encode())


def _sha256(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha256(value).hexdigest()


def _excerpt(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw[:MAX_EXCERPT]).decode()


class DeadLetterLimit:
    """Stops a worker whose input is mostly bad: that is a broken producer, not a bad record.

    Two limits: so many in a row, and so large a share of the last `dead_letters_window` records (judged
    once that many have been seen). A restart counts anew.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self._in_a_row = settings.dead_letters_in_a_row
        self._share = settings.dead_letters_share
        self._recent: deque[bool] = deque(maxlen=settings.dead_letters_window)
        self._bad = 0
        self._streak = 0

    def count(self, bad: bool) -> None:
        """Count one record. Raises `TooManyDeadLetters` when it passes a limit."""
        if len(self._recent) == self._recent.maxlen:
            self._bad -= self._recent[0]
        self._recent.append(bad)
        self._bad += bad
        self._streak = self._streak + 1 if bad else 0
        self._check()

    def _check(self) -> None:
        seen = len(self._recent)
        if self._streak > self._in_a_row:
            raise TooManyDeadLetters(
                f"{self._streak} dead letters in a row, the limit is {self._in_a_row} "
                f"(HURNET_INGEST_DEAD_LETTERS_IN_A_ROW). {_ADVICE}"
            )
        if seen == self._recent.maxlen and self._bad > self._share * seen:
            raise TooManyDeadLetters(
                f"{self._bad} of the last {seen} records are dead letters, the limit is {self._share:.0%} "
                f"(HURNET_INGEST_DEAD_LETTERS_SHARE). {_ADVICE}"
            )
