"""Records that end the process which handles them: found, and put aside without being handled once more.

A text or a query may make native code (an embedder, a kernel) crash, take all memory, or hang until the
watchdog ends the process. Nothing in the process can catch that, and the next start comes to the same record.
So each start has to learn from what the one before left in the store:

1. Whoever takes a partition over leaves its mark there, and takes it away when it lets go of the partition in
   order: by a signal, a rebalance, or an error of ours. That is one round trip per assignment, and none per
   turn, poll or record.
2. Who finds another's mark knows that the other one died with the partition in hand, of whatever: kill -9 and
   a power cut look the same. What the dead one may have had in hand is now handled *carefully*: record by
   record, and each noted in the store before. These are the records that lay in the partition already, and no
   more of them than one turn takes. A careful record costs a round trip, and in ingest an append; answers are
   delivered together all the same. A store holds one note of a partition, so the record that it speaks of is
   handled before all others, and what becomes of it is written down, or sent, before another is noted.
3. A record that `ATTEMPTS` processes have noted and did not live to see the end of is put aside as
   `ends-the-worker`. So such a record ends at most one process more than `ATTEMPTS`; in the responder it may
   be some more if questions that were parked come before it.

Innocent records are not put aside. Being in hand at a death only makes a record be handled carefully; to be
blamed takes three more processes that died while this very record was alone in hand, none of them getting on
by even one. A note counts once per process, however often it tries again. An error of ours (the store or
Kafka is away) takes back what it counted, and so does an end in order; of other exceptions, those count that
validating or embedding raises, and none that the store's or Kafka's client raises. What fails for every text
is no text's fault: before a process notes its first record it has the embedder embed a text of ours, and dies
of that with nothing noted; a model that loads slowly loads then. A note names its record by a digest, so that
it never speaks of another one at the same offset. Deletions are not noted: they embed nothing, and may take
longer than many a process lives.

The guard itself never fails a turn: where the store takes no notes, records are handled without. Outside its
reach is what dies before a record is in hand: in the Kafka client, or in decoding a query.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from hurnet.core.stored.batch import MAX_OFFSET
from hurnet.embedding import Rejection, embed
from hurnet.errors import HurnetError
from hurnet.ports import Embedder, EntryStore, Record, Source

log = structlog.get_logger()

ATTEMPTS = 3
"""Processes that may end with one record alone in hand."""
PROBE = "is the kitchen light on"
"""A text that no embedder should fail on."""


@dataclass(slots=True)
class _Careful:
    """Of a partition: records before offset `end`, and of these the next `left`."""

    left: int
    suspect: str
    """What was noted last, if it was: to be handled first, before a note of another replaces that one."""
    end: int = MAX_OFFSET
    reached: int = 0

    def covers(self, record: Record) -> bool:
        return self.left > 0 and record.offset < self.end

    def passed(self, record: Record) -> None:
        self.left -= 1
        self.reached = max(self.reached, record.offset + 1)

    @property
    def through(self) -> bool:
        """Nothing more is to be handled so, unless it was put off (a query may be parked)."""
        return self.left <= 0 or self.reached >= self.end


class Suspects:
    """What one worker knows of them. `role` names the workers among which partitions change hands; each has
    at most `most` records of a partition in hand at once."""

    def __init__(self, store: EntryStore, source: Source, embedder: Embedder, role: str, most: int) -> None:
        self._store = store
        self._source = source
        self._embedder = embedder
        self._role = role
        self._most = most
        self._owner = secrets.token_hex(8)
        self._entered: set[int] = set()
        self._careful: dict[int, _Careful] = {}
        self._in_hand: frozenset[int] = frozenset()
        self._noted: set[int] = set()
        self._alone: list[Record] = []
        self._probed = False

    def enter(self, partitions: Collection[int]) -> None:
        """These will be read, and nothing of them is in hand. Costs nothing for those entered before."""
        fresh = frozenset(partitions) - self._entered
        if not fresh:
            return
        try:
            left_behind = self._store.enter(self._role, self._owner, fresh)
        except HurnetError as error:
            log.warning("the store takes no marks, which find records that end a process", error=str(error))
            return
        self._entered |= fresh
        if left_behind:
            self._be_careful(left_behind)

    def moved(self, assigned: frozenset[int], revoked: frozenset[int]) -> None:
        """As a poll tells it: they are to be entered anew, or are another's."""
        self._leave(revoked & self._entered)
        self._entered -= assigned
        for partition in revoked:
            self._careful.pop(partition, None)

    def alone(self, record: Record) -> bool:
        """Whether nothing else may be in hand with this record. A deletion is never the culprit."""
        careful = self._careful.get(record.partition)
        return bool(careful and careful.covers(record) and record.value is not None)

    def first(self, records: Sequence[Record]) -> int | None:
        """Which of these is to be done with before any other, if one is."""
        return next((i for i, record in enumerate(records) if self._is_suspect(record)), None)

    def begin(self, records: Sequence[Record]) -> Rejection | None:
        """These are in hand until they have `passed`, or are `let_go`. Returns why the one that is alone must
        not be handled, if it must not."""
        self._in_hand = frozenset(record.partition for record in records)
        if len(records) != 1 or not self.alone(records[0]):
            return None
        if not self._probed:
            embed(self._embedder, [PROBE])
            self._probed = True
        return self._verdict(records[0])

    def handled(self) -> None:
        """What was noted has not ended this process, and is on its way out."""
        noted, self._noted = self._noted, set()
        self._entered -= noted
        self.enter(noted)  # takes the notes back, now or when the partitions are placed again

    def passed(self) -> None:
        """What was in hand is done for good."""
        for record in self._alone:
            self._careful[record.partition].passed(record)
        self._in_hand, self._alone = frozenset(), []

    def let_go(self) -> None:
        """What was in hand is not done, for a reason that was caught: it will come again."""
        self._in_hand, self._alone = frozenset(), []
        self.handled()

    @contextmanager
    def unblamed(self) -> Iterator[None]:
        """What is raised in here is not of the records' making, whatever it is."""
        try:
            yield
        except Exception:
            self.let_go()
            raise

    def close(self) -> None:
        """Let go of all partitions in order, except for those in hand when something was raised that is not
        one of our errors."""
        self._leave(self._entered - self._in_hand)

    def _is_suspect(self, record: Record) -> bool:
        careful = self._careful.get(record.partition)
        if not careful or not careful.suspect or not careful.covers(record):
            return False
        return record.anchor.digest == careful.suspect

    def _be_careful(self, suspects: Mapping[int, str]) -> None:
        log.warning(
            "who had these partitions did not end in order: their records are handled one by one for a while",
            partitions=sorted(suspects),
        )
        self._careful |= {partition: _Careful(self._most, suspect) for partition, suspect in suspects.items()}
        for partition, bounds in self._source.offset_ranges(frozenset(suspects)).items():
            self._careful[partition].end = bounds.end

    def _verdict(self, record: Record) -> Rejection | None:
        self._alone.append(record)
        self._noted.add(record.partition)
        digest = record.anchor.digest
        if digest != self._careful[record.partition].suspect:
            self._careful[record.partition].suspect = ""  # its note is replaced
        try:
            others = self._store.attempt(self._role, self._owner, record.partition, digest) - 1
        except HurnetError as error:
            log.warning("a record is handled without a note", record=record.coordinates, error=str(error))
            return None
        if others < ATTEMPTS:
            return None
        log.error("a record that ends whoever handles it is put aside", record=record.coordinates)
        return "ends-the-worker", f"{others} processes ended, each while it handled this record and no other"

    def _leave(self, partitions: Collection[int]) -> None:
        """Where one is not through with being careful, the mark stays for the next one. It stays, too, if the
        store can't be told: that one is careful without need."""
        self._entered -= frozenset(partitions)
        through = frozenset(p for p in partitions if p not in self._careful or self._careful[p].through)
        if not through:
            return
        try:
            self._store.leave(self._role, self._owner, through)
        except HurnetError as error:
            log.warning("the store could not be told that partitions were let go of", error=str(error))
