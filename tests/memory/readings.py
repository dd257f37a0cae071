"""The twin of `overview.readings.SystemReadings`, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hurnet_stream.core.stored.entries import Entry, EntryId
from hurnet_stream.errors import HurnetError
from hurnet_stream.operations.dead_letter_reader import StoredLetter
from hurnet_stream.overview.contexts import AnswerCount, ContextSize
from hurnet_stream.overview.record_reader import NotHeld
from hurnet_stream.overview.system_status import Shard, Status
from hurnet_stream.ports import DeletionAudit, Record


@dataclass
class MemoryReadings:
    """Fills `hurnet_stream.gateway.readings.Readings`. `away` is raised by everything but the status."""

    stored: dict[EntryId, Entry] = field(default_factory=dict)
    audits: dict[tuple[int, int], DeletionAudit] = field(default_factory=dict)
    records: dict[tuple[str, int, int], Record] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    """By topic, the first offset that retention has left."""
    dead: list[StoredLetter] = field(default_factory=list)
    known: Status = field(default_factory=lambda: Status(store_read=True, shards=[Shard(0, 1, 1, 1)]))
    away: HurnetError | None = None
    looks: int = 0

    def status(self) -> Status:
        self.looks += 1
        return replace(self.known, ends=dict(self.known.ends))

    def contexts(self) -> Sequence[ContextSize]:
        self._check()
        names = Counter(entry.context for entry in self.stored.values())
        return [ContextSize(name, count, 100 * count) for name, count in sorted(names.items())]

    def entries(self, context: str, after: EntryId | None, most: int) -> Sequence[tuple[int, Entry]]:
        self._check()
        beyond = sorted(at for at in self.stored if after is None or at > after)
        return [(at[0], self.stored[at]) for at in beyond if self.stored[at].context == context][:most]

    def answers(self, context: str) -> tuple[Sequence[AnswerCount], bool]:
        counts = Counter(e.answer or e.text for _, e in self.entries(context, None, 1_000))
        return [AnswerCount(answer, count) for answer, count in counts.most_common()], True

    def deletion(self, partition: int, offset: int) -> DeletionAudit | None:
        self._check()
        return self.audits.get((partition, offset))

    def taken_in(self, partition: int, offset: int) -> bool:
        self._check()
        return partition == 0 and offset < 100

    def record(self, topic: str, partition: int, offset: int) -> Record:
        self._check()
        if offset < self.first.get(topic, 0):
            raise NotHeld("retention has taken it", taken=True)
        if (topic, partition, offset) not in self.records:
            raise NotHeld("there is none", taken=False)
        return self.records[topic, partition, offset]

    def letters(self, most: int) -> Sequence[StoredLetter]:
        self._check()
        return self.dead[:most]

    def close(self) -> None:
        """Nothing to free."""

    def _check(self) -> None:
        if self.away:
            raise self.away
