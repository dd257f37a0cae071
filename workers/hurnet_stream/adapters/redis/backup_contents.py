"""What a backup says, checked part by part: nothing of a file is believed.

Items must follow each other in their shard as they did in the store, row by row, and end at the shard's
watermark and its last row. An item that compaction made while the backup was taken may repeat rows of items
before it, whose place it takes (`since`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.audit import decode_audit
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.adapters.redis.opened import parse_modes
from hurnet_stream.adapters.redis.stream import decode_item
from hurnet_stream.core.formats import NewerFormat
from hurnet_stream.core.places import NUMBERS_MOST, PARTITIONS_MOST, NumberedTopic, shard_of
from hurnet_stream.core.stored.backup import Part, check_header
from hurnet_stream.core.stored.batch import (
    KEY_BYTES,
    MAX_OFFSET,
    NOTHING,
    Anchor,
    Batch,
    LogIdentity,
)
from hurnet_stream.core.stored.codec import decode_offsets
from hurnet_stream.errors import Unreadable, UpgradeNeeded
from hurnet_stream.ports import DeletionAudit

MAX_PARTITION: Final = shard_of(NUMBERS_MOST - 1, PARTITIONS_MOST - 1)
MAX_GONE: Final = 20_000_000
FIELDS: Final = frozenset(
    b"format row epoch entries vectors deletion targets by parts removed gone since".split()
)


@dataclass(slots=True)
class ShardContents:
    """A shard as the backup says it was, and how far its items have come."""

    watermark: int
    rows: int
    anchor: bytes
    floor: int
    compacted: int
    firsts: Mapping[str, int]
    modes: str = ""
    number: int = 0
    next_row: int = 0
    items: int = 0
    keys: int = 0


@dataclass(slots=True)
class Contents:
    """All that was read so far, without entries and, unless it `keeps_audits`, without audits."""

    meta: Meta | None = None
    made_ms: int = 0
    prefix: str = ""
    log: LogIdentity | None = None
    topics: Mapping[str, NumberedTopic] = field(default_factory=dict)
    contexts: Sequence[str] = ()
    shards: dict[int, ShardContents] = field(default_factory=dict)
    gone: dict[int, set[int]] = field(default_factory=dict)
    """Offsets of entries that were deleted, by shard."""
    entries: int = 0
    keeps_audits: bool = False
    audits: list[DeletionAudit] = field(default_factory=list)

    def take(self, part: Part) -> Batch | None:
        """Take in the next part; returns the batch of an item.

        Raises `UpgradeNeeded` if only a newer program can read it, `Unreadable` if it is damaged.
        """
        try:
            return self._take(part)
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error
        except UpgradeNeeded:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, Unreadable) as error:
            raise Unreadable(f"the backup is damaged: {error}") from error

    @property
    def watermarks(self) -> Mapping[int, int]:
        """Up to which offset the backup holds each shard."""
        return {partition: shard.watermark for partition, shard in self.shards.items()}

    def check_complete(self) -> None:
        """Raises `Unreadable` unless every shard has come to its last row."""
        for partition, shard in self.shards.items():
            if shard.next_row != shard.rows:
                raise Unreadable(
                    f"the backup is damaged: shard {partition} has {shard.next_row} of {shard.rows} rows"
                )

    def _take(self, part: Part) -> Batch | None:
        checks: Mapping[str, Callable[[Any], Batch | None]] = {
            "H": self._header,
            "S": self._shard,
            "G": self._gone,
            "I": self._item,
            "D": self._part,
            "K": self._keys,
            "V": self._version,
            "M": self._mix,
            "A": self._audits,
        }
        return checks[part.kind](part.content)

    def _header(self, raw: str) -> None:
        fields = stored_json.loads(raw)
        check_header(fields)
        self.made_ms, self.prefix = int(fields["made_ms"]), str(fields["prefix"])
        self.meta = Meta.parse(fields["meta"].encode(), "the backup's store")
        if fields["log"] is not None:
            log = stored_json.loads(fields["log"])
            self.log = LogIdentity(str(log["cluster"]), str(log["topic"]))
        self.topics = _topics(fields.get("topics", "{}"))  # an older backup has none
        self.contexts = [_name(name) for name in fields["contexts"]]

    def _shard(self, content: Any) -> None:
        number, watermark, rows, anchor, floor, compacted, firsts, *modes = content
        partition = _bounded(number, MAX_PARTITION)
        if partition in self.shards:
            raise ValueError(f"shard {partition} comes twice")
        if anchor:
            Anchor.decode(anchor)
        for offset in (watermark, floor, compacted):
            _bounded(offset, MAX_OFFSET, least=NOTHING)
        firsts = {_name(name): _bounded(first, MAX_OFFSET) for name, first in firsts.items()}
        raw_modes = str(modes[0]) if modes else ""
        parse_modes(raw_modes.encode())
        figures = watermark, _bounded(rows, MAX_OFFSET), anchor, floor, compacted
        self.shards[partition] = ShardContents(*figures, firsts, raw_modes)

    def _gone(self, content: Any) -> None:
        partition, packed = content
        self.gone.setdefault(_bounded(partition, MAX_PARTITION), set()).update(decode_offsets(packed))
        if sum(map(len, self.gone.values())) > MAX_GONE:
            raise ValueError(f"more than {MAX_GONE} entries were deleted while it was taken")

    def _item(self, content: Any) -> Batch:
        partition, number, fields = content
        shard, meta = self._begun(partition), self.meta
        if not isinstance(fields, dict) or not fields.keys() <= FIELDS:
            raise ValueError("an item has fields that nobody knows")
        if not shard.number < _bounded(number, MAX_OFFSET) <= shard.watermark + 1:
            raise ValueError(f"item {number} of shard {partition} stands where it can't")
        if meta is None:
            raise ValueError("an item comes before the header")
        batch, row = decode_item(partition, b"%d-0" % number, fields, meta)
        if row != shard.next_row and not (b"since" in fields and row < shard.next_row):
            raise ValueError(f"shard {partition} goes on at row {row} after {shard.next_row} rows")
        shard.number, shard.next_row, shard.items = number, row + batch.rows, shard.items + 1
        self.entries += len(batch.entries)
        return batch

    def _part(self, content: Any) -> None:
        partition, record, number, packed = content
        self._begun(partition)
        _bounded(record, MAX_OFFSET)
        _bounded(number, MAX_OFFSET)
        decode_offsets(packed)

    def _keys(self, content: Any) -> None:
        partition, members = content
        shard = self._begun(partition)
        for member in members:
            digest, context, offset = member[:KEY_BYTES], member[KEY_BYTES:-9], member[-9:]
            if len(digest) != KEY_BYTES or len(offset) != 9 or offset[:1] != b"\0":
                raise ValueError("a key is none")
            _name(context.decode())
        shard.keys += len(members)

    def _version(self, content: Any) -> None:
        name, version = content
        _name(name)
        _bounded(version, MAX_OFFSET)

    def _mix(self, content: Any) -> None:
        name, version, mix = content
        self._version([name, version])
        if not isinstance(mix, bytes | None):
            raise ValueError("a mix is no bytes")

    def _audits(self, content: Any) -> None:
        audits = [decode_audit(raw) for raw in content]
        if self.keeps_audits:
            self.audits += audits

    def _begun(self, partition: Any) -> ShardContents:
        return self.shards[_bounded(partition, MAX_PARTITION)]


def _bounded(number: Any, most: int, least: int = 0) -> int:
    if type(number) is not int or not least <= number <= most:
        raise ValueError(f"{number!r:.40} is no number from {least} to {most}")
    return number


def _topics(raw: Any) -> dict[str, NumberedTopic]:
    named = stored_json.loads(raw)
    return {
        str(name): NumberedTopic(_bounded(each["number"], NUMBERS_MOST - 1, least=1), str(each["id"]))
        for name, each in named.items()
    }


def _name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 200 or "\0" in name:
        raise ValueError(f"{name!r:.40} is no name of a context")
    return name
