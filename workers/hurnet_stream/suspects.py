"""Records that end the process which handles them: found, and put aside without being handled again.

A text or a query may make native code (an embedder, a kernel) crash, take all memory, or hang until the
watchdog ends the process. Nothing in that process can catch it, and the next process comes to the same
record. So each process learns from what the one before it left in the store: a *mark* on every partition
that it has in hand, and a *note* of the record that it is about to handle, if it has reason to be careful.

    process 1   marks the partition, takes records 5 to 9 together, and ends at one of them
    process 2   finds the mark: notes and handles 5, then 6, then 7, and ends at 7
    process 3   finds the mark and the note of 7: notes 7 again, handles it first, and ends
    process 4   the same
    process 5   notes 7, learns that three others have noted it before: puts 7 aside, goes on

1. A process marks a partition when it takes it over, and removes the mark when it lets go of it in order:
   at a signal, a rebalance, or one of our own errors. That costs one round trip per assignment, and none
   per turn, poll or record.
2. Another's mark means that its process ended with the partition in hand, for whatever reason: `kill -9`
   and a power cut look the same. What that process may have had in hand is now handled *carefully*: one
   record at a time, each noted before. These are the records that lay in the partition by then, and no more
   of them than one turn takes. The store holds one note per partition, so the record of the last note is
   handled before all others, and it is appended or answered before another is noted.
3. A record is put aside as `ends-the-worker` once `NOTED_DEATHS` processes have noted it, and each of them
   died during it. The first death comes before any note, so a record ends at most one process more than
   that. In the responder it may be a few more, if queries that were parked come before it.

Innocent records are not put aside. To be in hand at the end of a process only makes a record be handled
carefully. To be blamed takes three more processes that ended while this very record was alone in hand, and
none of them got on by even one record.

- A process counts once for a record, however often it tries.
- An error of ours (the store or Kafka is away) takes the note back, and so does an end in order. Of other
  exceptions only those count that parsing or embedding raises, and none that the clients of the store or
  Kafka raise.
- What fails for every text is no text's fault. Before a process notes its first record it embeds a text of
  ours, and if it ends at that, nothing is noted. A model that loads slowly loads then.
- A note holds a record's digest, so it never speaks of another record at the same offset.
- Deletions are not noted. They embed nothing, and a long one may go on through several restarts.

Being careful costs a round trip per record, and an append per record in ingest; answers still leave
together. The guard itself never fails a turn: if the store takes no marks or notes, records are handled
without. It can't see what ends a process before a record is in hand: in the Kafka client, or in decoding a
query.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from hurnet_stream.core.stored.batch import MAX_OFFSET
from hurnet_stream.embedding import Rejection, embed
from hurnet_stream.errors import HurnetError
from hurnet_stream.ports import Embedder, PartitionMarks, Record, Source

log = structlog.get_logger()

NOTED_DEATHS = 3
"""How many processes may end with a record noted and alone in hand before it is put aside. One more ends
before that, when the record is in hand with others and not noted."""
PROBE = "is the kitchen light on"
"""A text on which no embedder should fail."""


@dataclass(slots=True)
class _Careful:
    """What of a partition is to be handled carefully: records before offset `end`, and `left` of them at
    most."""

    left: int
    suspect: str
    """Digest of the record in the last note, or "": it goes first, before a note of another replaces it."""
    end: int = MAX_OFFSET
    reached: int = 0

    def covers(self, record: Record) -> bool:
        return self.left > 0 and record.offset < self.end

    def passed(self, record: Record) -> None:
        self.left -= 1
        self.reached = max(self.reached, record.offset + 1)

    @property
    def is_over(self) -> bool:
        # A query that was parked may be still to come: `covers` says then that it is handled carefully.
        return self.left <= 0 or self.reached >= self.end


class Suspects:
    """What one worker does about such records. `role` names the workers among which partitions change hands.
    A worker has at most `in_hand_max` records of a partition in hand at once."""

    def __init__(
        self, marks: PartitionMarks, source: Source, embedder: Embedder, role: str, in_hand_max: int
    ) -> None:
        self._marks = marks
        self._source = source
        self._embedder = embedder
        self._role = role
        self._in_hand_max = in_hand_max
        self._owner = secrets.token_hex(8)
        self._marked: set[int] = set()
        self._careful: dict[int, _Careful] = {}
        self._in_hand: frozenset[int] = frozenset()  # partitions
        self._noted: set[int] = set()  # partitions
        self._alone: list[Record] = []
        self._probed = False

    def enter(self, partitions: Collection[int]) -> None:
        """Mark these partitions. They will be read, and nothing of them is in hand. Those that are marked
        already cost nothing."""
        unmarked = frozenset(partitions) - self._marked
        if not unmarked:
            return
        try:
            left_behind = self._marks.enter(self._role, self._owner, unmarked)
        except HurnetError as error:
            log.warning("the store takes no marks, which find records that end a process", error=str(error))
            return
        self._marked |= unmarked
        if left_behind:
            self._be_careful(left_behind)

    def moved(self, assigned: frozenset[int], revoked: frozenset[int]) -> None:
        """A poll said that partitions were assigned, which are to be entered anew, or went to another
        worker."""
        self._leave(revoked & self._marked)
        self._marked -= assigned
        for partition in revoked:
            self._careful.pop(partition, None)

    def alone(self, record: Record) -> bool:
        """Whether nothing else may be in hand with this record."""
        careful = self._careful.get(record.shard)
        is_deletion = record.value is None
        return bool(careful and careful.covers(record) and not is_deletion)

    def first(self, records: Sequence[Record]) -> int | None:
        """The index of the record that must be handled before all others; None if there is none."""
        return next((index for index, record in enumerate(records) if self._is_suspect(record)), None)

    def begin(self, records: Sequence[Record]) -> Rejection | None:
        """Take these records in hand, until they have `passed` or are `let_go`. If there is one that must be
        alone, it is noted. Returns why it must not be handled, or None if it may be."""
        self._in_hand = frozenset(record.shard for record in records)
        if len(records) != 1 or not self.alone(records[0]):
            return None
        if not self._probed:
            embed(self._embedder, [PROBE])
            self._probed = True
        return self._note(records[0])

    def handled(self) -> None:
        """What was noted has not ended this process, and its answer is on the way."""
        noted, self._noted = self._noted, set()
        # To enter again takes the notes back: now, or when the partitions are placed again if that fails.
        self._marked -= noted
        self.enter(noted)

    def passed(self) -> None:
        """What was in hand is done for good."""
        for record in self._alone:
            self._careful[record.shard].passed(record)
        self._in_hand, self._alone = frozenset(), []

    def let_go(self) -> None:
        """What was in hand is not done, for a reason that was caught. It will come again."""
        self._in_hand, self._alone = frozenset(), []
        self.handled()

    @contextmanager
    def unblamed(self) -> Iterator[None]:
        """Whatever is raised in here is no record's fault."""
        try:
            yield
        except Exception:
            self.let_go()
            raise

    def close(self) -> None:
        """Leave all partitions in order. Those that are in hand keep their marks: what was raised was none of
        our errors, so a record may be to blame."""
        self._leave(self._marked - self._in_hand)

    def _is_suspect(self, record: Record) -> bool:
        careful = self._careful.get(record.shard)
        if not careful or not careful.suspect or not careful.covers(record):
            return False
        return record.anchor.digest == careful.suspect

    def _be_careful(self, left_behind: Mapping[int, str]) -> None:
        log.warning(
            "who had these partitions did not end in order: their records are handled one by one for a while",
            partitions=sorted(left_behind),
        )
        for partition, suspect in left_behind.items():
            self._careful[partition] = _Careful(self._in_hand_max, suspect)
        # Set before this is asked, which may raise: careful up to no known end is better than not careful.
        for partition, held in self._source.offset_ranges(frozenset(left_behind)).items():
            self._careful[partition].end = held.end

    def _note(self, record: Record) -> Rejection | None:
        self._alone.append(record)
        self._noted.add(record.shard)
        digest = record.anchor.digest
        if digest != self._careful[record.shard].suspect:
            self._careful[record.shard].suspect = ""  # its note is replaced by this one
        try:
            others = self._marks.attempt(self._role, self._owner, record.shard, digest) - 1
        except HurnetError as error:
            log.warning("a record is handled without a note", record=record.coordinates, error=str(error))
            return None
        if others < NOTED_DEATHS:
            return None
        log.error("a record that ends every process that handles it is put aside", record=record.coordinates)
        return "ends-the-worker", f"{others} processes ended, each while it handled this record and no other"

    def _leave(self, partitions: Collection[int]) -> None:
        """Remove the marks, except where being careful is not over: there the next worker has to go on with
        it. A mark that can't be removed stays, and makes the next worker careful without need."""
        self._marked -= frozenset(partitions)
        over = frozenset(p for p in partitions if p not in self._careful or self._careful[p].is_over)
        if not over:
            return
        try:
            self._marks.leave(self._role, self._owner, over)
        except HurnetError as error:
            log.warning(
                "the marks of partitions that were given up could not be removed from the store",
                error=str(error),
            )
