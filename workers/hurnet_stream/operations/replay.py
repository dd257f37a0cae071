"""The topic of texts replayed: what an ingest would append, without what later records delete.

    records     0: text a   1: text b   2: deletes 0   3: text c
    replayed                b                          c

A deleted text is left out from the beginning, not taken out afterwards. So statistics that are learned from a
replay are those of a store that never saw the text. A text that another one has replaced is left out, too, as
far as keyed texts replaced others at that place of the shard:

    records     0: text a, key k    1: text b, key k    2: text c, key k
    modes       append until 1, then upsert
    replayed                                            c                     it replaces both
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from types import MappingProxyType

import numpy as np

from hurnet_schemas import InvalidMessage
from hurnet_stream.core.stored.batch import UPSERT, Batch, Deletion, Entry, Expiry, key_digest
from hurnet_stream.core.stored.codec import bare
from hurnet_stream.core.stored.replacing import mode_at
from hurnet_stream.embedding import Rejection
from hurnet_stream.ingest.intake import Intake, embed_intakes, intakes_of
from hurnet_stream.ports import Embedder, History, Holding, Read, Record, Taught
from hurnet_stream.records import TextReader, replaces

NOT_ADMITTED: Rejection = ("too-many-contexts", "")
Modes = Sequence[tuple[int, str]]
"""From which position on keyed texts were taken in how: see `ShardState.modes`."""


class Replay:
    """Reads the topic only. `contexts` are the names that are admitted, `holdings` says from which offset on
    a shard has let in which context, `modes` from which on it took in keyed texts how, and `advance` is told
    how many records were replayed.

    `unfit` are the offsets of records of which no entry was made. `deleted` knows those that can't be read,
    and `batches` finds those that can't be embedded or were not admitted."""

    def __init__(
        self,
        history: History,
        embedder: Embedder,
        contexts: frozenset[str],
        holdings: Mapping[int, Mapping[str, Holding]],
        advance: Callable[[int], None],
        modes: Mapping[int, Modes] = MappingProxyType({}),
    ) -> None:
        self._modes = modes
        self._read_record: Read = TextReader().read
        self._history = history
        self._embedder = embedder
        self._contexts = contexts
        self._holdings = holdings
        self._advance = advance
        self.unfit: set[int] = set()

    def reading_by(self, read: Read) -> None:
        """Read records by `read`, and not only hurnet's own messages."""
        self._read_record = read

    def batches(self, partition: int, first: int, last: int, deleted: Set[int]) -> Iterator[Batch]:
        """What an ingest makes of offsets `first` to `last`, without the offsets in `deleted`. The last
        batch has the watermark `last`."""
        for block in self._read(partition, first, last):
            intakes = intakes_of(block, partial(self._read_alone, deleted))
            for intake in intakes:
                self._admit(intake)
            embed_intakes(intakes, self._embedder)
            self.unfit.update(record.offset for intake in intakes for record, _ in intake.rejected)
            yield from (intake.batch() for intake in intakes)
            self._advance(len(block))
        yield bare(partition, last, self._embedder.identity.dimension)

    def deleted(self, partition: int, first: int, until: int) -> Deleted:
        """What the records at `first` to `until` delete. Those in `unfit` take nobody's place."""
        records = chain.from_iterable(self._read(partition, first, until))
        return deleted_by_records(records, self._read_record, self._modes.get(partition, ()), self.unfit)

    def _read_alone(self, deleted: Set[int], record: Record) -> Taught | Deletion:
        """What is left of a record. Nobody takes its place: that is among what is deleted."""
        said = self._read_record(record)
        if isinstance(said, Deletion):
            return said
        kept = [entry for entry in said.entries if entry.offset not in deleted]
        return replace(said, entries=kept, replaces=False)

    def _admit(self, intake: Intake) -> None:
        """Reject the entries whose context had not been let in when they came."""
        first_offsets = self._holdings.get(intake.partition, {})
        refused = [
            row
            for row, entry in enumerate(intake.entries)
            if entry.context not in self._contexts
            or _came_before(entry.offset, first_offsets.get(entry.context))
        ]
        intake.reject(dict.fromkeys(refused, NOT_ADMITTED))

    def _read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        return self._history.read(partition, first, last) if first <= last else iter(())


@dataclass(slots=True)
class Deleted:
    """Offsets of entries that are deleted, and of the records that replaced one. `records` are the offsets of
    all records that were read, 8 bytes each."""

    offsets: set[int] = field(default_factory=set)
    replacing: set[int] = field(default_factory=set)
    records: array[int] = field(default_factory=lambda: array("q"))

    def has_record(self, offset: int) -> bool:
        """Whether there is a record at the offset."""
        place = bisect_left(self.records, offset)
        return place < len(self.records) and self.records[place] == offset


def deleted_by_records(
    records: Iterable[Record], read: Read, modes: Modes = (), unfit: Set[int] = frozenset()
) -> Deleted:
    """What these records of a partition, in order, delete. Those in `unfit` say nothing."""
    deleted = Deleted()
    earlier = _EarlierOffsets()
    for record in records:
        deleted.records.append(record.offset)
        said = None if record.offset in unfit else _said(record, read)
        if isinstance(said, Deletion):
            deleted.offsets.update(said.targets, earlier.named_by(said))
        elif said:
            upsert = mode_at(modes, record.first_position) == UPSERT
            if replaces(said.key, upsert) and (replaced := earlier.replaced_by(said)):
                deleted.offsets.update(replaced)
                deleted.replacing.add(record.offset)
            for entry in said.entries:
                earlier.note(entry, said.key)
    return deleted


class _EarlierOffsets:
    """The offsets of the texts so far, by context and with their times, and by key and context. 8 bytes each:
    a partition may hold hundreds of millions."""

    def __init__(self) -> None:
        self._of_context: dict[str, array[int]] = {}
        self._times_of: dict[str, array[int]] = {}
        self._of_key: dict[bytes, dict[str, array[int]]] = {}

    def note(self, entry: Entry, key: bytes | None) -> None:
        self._of_context.setdefault(entry.context, array("q")).append(entry.offset)
        self._times_of.setdefault(entry.context, array("q")).append(entry.timestamp_ms)
        if key is not None:
            by_context = self._of_key.setdefault(key_digest(key), {})
            by_context.setdefault(entry.context, array("q")).append(entry.offset)

    def replaced_by(self, taught: Taught) -> list[int]:
        """The offsets of what came under the key of a text before, in its context. They are forgotten."""
        by_context = self._of_key.get(key_digest(taught.key or b""), {})
        contexts = {entry.context for entry in taught.entries}
        return [offset for context in contexts for offset in by_context.pop(context, ())]

    def named_by(self, deletion: Deletion) -> Iterable[int]:
        """The offsets that a deletion of a key or of a context deletes. They are forgotten: no offset is
        deleted twice."""
        context = deletion.context or ""
        if deletion.expiry:
            return self._expired(context, deletion.expiry) if context in self._of_context else ()
        if deletion.key is None:
            self._times_of.pop(context, None)
            return self._of_context.pop(context, ())
        by_context = self._of_key.get(deletion.key, {})
        contexts = list(by_context) if deletion.context is None else [deletion.context]
        return [offset for context in contexts for offset in by_context.pop(context, ())]

    def _expired(self, context: str, expiry: Expiry) -> Iterable[int]:
        """Those that are too old. The others are kept."""
        offsets, times = np.asarray(self._of_context[context]), np.asarray(self._times_of[context])
        old = (offsets <= expiry.through) & (times < expiry.before_ms)
        self._of_context[context] = array("q", offsets[~old].tobytes())
        self._times_of[context] = array("q", times[~old].tobytes())
        expired: list[int] = offsets[old].tolist()
        return expired


def _came_before(offset: int, holding: Holding | None) -> bool:
    return holding is not None and holding.first is not None and offset < holding.first


def _said(record: Record, read: Read) -> Taught | Deletion | None:
    try:
        return read(record)
    except InvalidMessage:
        return None
