"""Dead letters read again: the newest first, each once, and what they name sent again as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from hurnet_schemas import DeadLetter
from hurnet_stream.commands.dead_letters import described, moment_ms
from hurnet_stream.dead_letters import dead_letter
from hurnet_stream.operations import dead_letter_reader
from hurnet_stream.operations.dead_letter_reader import (
    LetterFilter,
    LetterReader,
    StoredLetter,
    grouped,
    message_to_resend,
)
from hurnet_stream.ports import OffsetRange, Outgoing, Record
from tests.memory.kafka import MemoryKafka


@dataclass
class TopicHistory:
    """`History` of one topic in memory, in blocks of three."""

    kafka: MemoryKafka
    topic: str

    def offset_ranges(self) -> dict[int, OffsetRange]:
        held = {p: self.kafka.partition(self.topic, p) for p in range(2)}
        return {p: OffsetRange(partition.first, partition.end) for p, partition in held.items()}

    def read(self, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        held = self.kafka.partition(self.topic, partition).records
        records = [r for r in held if r and first <= r.offset <= last]
        yield from (records[at : at + 3] for at in range(0, len(records), 3))

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class World:
    """A log of texts and what was put aside of it."""

    kafka: MemoryKafka = field(default_factory=lambda: MemoryKafka(now=count(1_000).__next__))

    def __post_init__(self) -> None:
        for topic in ("texts", "letters"):
            self.kafka.create(topic, partitions=2)

    def put_aside(self, value: bytes | None, reason: str = "not-json", partition: int = 0) -> Record:
        message = Outgoing("texts", value, b"key", (("h", b"\xff"),), partition)
        self.kafka.append([message])
        record = self.kafka.partition("texts", partition).records[-1]
        assert record is not None
        self.kafka.append([dead_letter("letters", "ingest", record, reason, "why")])  # type: ignore[arg-type]
        return record

    @property
    def letters(self) -> LetterReader:
        return LetterReader(TopicHistory(self.kafka, "letters"))

    def again(self, found: StoredLetter) -> Outgoing | str:
        return message_to_resend(found, TopicHistory(self.kafka, "texts"))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_reader, "BLOCK", 4)


def test_the_newest_come_first_over_all_partitions_and_no_more_than_asked() -> None:
    world = World()
    records = [world.put_aside(b"%d" % i, partition=i % 2) for i in range(25)]
    found = world.letters.newest(LetterFilter(), 10)
    assert {letter.record_id for letter in found} == {(r.topic, r.partition, r.offset) for r in records[-10:]}
    assert [f.written_ms for f in found] == sorted((f.written_ms for f in found), reverse=True)
    assert len(list(world.letters.all(LetterFilter()))) == 25


def test_a_copy_that_a_crash_left_is_told_once_and_what_is_no_letter_is_counted() -> None:
    world = World()
    record = world.put_aside(b"one")
    world.kafka.append([dead_letter("letters", "ingest", record, "not-json", "why")])
    world.kafka.append(
        [Outgoing("letters", b"no letter", partition=1), Outgoing("letters", None, b"k", partition=1)]
    )
    letters = world.letters
    assert len(letters.newest(LetterFilter(), 10)) == 1
    assert letters.unreadable == 2


def test_who_watches_is_told_each_new_letter_once_the_oldest_first() -> None:
    world = World()
    world.put_aside(b"before")
    letters = world.letters
    ends = letters.ends()
    assert [found.excerpt for found in letters.newest(LetterFilter(), 10)] == [b"before"]
    assert letters.newer(ends, LetterFilter()) == []
    records = [world.put_aside(b"%d" % i, partition=i % 2) for i in range(9)]
    world.kafka.append([dead_letter("letters", "ingest", records[3], "not-json", "why")])
    assert [found.excerpt for found in letters.newer(ends, LetterFilter())] == [b"%d" % i for i in range(9)]
    world.put_aside(b"other", "too-long")
    assert letters.newer(ends, LetterFilter(reasons=frozenset({"not-json"}))) == []
    assert letters.newer(ends, LetterFilter()) == []


def test_what_is_remembered_of_a_long_watch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_reader, "SEEN_MOST", 5)
    world = World()
    letters, ends = world.letters, dict[int, int]()
    for number in range(30):
        world.put_aside(b"%d" % number)
        assert len(letters.newer(ends, LetterFilter())) == 1
        assert len(letters._seen) <= 6


def test_letters_are_grouped_by_reason_the_most_frequent_first() -> None:
    world = World()
    world.put_aside(b"x", "too-long", partition=1)
    world.put_aside(b"x", "not-json", partition=1)
    last = world.put_aside(b"x", "not-json", partition=1)
    often, once = grouped(world.letters.all(LetterFilter()))
    assert (often.reason, often.count, once.reason, once.count) == ("not-json", 2, "too-long", 1)
    assert often.newest.record_id == ("texts", last.partition, last.offset)
    assert often.first_ms < often.newest.written_ms


def test_letters_are_chosen_by_reason_partition_time_and_coordinates() -> None:
    world = World()
    first = world.put_aside(b"a", "blank-text")
    second = world.put_aside(b"b", "too-long", partition=1)
    newest = max(found.written_ms for found in world.letters.all(LetterFilter()))

    def chosen(wanted: LetterFilter) -> list[bytes]:
        return [found.excerpt for found in world.letters.all(wanted)]

    assert chosen(LetterFilter(reasons=frozenset({"too-long"}))) == [b"b"]
    assert chosen(LetterFilter(partitions=frozenset({0}))) == [b"a"]
    assert chosen(LetterFilter(topics=frozenset({"queries"}))) == []
    assert chosen(LetterFilter(since_ms=newest + 1)) == []
    assert chosen(LetterFilter(records=frozenset({("texts", 0, first.offset)}))) == [b"a"]
    assert (
        chosen(LetterFilter(records=frozenset({("texts", 1, second.offset)}), partitions=frozenset({0})))
        == []
    )


def test_a_record_is_sent_again_as_it_is() -> None:
    world = World()
    world.put_aside(b"\xff\x00", partition=1)
    (found,) = world.letters.newest(LetterFilter(), 1)
    assert world.again(found) == Outgoing("texts", b"\xff\x00", b"key", (("h", b"\xff"),), 1)


def test_what_cannot_be_sent_again_says_why() -> None:
    world = World()
    world.put_aside(b"one")
    (found,) = world.letters.newest(LetterFilter(), 1)

    def refused(**change: object) -> str:
        letter = found.letter.model_copy(update=change)
        message = world.again(StoredLetter(letter, 0))
        assert isinstance(message, str)
        return message

    assert "no longer holds" in refused(offset=7)
    assert "no longer holds" in refused(partition=9)
    assert "another record" in refused(sha256="00")
    assert "could not be unpacked" in refused(first_offset=0)
    world.kafka.partition("texts", 0).records[0] = None  # compacted
    assert "no longer holds" in refused()


def test_a_letter_is_described_with_what_it_begins_with() -> None:
    world = World()
    record = world.put_aside(b"\xffabc\x1b")
    (found,) = world.letters.newest(LetterFilter(), 1)
    told = described(found)
    assert (told["record"], told["begins_with"]) == (record.coordinates, "\\xffabc\x1b")
    assert {name: told[name] for name in found.letter.model_dump(exclude_none=True)}
    assert DeadLetter.model_fields.keys() & told.keys() >= {"reason", "detail", "sha256"}


def test_times_are_iso_8601_in_utc() -> None:
    assert moment_ms(None, None, "1970-01-01T00:00:01") == 1_000  # type: ignore[arg-type]
    assert moment_ms(None, None, "1970-01-01T01:00:00+01:00") == 0  # type: ignore[arg-type]
