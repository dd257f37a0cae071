"""Single records of a topic over one kept connection, for whoever looks up one now and then."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from typing import Final

from hurnet_stream.adapters.kafka import KafkaHistory
from hurnet_stream.errors import ConfigurationError, HurnetError
from hurnet_stream.operations.dead_letter_reader import LetterFilter, LetterReader, StoredLetter
from hurnet_stream.ports import Record
from hurnet_stream.settings.settings import KafkaSettings

TOPICS_MOST: Final = 8
"""Topics whose connections are kept. Each client may have a topic of its own for its replies."""


class NotHeld(HurnetError):
    """The topic holds no such record: it was never there, or (`taken`) retention took it."""

    def __init__(self, message: str, *, taken: bool) -> None:
        super().__init__(message)
        self.taken = taken


class RecordReader:
    """Reads by topic, partition and offset. Threads take turns. A connection that fails is made anew."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._histories: dict[str, KafkaHistory] = {}

    def record(self, topic: str, partition: int, offset: int) -> Record:
        """The committed record there. Raises `NotHeld`."""
        with self._lock:
            history = self._histories.pop(topic, None) or KafkaHistory(self._settings, topic)
            self._histories[topic] = history  # behind all others, since it was used last
            if len(self._histories) > TOPICS_MOST:
                self._give_up(next(iter(self._histories)))
            try:
                return self._found(history, topic, partition, offset)
            except NotHeld:
                raise
            except ConfigurationError:
                self._give_up(topic)
                raise NotHeld(f"there is no topic {topic} that we may read", taken=False) from None
            except HurnetError:
                self._give_up(topic)
                raise

    def newest_letters(self, most: int) -> list[StoredLetter]:
        """The newest dead letters, the newest first."""
        with self._lock, closing(KafkaHistory(self._settings, self._settings.dead_letters)) as history:
            return LetterReader(history).newest(LetterFilter(), most)

    def close(self) -> None:
        with self._lock:
            for topic in list(self._histories):
                self._give_up(topic)

    def _found(self, history: KafkaHistory, topic: str, partition: int, offset: int) -> Record:
        held = history.offset_ranges().get(partition)
        if held is None or offset >= held.end:
            raise NotHeld(f"{topic} has no record {partition}/{offset}", taken=False)
        if offset < held.first:
            raise NotHeld(
                f"retention has taken {topic}/{partition}/{offset}: the first record is {held.first}",
                taken=True,
            )
        for block in history.read(partition, offset, offset):
            for record in block:
                return record
        raise NotHeld(f"{topic} has no committed record at {partition}/{offset}", taken=False)

    def _give_up(self, topic: str) -> None:
        with suppress(HurnetError):
            self._histories.pop(topic).close()
