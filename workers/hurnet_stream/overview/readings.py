"""What the gateway shows of the system, over connections that are made when they are first needed, and anew
after a failure. Every method blocks; threads may share the object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from hurnet_stream.adapters.redis import (
    Connection,
    RedisEntryStore,
    RedisWeightsStore,
    connect,
    serving_of,
)
from hurnet_stream.adapters.segments import segments_at
from hurnet_stream.core.stored.entries import Entry, EntryId
from hurnet_stream.errors import HurnetError
from hurnet_stream.operations.dead_letter_reader import StoredLetter
from hurnet_stream.overview.contexts import (
    AnswerCount,
    ContextSize,
    answer_counts,
    context_sizes,
    entries_page,
)
from hurnet_stream.overview.record_reader import RecordReader
from hurnet_stream.overview.system_reader import SystemReader
from hurnet_stream.overview.system_status import Published, Status
from hurnet_stream.ports import DeletionAudit, Record
from hurnet_stream.settings.settings import Settings

T = TypeVar("T")


class SystemReadings:
    """Fills `hurnet_stream.gateway.readings.Readings`. `pages` are addresses of workers' metrics."""

    def __init__(self, settings: Settings, pages: Sequence[str] = ()) -> None:
        self._settings = settings
        self._pages = pages
        self._records = RecordReader(settings.kafka)
        self._looking, self._connecting = threading.Lock(), threading.Lock()
        self._system: SystemReader | None = None
        self._connection: Connection | None = None
        self._published = Published()

    def status(self) -> Status:
        with self._looking:
            self._system = self._system or SystemReader(self._settings, self._pages)
            return self._system.look()

    def contexts(self) -> Sequence[ContextSize]:
        with self._looking:  # the weights that are known are shared
            return self._of_store(lambda connection: context_sizes(connection, self._published)[0])

    def entries(self, context: str, after: EntryId | None, most: int) -> Sequence[tuple[int, Entry]]:
        return self._of_store(lambda connection: entries_page(connection, context, after, most))

    def answers(self, context: str) -> tuple[Sequence[AnswerCount], bool]:
        return self._of_store(lambda connection: answer_counts(connection, context))

    def deletion(self, partition: int, offset: int) -> DeletionAudit | None:
        found = self._of_store(
            lambda connection: RedisWeightsStore(connection).audit_of([(partition, offset)])
        )
        return next(iter(found), None)

    def taken_in(self, partition: int, offset: int) -> bool:
        states = self._of_store(lambda connection: RedisEntryStore(connection).states())
        return partition in states and states[partition].watermark >= offset

    def record(self, topic: str, partition: int, offset: int) -> Record:
        return self._records.record(topic, partition, offset)

    def letters(self, most: int) -> Sequence[StoredLetter]:
        return self._records.newest_letters(most)

    def close(self) -> None:
        with self._looking:
            if self._system:
                self._system.close()
        self._records.close()
        self._give_up()

    def _of_store(self, read: Callable[[Connection], T]) -> T:
        with self._connecting:
            if self._connection is None:
                segments = segments_at(self._settings.segments)
                self._connection = connect(self._settings.redis, segments)
            connection = self._connection
        try:
            return read(serving_of(connection, self._settings.kafka.texts))
        except HurnetError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        with self._connecting:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
