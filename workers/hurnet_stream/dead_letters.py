"""Dead letters: the message that says why a record was put aside, and an alarm if there are too many.

The record itself stays in its topic. The letter names it, and holds the first bytes of it and a digest of
all, so that a person can tell what it was, and `hurnet dead-letters --resend` that it is still the same.

Without excerpts (HURNET_PRIVACY_EXCERPTS=false) nothing of the record is quoted, as bytes or in words:

    reason           detail with excerpts                              detail without excerpts
    invalid-message  colour: there is no such field                    the message has a wrong field
    not-json         expected value at line 1 column 1                 the value is no JSON object
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from hurnet_schemas.dead_letter import MAX_EXCERPT, DeadLetter, Reason
from hurnet_stream.embedding import Rejection
from hurnet_stream.errors import ConfigurationError, TooManyDeadLetters, Undeliverable
from hurnet_stream.ports import Outgoing, Record, Sink
from hurnet_stream.settings.settings import IngestSettings

log = structlog.get_logger()

REMIND_S = 60.0
"""How often an alarm that goes on is logged again."""
LAPSES_S = 300.0
"""An alarm ends this long after the last bad record. Otherwise it would go on for ever if nothing more
comes."""
WELL_AGAIN = 100
"""After this many good records in a row, earlier bad ones no longer count."""
_ADVICE = "Read the newest dead letters (`hurnet dead-letters`) and fix the producer"


UNQUOTED: Final[Mapping[Reason, str]] = {
    "unreadable": "Kafka's bytes could not be unpacked",
    "too-large": "the record is larger than is read",
    "tombstone": "a record without a value does not say what it deletes, or names no earlier offset",
    "not-utf8": "the value is no UTF-8",
    "not-json": "the value is no JSON object",
    "unknown-version": "the message has a schema version that this side does not speak",
    "invalid-message": "the message has a wrong field",
    "blank-text": "the text is blank",
    "too-long": "a field is too long",
    "zero-vector": "the text has nothing the embedder knows",
    "embedder-failed": "the embedder failed on the text",
    "too-many-contexts": "the context would be one more than HURNET_INGEST_MAX_CONTEXTS",
    "reply-topic-refused": "the header reply-to names a topic that HURNET_RESPONDER_REPLY_TOPICS excludes",
    "reply-topic-missing": "the header reply-to names a topic that does not exist",
    "reply-topic-unwritable": "the header reply-to names a topic that takes no messages",
    "correlation-id-too-long": "the header correlation-id is too long",
    "key-too-long": "the key of the query is too long",
    "scoring-failed": "the query could not be scored",
    "answer-undeliverable": "the answer could not be delivered",
    "feedback-undeliverable": "what the feedback teaches could not be delivered",
    "ends-the-worker": "processes ended while they handled this record and no other",
}
"""By reason, what is wrong in words that quote nothing of the record."""


def dead_letter(
    topic: str, worker: str, record: Record, reason: Reason, detail: str, excerpts: bool = True
) -> Outgoing:
    """What to send to `topic` about `record`. The key is the record's coordinates: letters are sent at least
    once, and a reader recognises the second copy by it. Without `excerpts` it quotes nothing of it."""
    fault = record.fault  # if there is one, the value is empty, and the fault knows what was there
    letter = DeadLetter(
        reason=reason,
        detail=detail if excerpts else UNQUOTED.get(reason, reason),
        worker=worker,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        first_offset=fault.first if fault and fault.first != record.offset else None,
        timestamp_ms=record.timestamp_ms,
        key=_excerpt(record.key) if excerpts else None,
        excerpt=_excerpt(fault.excerpt if fault else record.value) if excerpts else None,
        size=fault.size if fault else len(record.value or b""),
        sha256=fault.sha256 if fault else _sha256(record.value),
    )
    return Outgoing(topic, letter.encode(), key=record.coordinates.encode())


def put_aside(
    sink: Sink,
    topic: str,
    worker: str,
    rejected: Sequence[tuple[Record, Rejection]],
    excerpts: bool = True,
) -> None:
    """Send a dead letter about each of these. Raises `ConfigurationError` if the topic refuses one."""
    if not rejected:
        return
    try:
        sink.send([dead_letter(topic, worker, record, *why, excerpts) for record, why in rejected])
    except Undeliverable as error:
        # A letter is small, so the topic must have been made with too small a limit: only a person can help.
        raise ConfigurationError(f"a dead letter can't be delivered: {error}") from error


def _sha256(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha256(value).hexdigest()


def _excerpt(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw[:MAX_EXCERPT]).decode()


class DeadLetterAlarm:
    """Says so while most of the input is bad: that is a broken producer, and not just a bad record.

    There are two limits: `dead_letters_in_a_row`, and `dead_letters_share` of the last `dead_letters_window`
    records, which counts once there were that many. The alarm ends when good records come again, or when no
    bad ones have come for a while. The log, a metric and readiness show it. It ends the worker only if
    `dead_letters_stop` is set.
    """

    def __init__(self, settings: IngestSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._recent: deque[bool] = deque(maxlen=settings.dead_letters_window)  # True: was bad
        self._bad = 0  # how many of the recent ones
        self._bad_in_a_row = self._good_in_a_row = 0
        self._bad_at = self._said_at = float("-inf")
        self._raised = False

    def count(self, bad: bool) -> None:
        """Count one record. Raises `TooManyDeadLetters` if a limit is passed and the worker is to stop at
        that."""
        if len(self._recent) == self._recent.maxlen:
            self._bad -= self._recent[0]  # which the next line pushes out
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
        """Why the alarm is on; empty if it is off."""
        limit_passed = self._limit_passed()
        return [limit_passed] if limit_passed and self._clock() - self._bad_at < LAPSES_S else []

    def _limit_passed(self) -> str | None:
        limit = self._settings.dead_letters_in_a_row
        if self._bad_in_a_row > limit:
            return (
                f"{self._bad_in_a_row} dead letters in a row, the limit is {limit} "
                "(HURNET_INGEST_DEAD_LETTERS_IN_A_ROW)"
            )
        seen = len(self._recent)
        if seen == self._recent.maxlen and self._bad > self._settings.dead_letters_share * seen:
            return (
                f"{self._bad} of the last {seen} records are dead letters, the limit is "
                f"{self._settings.dead_letters_share:.0%} (HURNET_INGEST_DEAD_LETTERS_SHARE)"
            )
        return None

    def _tell(self) -> None:
        limit_passed = self._limit_passed()
        if limit_passed and self._settings.dead_letters_stop:
            raise TooManyDeadLetters(f"{limit_passed}. {_ADVICE}; a restart goes on from here.")
        if limit_passed and self._clock() - self._said_at >= REMIND_S:
            self._said_at = self._clock()
            log.error(f"the producer must be broken: {limit_passed}. {_ADVICE}.")
        if self._raised and not limit_passed:
            self._said_at = float("-inf")
            log.info("good records come again", in_a_row=self._good_in_a_row)
        self._raised = limit_passed is not None
