"""What kafka-python's fetcher makes of hostile batches once its unpacking is ours: it always comes back, each
offset is told once, in order, and nobody loses a neighbour."""

from __future__ import annotations

import collections
import gzip
import random
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from crc32c import crc32c
from kafka import TopicPartition
from kafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.structs import OffsetAndMetadata

from hurnet_schemas import DeadLetter
from hurnet_stream.adapters.kafka.reading import fetching
from hurnet_stream.adapters.kafka.unpacking.batches import MAX_RECORDS
from hurnet_stream.adapters.kafka.unpacking.records import MAX_RECORD_BYTES
from hurnet_stream.dead_letters import dead_letter
from hurnet_stream.ports import Record
from hurnet_stream.records import parse_record
from hurnet_stream.responder.pending_queries import PendingQueries

AT = TopicPartition("texts", 0)
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
PACK: dict[int, Callable[[bytes], bytes]] = {
    GZIP: gzip_encode,
    SNAPPY: snappy_encode,
    LZ4: lz4_encode,
    ZSTD: zstd_encode,
}
HEAD = struct.Struct(">qiibIhiqqqhii")


def sealed(raw: bytearray, base: int) -> bytes:
    """With the checksum and the length that belong to it."""
    struct.pack_into(">q", raw, 0, base)
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">I", raw, 17, crc32c(bytes(raw[21:])))
    return bytes(raw)


def built(values: Sequence[bytes], headers: Sequence[Any] = (), timestamp: int = 5) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 30)
    for n, value in enumerate(values):
        builder.append(n, timestamp, b"key", value, list(headers))
    return bytearray(builder.build())


def batch(*values: bytes, base: int = 0) -> bytes:
    return sealed(built(values), base)


def with_field(raw: bytes, place: str, at: int, value: int, base: int) -> bytes:
    changed = bytearray(raw)
    struct.pack_into(place, changed, at, value)
    return sealed(changed, base)


def claiming(raw: bytes, count: int | None = None, delta: int | None = None) -> bytes:
    base = struct.unpack_from(">q", raw)[0]
    if count is not None:
        raw = with_field(raw, ">i", 57, count, base)
    return raw if delta is None else with_field(raw, ">i", 23, delta, base)


def compressed(raw: bytes, codec: int, body: bytes | None = None) -> bytes:
    packed = PACK[codec](raw[HEAD.size :]) if body is None else body
    changed = bytearray(raw[: HEAD.size] + packed)
    struct.pack_into(">h", changed, 21, codec)
    return sealed(changed, struct.unpack_from(">q", raw)[0])


def renamed(base: int, *values: bytes, bad: int) -> bytes:
    """A header of each record has a name that is not UTF-8 in record `bad`."""
    raw = built(values, [("name", b"x")])
    at = -1
    for _ in range(bad + 1):
        at = raw.index(b"name", at + 1)
    raw[at : at + 4] = b"\xff\xfe\xfdd"
    return sealed(raw, base)


def damaged(raw: bytes) -> bytes:
    changed = bytearray(raw)
    changed[-1] ^= 0xFF
    return bytes(changed)


class Topic:
    """A consumer over one partition whose broker sends `fetches`, one after another, the last one again and
    again; the fetcher is kafka-python's own."""

    def __init__(self, *fetches: bytes, position: int = 0, end: int = 10_000) -> None:
        self.fetches = list(fetches)
        self.state = SimpleNamespace(position=OffsetAndMetadata(position, "", -1), highwater=end)
        self.assignment = {AT: self.state}
        self.paused: set[Any] = set()
        self._subscription = self
        self._fetcher = self.fetcher = Fetcher.__new__(Fetcher)
        self.fetcher.config = dict(Fetcher.DEFAULT_CONFIG)
        self.fetcher._subscriptions = self
        self.fetcher._sensors = None
        self.fetcher._completed_fetches = collections.deque()
        self.fetcher._paused_completed_fetches = {}
        self.fetcher._paused_partition_records = {}
        self.fetcher._next_in_line_exception_metadata = None
        self.fetcher._next_partition_records = None
        fetching.install(self)

    def is_fetchable(self, _at: Any) -> bool:
        return True

    is_assigned = is_fetchable

    def is_paused(self, at: Any) -> bool:
        return at in self.paused

    def move_partition_to_end(self, _at: Any) -> None: ...

    def poll(self, most: int = 256, aborted: Any = None) -> list[Record]:
        if not self.fetcher._next_partition_records and not self.fetcher._paused_partition_records:
            fetched = self.fetches.pop(0) if len(self.fetches) > 1 else self.fetches[0]
            self.fetcher._next_partition_records = self.fetcher.PartitionRecords(
                self.state.position.offset,
                AT,
                MemoryRecords(fetched),
                isolation_level=IsolationLevel.READ_COMMITTED,
                aborted_transactions=aborted,
                on_drain=lambda _: None,
            )
        records: list[Record] = self.fetcher.fetched_records(most)[0].get(AT, [])
        return records

    @property
    def position(self) -> int:
        return int(self.state.position.offset)

    def all(self, end: int, polls: int = 40, aborted: Any = None) -> list[Record]:
        found: list[Record] = []
        for _ in range(polls):
            if self.position >= end:
                return found
            found += self.poll(aborted=aborted)
        raise AssertionError(f"stuck at {self.position}")


def told(records: Sequence[Record]) -> list[tuple[int, int, bytes | str]]:
    """(first offset, last offset, value or reason)."""
    return [
        (r.fault.first, r.offset, r.fault.reason) if r.fault else (r.offset, r.offset, r.value or b"")
        for r in records
    ]


GOOD = [(0, 0, b"a"), (1, 1, b"b")]
BEHIND = [(5, 5, b"z")]


def between(*bad: bytes) -> bytes:
    """Bad batches at offset 2 and following, between two good ones."""
    return batch(b"a", b"b") + b"".join(bad) + batch(b"z", base=5)


@pytest.mark.parametrize("codec", PACK)
def test_all_codecs_are_read(codec: int) -> None:
    raw = compressed(batch(*[b"value %d" % n for n in range(300)], base=7), codec)
    found = Topic(raw, position=10).all(307)
    assert [(r.offset, r.value, r.key, r.timestamp_ms) for r in found] == [
        (7 + n, b"value %d" % n, b"key", 5) for n in range(3, 300)
    ]


@pytest.mark.parametrize("codec", PACK)
def test_a_bomb_is_put_aside_without_being_unpacked(codec: int) -> None:
    body = batch(bytes(1 << 20), base=2)[HEAD.size :]
    packed = PACK[codec](body * 64 if codec != GZIP else body)
    if codec == GZIP:
        packed = gzip.compress(bytes(1 << 28))
    bomb = claiming(compressed(batch(b"x", b"y", b"w", base=2), codec, packed))
    topic = Topic(between(bomb))
    tracemalloc.start()
    found = topic.all(6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told(found) == [*GOOD, (2, 4, "too-large"), *BEHIND]
    assert peak < fetching.MAX_BATCH_BYTES * 1.5


def test_a_batch_of_countless_records_is_put_aside() -> None:
    raw = claiming(compressed(batch(b"", base=2), ZSTD), MAX_RECORDS + 1, 2)
    assert told(Topic(between(raw)).all(6)) == [*GOOD, (2, 4, "too-large"), *BEHIND]


BAD_BATCHES = {
    "an unknown codec": claiming(compressed(batch(b"x", base=2), 5, b"?"), delta=2),
    "no gzip": claiming(compressed(batch(b"x", base=2), GZIP, b"this is no gzip"), delta=2),
    "gzip cut off": claiming(compressed(batch(b"x", base=2), GZIP, gzip_encode(b"y" * 999)[:-9]), delta=2),
    "lz4 cut off": claiming(compressed(batch(b"x", base=2), LZ4, lz4_encode(b"y" * 999)[:-9]), delta=2),
    "zstd cut off": claiming(compressed(batch(b"x", base=2), ZSTD, zstd_encode(b"y" * 999)[:-3]), delta=2),
    "snappy that lies about its size": claiming(
        compressed(batch(b"x", base=2), SNAPPY, b"\xff\x7fjunk"), delta=2
    ),
    "snappy blocks that lie about theirs": claiming(
        compressed(batch(b"x", base=2), SNAPPY, b"\x82SNAPPY\0\0\0\0\1\0\0\0\1\x7f\xff\xff\xff"), delta=2
    ),
    "a bad checksum": damaged(claiming(batch(b"x", base=2), delta=2)),
    "a record length beyond the batch": with_field(
        claiming(batch(b"x", base=2), delta=2), ">H", HEAD.size, 0xFEFF, 2
    ),
    "a record length of nought": with_field(claiming(batch(b"x", base=2), delta=2), ">B", HEAD.size, 0, 2),
    "a length that never ends": claiming(
        sealed(bytearray(batch(b"x", base=2)[: HEAD.size]) + b"\xff" * 40, 2), delta=2
    ),
    "no record": claiming(sealed(bytearray(batch(b"x", base=2)[: HEAD.size]), 2), 3, 2),
    "a negative count": claiming(batch(b"x", base=2), -5, 2),
}


@pytest.mark.parametrize("name", BAD_BATCHES)
def test_a_batch_that_cannot_be_read_is_passed(name: str) -> None:
    found = Topic(between(BAD_BATCHES[name])).all(6)
    assert told(found) == [*GOOD, (2, 4, "unreadable"), *BEHIND]


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_header_name_that_is_not_utf8_costs_nobody_anything(bad: int) -> None:
    found = Topic(between(renamed(2, b"k", b"l", b"m", bad=bad))).all(6)
    assert told(found) == [*GOOD, (2, 2, b"k"), (3, 3, b"l"), (4, 4, b"m"), *BEHIND]
    assert found[2 + bad].headers == (("\\xff\\xfe\\xfdd", b"x"),)


def test_a_bad_record_costs_its_neighbours_nothing() -> None:
    """Its key claims to be longer than it is."""
    raw = batch(b"k", b"l", b"m", base=2)
    second = HEAD.size + (len(raw) - HEAD.size) // 3
    found = Topic(between(with_field(raw, ">B", second + 4, 0x7E, 2))).all(6)
    assert told(found) == [*GOOD, (2, 2, b"k"), (3, 3, "unreadable"), (4, 4, b"m"), *BEHIND]


@pytest.mark.parametrize(
    ("count", "delta", "expected"),
    [
        (2, 2, [(2, 2, b"k"), (3, 3, b"l"), (4, 4, "unreadable")]),
        (9, 2, [(2, 2, b"k"), (3, 3, b"l"), (4, 4, b"m")]),
        (2, 1, [(2, 2, b"k"), (3, 3, b"l")]),
    ],
)
def test_counts_that_lie(count: int, delta: int, expected: list[Any]) -> None:
    raw = claiming(batch(b"k", b"l", b"m", base=2), count, delta)
    assert told(Topic(between(raw)).all(6)) == [*GOOD, *expected, *BEHIND]


def test_offsets_that_go_back_never_come_twice() -> None:
    """Each record says that it is the first of its batch."""
    one = batch(b"k", base=2)
    raw = sealed(bytearray(one + one[HEAD.size :] + one[HEAD.size :]), 2)
    found = Topic(between(claiming(raw, 3, 2))).all(6)
    assert told(found) == [*GOOD, (2, 2, b"k"), (3, 3, "unreadable"), (4, 4, "unreadable"), *BEHIND]


def test_a_compacted_batch_has_gaps_and_no_faults() -> None:
    assert told(Topic(between(claiming(batch(b"k", base=2), delta=2))).all(6)) == [
        *GOOD,
        (2, 2, b"k"),
        *BEHIND,
    ]


def test_a_record_larger_than_any_message_is_put_aside_by_itself() -> None:
    raw = compressed(batch(b"k", b"x" * MAX_RECORD_BYTES, b"m", base=2), GZIP)
    found = Topic(between(raw)).all(6)
    assert told(found) == [*GOOD, (2, 2, b"k"), (3, 3, "too-long"), (4, 4, b"m"), *BEHIND]
    assert found[3].fault
    assert found[3].fault.size == MAX_RECORD_BYTES
    assert found[3].key == b"key"


def test_timestamps_stay_in_64_bits() -> None:
    raw = sealed(built([b"a", b"b"], timestamp=2**63 - 1), 0)
    raw = with_field(raw, ">q", 27, 2**63 - 1, 0)
    assert {r.timestamp_ms for r in Topic(raw).all(2)} == {2**63 - 1}


def test_damage_on_the_way_is_mended_by_fetching_again() -> None:
    sound = between(batch(b"k", b"l", b"m", base=2))
    hurt = between(damaged(batch(b"k", b"l", b"m", base=2)))
    found = Topic(hurt, hurt, sound).all(6)
    assert told(found) == [*GOOD, (2, 2, b"k"), (3, 3, b"l"), (4, 4, b"m"), *BEHIND]


def test_a_damaged_header_takes_nothing_with_it() -> None:
    """Without the checksum the last offset can't be believed: it ends where the next batch begins."""
    raw = bytearray(batch(b"k", b"l", b"m", base=2))
    struct.pack_into(">i", raw, 23, 1_000_000)
    assert told(Topic(between(bytes(raw))).all(6)) == [*GOOD, (2, 4, "unreadable"), *BEHIND]
    assert told(Topic(bytes(raw), position=2, end=4).all(4)) == [(2, 3, "unreadable")]
    astray = bytearray(batch(b"k", b"l", b"m", base=2))
    struct.pack_into(">q", astray, 0, 1 << 40)
    assert told(Topic(between(bytes(astray))).all(6)) == [*GOOD, (2, 4, "unreadable"), *BEHIND]


@pytest.mark.parametrize("end", range(4))
def test_batches_that_are_newer_than_the_end_that_came_with_them_are_read_at_once(
    end: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker notes the end before it reads: 23 of 11,841 fetches were like this while texts came in."""
    topic = Topic(batch(b"k") + batch(b"l", b"m", base=1), end=end)
    assert told(topic.poll()) == [(0, 0, b"k"), (1, 1, b"l"), (2, 2, b"m")]
    assert topic.position == 3
    assert not caplog.records


def test_a_batch_that_begins_beyond_the_end_and_not_where_we_are_is_fetched_again() -> None:
    """Its checksum does not cover where it begins."""
    sound = batch(b"k", b"l", base=2)
    astray = bytearray(sound)
    struct.pack_into(">q", astray, 0, 1 << 40)
    assert told(Topic(bytes(astray), sound, position=2, end=4).all(4)) == [(2, 2, b"k"), (3, 3, b"l")]
    assert told(Topic(bytes(astray), position=2, end=4).all(4)) == [(2, 3, "unreadable")]


@pytest.mark.parametrize("length", [-12, -1, 0, 3])
def test_a_batch_without_an_end_moves_on(length: int) -> None:
    raw = bytearray(batch(b"k", base=0))
    struct.pack_into(">i", raw, 8, length)
    topic = Topic(bytes(raw) * 3)
    assert told([record for _ in range(8) for record in topic.poll()][:2]) == [
        (0, 0, "unreadable"),
        (1, 1, "unreadable"),
    ]


def of(producer: int, raw: bytes, attributes: int) -> bytes:
    base = struct.unpack_from(">q", raw)[0]
    return with_field(with_field(raw, ">q", 43, producer, base), ">h", 21, attributes, base)


def marker(base: int, kind: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    builder.append(0, 5, struct.pack(">hh", 0, kind), b"\0\0", [])
    return of(7, sealed(bytearray(builder.build()), base), 0x30)


def test_markers_and_aborted_records_are_left_out() -> None:
    raw = b"".join(
        [
            of(7, batch(b"a", base=0), 0x10),
            marker(1, 0),
            of(7, batch(b"b", base=2), 0x10),
            marker(3, 1),
            of(8, batch(b"c", base=4), 0x10),
        ]
    )
    topic = Topic(raw)
    first = [SimpleNamespace(first_offset=0, producer_id=7)]
    found = topic.poll(aborted=first)
    assert (told(found), topic.position) == ([(2, 2, b"b"), (4, 4, b"c")], 5)


@pytest.mark.parametrize(
    ("last", "epoch"),
    [
        (batch(b"b", base=1), 4),
        (marker(1, 1), 4),
        (of(7, batch(b"b", base=1), 0x10), 4),
        (renamed(1, b"b", bad=0), 4),
        (damaged(batch(b"b", base=1)), -1),  # not known: no log is held against it
    ],
    ids=["shown", "marker", "aborted", "unreadable", "damaged"],
)
def test_the_position_has_the_epoch_of_the_batch_before_it_whether_that_is_shown_or_not(
    last: bytes, epoch: int
) -> None:
    """The checksum does not cover the epoch."""
    raw = bytearray(last)
    struct.pack_into(">i", raw, 12, 4)
    earlier = bytearray(batch(b"a"))
    struct.pack_into(">i", earlier, 12, 3)
    topic = Topic(bytes(earlier + raw))
    topic.all(2, aborted=[SimpleNamespace(first_offset=1, producer_id=7)])
    assert (topic.position, topic.state.position.leader_epoch) == (2, epoch)


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY])
def test_old_formats_are_read(magic: int, codec: int) -> None:
    builder = MemoryRecordsBuilder(magic, codec, 1 << 20)
    for n in range(3):
        builder.append(5, b"key", b"%d" * 50 % ((n,) * 50))
    builder.close()
    raw = bytearray(builder.buffer())
    if codec:
        struct.pack_into(">q", raw, 0, 2)  # as a broker does: the offset of the last
    found = Topic(bytes(raw)).all(3)
    assert [(r.offset, r.key, r.value) for r in found] == [(n, b"key", b"%d" % n * 50) for n in range(3)]


def test_records_come_in_pieces() -> None:
    topic = Topic(compressed(batch(*[b"%d" % n for n in range(1_000)]), ZSTD))
    assert [len(topic.poll(300)) for _ in range(4)] == [300, 300, 300, 100]
    assert topic.position == 1_000


def test_a_partition_that_was_paused_half_read_goes_on() -> None:
    """Another partition's records come and end meanwhile."""
    topic = Topic(batch(b"a", b"b"))
    assert told(topic.poll(1)) == [(0, 0, b"a")]
    other = TopicPartition("texts", 1)
    topic.assignment[other] = SimpleNamespace(position=OffsetAndMetadata(0, "", -1), highwater=9)
    topic.paused = {AT}
    topic.poll()
    topic.fetcher._next_partition_records = topic.fetcher.PartitionRecords(
        0, other, MemoryRecords(batch(b"y")), on_drain=lambda _: None
    )
    assert list(topic.fetcher.fetched_records(9)[0]) == [other]
    topic.fetcher.fetched_records(9)
    topic.paused = set()
    assert told(topic.poll()) == [(1, 1, b"b")]


def test_a_fault_is_no_tombstone_and_names_its_range() -> None:
    record = Topic(batch(b"a", b"b") + BAD_BATCHES["no gzip"]).all(5)[-1]
    with pytest.raises(ValueError, match="unreadable"):
        parse_record(record)
    queries = PendingQueries(5.0)
    queries.add([record], 0.0)
    (pending,) = queries.take({}, 0.0, 1)
    assert pending.rejection
    assert pending.rejection[0] == "unreadable"
    assert record.fault
    letter = DeadLetter.decode(dead_letter("d", "w", record, *pending.rejection).value)
    assert (letter.first_offset, letter.offset, letter.size) == (2, 4, record.fault.size)
    assert letter.sha256 == record.fault.sha256


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_bytes_it_comes_back_and_goes_on(seed: int) -> None:
    """Mutated batches, half of them with a checksum that fits: every poll ends, offsets only rise."""
    chance = random.Random(seed)
    for _ in range(100):
        raw = bytearray(renamed(2, b"k" * chance.randrange(99), b"l", b"m", bad=1))
        if codec := chance.choice([0, *PACK]):
            raw = bytearray(compressed(bytes(raw), codec))
        for _ in range(chance.randrange(1, 4)):
            raw[chance.randrange(12, len(raw))] = chance.randrange(256)
        hurt = sealed(raw, 2) if chance.random() < 0.5 else bytes(raw)
        topic = Topic(between(hurt), end=6)
        offsets = [record.offset for record in topic.all(6, polls=60)]
        assert offsets == sorted(set(offsets))
        assert {0, 1, 5} <= set(offsets)
