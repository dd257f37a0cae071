"""Dead letters: the message for a record that can't be processed, and an alarm when there are too many."""

from __future__ import annotations

import base64
import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from hurnet.errors import ConfigurationError, TooManyDeadLetters, Undeliverable
from hurnet.ports import Outgoing, Record, Sink
from hurnet.settings.settings import IngestSettings
from hurnet_schemas.dead_letter import MAX_EXCERPT, DeadLetter, Reason

log = structlog.get_logger()

REMIND_S = 60.0
"""An alarm is a line in the log so often."""
LAPSES_S = 300.0
"""Without a bad record for so long there is no alarm any more: nothing may come at all."""
WELL_AGAIN = 100
"""Good records in a row after which what was before is forgotten."""
_ADVICE = "Read the newest dead letters (`hurnet dead-letters`) and mend the producer"


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


def send_all(sink: Sink, letters: Sequence[Outgoing]) -> None:
    """A dead letter is small: a topic that refuses it was made wrongly."""
    try:
        sink.send(letters)
    except Undeliverable as error:
        raise ConfigurationError(f"a dead letter can't be delivered: {error}") from error


def _sha256(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha256(value).hexdigest()


def _excerpt(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw[:MAX_EXCERPT]).decode()


class DeadLetterAlarm:
    """Raised while the input is mostly bad: that is a broken producer, not a bad record.

    Two limits: so many in a row, and so large a share of the last `dead_letters_window` records (judged once
    that many have been seen). It is over when good records come again, or no bad ones for a while. An alarm
    is told in the log and by readiness; only if `dead_letters_stop` is set does it end the worker.
    """

    def __init__(self, settings: IngestSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._recent: deque[bool] = deque(maxlen=settings.dead_letters_window)
        self._bad = self._bad_in_a_row = self._good_in_a_row = 0
        self._bad_at = self._said_at = float("-inf")
        self._raised = False

    def count(self, bad: bool) -> None:
        """Count one record. Raises `TooManyDeadLetters` if it passes a limit and is to stop the worker."""
        if len(self._recent) == self._recent.maxlen:
            self._bad -= self._recent[0]
        self._recent.append(bad)
        self._bad += bad
        self._bad_in_a_row = self._bad_in_a_row + 1 if bad else 0
        self._good_in_a_row = 0 if bad else self._good_in_a_row + 1
        if bad:
            self._bad_at = self._clock()
        if self._good_in_a_row == WELL_AGAIN:
            self._recent.clear()
            self._bad = 0
        self._tell()

    def unready(self) -> list[str]:
        """What is wrong; empty without an alarm."""
        passed = self._passed()
        return [passed] if passed and self._clock() - self._bad_at < LAPSES_S else []

    def _passed(self) -> str | None:
        seen, most = len(self._recent), self._settings.dead_letters_in_a_row
        if self._bad_in_a_row > most:
            return (
                f"{self._bad_in_a_row} dead letters in a row, the limit is {most} "
                "(HURNET_INGEST_DEAD_LETTERS_IN_A_ROW)"
            )
        if seen == self._recent.maxlen and self._bad > self._settings.dead_letters_share * seen:
            return (
                f"{self._bad} of the last {seen} records are dead letters, the limit is "
                f"{self._settings.dead_letters_share:.0%} (HURNET_INGEST_DEAD_LETTERS_SHARE)"
            )
        return None

    def _tell(self) -> None:
        passed = self._passed()
        if passed and self._settings.dead_letters_stop:
            raise TooManyDeadLetters(f"{passed}. {_ADVICE}; a restart goes on from here.")
        if passed and self._clock() - self._said_at >= REMIND_S:
            self._said_at = self._clock()
            log.error(f"the producer must be broken: {passed}. {_ADVICE}.")
        if self._raised and not passed:
            self._said_at = float("-inf")
            log.info("good records come again", in_a_row=self._good_in_a_row)
        self._raised = passed is not None
