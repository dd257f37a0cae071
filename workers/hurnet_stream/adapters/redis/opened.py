"""The store as this process opened it, and whether the server still holds that very store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import redis

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.meta import Meta, described, same_vectors
from hurnet_stream.adapters.redis.stream import Item, decode_item
from hurnet_stream.core.places import NumberedTopic
from hurnet_stream.core.stored.batch import (
    APPEND,
    NOTHING,
    UPSERT,
    Anchor,
    Batch,
    EmbedderIdentity,
    LogIdentity,
    ShardState,
)
from hurnet_stream.errors import (
    EmbedderMismatch,
    SegmentMissing,
    StoreError,
    StoreReplaced,
    Unreadable,
)

LOST_SEGMENT: Final = (
    "bring the file back, or set HURNET_SEGMENTS_URL to where the solver puts segments. If it is lost,"
    " restore the store from a backup, or set HURNET_REDIS_PREFIX to a new name for all workers, and a store"
    " is filled from Kafka beside this one, as far as Kafka holds the texts"
)
T = TypeVar("T")

STATE_FIELDS: Final = ("watermark", "rows", "epoch", "anchor", "floor", "modes")


class OpenedStore:
    """What the parts of `RedisEntryStore` share: the connection, the keys and the meta.

    The meta is read once and kept. Whoever reads or writes asks the server for it again in the same round
    trip and calls `recheck`, so that nothing is believed of a store that was emptied or begun anew.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.client = connection.client
        self.keys = connection.keys
        self._meta: Meta | None = None

    def open(self, identity: EmbedderIdentity, writing: bool) -> None:
        """See `EntryStore.open`."""
        stored = self._stored_or_begun(identity)
        if not same_vectors(stored.identity, identity):
            raise EmbedderMismatch(
                f"the store {self.keys.prefix!r} was made by {described(stored.identity)}, and this is"
                f" {described(identity)}: use that embedder, or another HURNET_REDIS_PREFIX for another store"
            )
        if writing:
            stored.check_writer()
        self._use(stored)

    def identity(self) -> EmbedderIdentity | None:
        raw = self.client.get(self.keys.meta)
        if self._meta is None and isinstance(raw, bytes):
            self._use(Meta.parse(raw, self.keys.meta))
        self.recheck_if_opened(raw)
        return self._meta.identity if self._meta else None

    @property
    def meta(self) -> Meta:
        """The meta, which is read if it was not before. Raises `StoreError` if there is no store."""
        if self._meta is None:
            raw = self.client.get(self.keys.meta)
            if not isinstance(raw, bytes):
                server_name = self.connection.server_name
                raise StoreError(f"there is no store {self.keys.prefix!r} at {server_name} yet")
            return self._use(Meta.parse(raw, self.keys.meta))
        return self._meta

    def must_exist(self) -> None:
        """Raises `StoreError` if there is no store yet."""
        _ = self.meta

    def recheck(self, raw: Any, partition: int | None = None) -> Meta:
        """Compare the meta with `raw`, which was just read from its key. Returns the meta as it is now.

        Raises `StoreReplaced` if the store is another one, `UpgradeNeeded` if it is for newer programs now.
        """
        known = self.meta
        if raw == known.raw:
            return known  # nearly always: no JSON is parsed for it
        now = Meta.parse(raw, self.keys.meta) if isinstance(raw, bytes) else None
        if now is None or now.epoch != known.epoch:
            raise self.replaced(partition)
        return self._use(now)

    def raise_format(self, to: int) -> None:
        """From now on programs that do not speak this format say that they must be upgraded.

        Raises `StoreReplaced` if it is another store.
        """
        while (now := self.recheck(self.client.get(self.keys.meta))).min_reader < to or now.min_writer < to:
            with self.client.pipeline() as pipe:
                try:
                    pipe.watch(self.keys.meta)
                    if pipe.get(self.keys.meta) == now.raw:
                        pipe.multi()
                        pipe.set(self.keys.meta, now.raised(to).raw)
                        pipe.execute()
                except redis.WatchError:
                    continue  # somebody else changed it

    def adopt_key_check(self, key_check: str) -> None:
        """Have digests of keys under this secret, if the store is empty and has none yet. The meta then says
        under which."""
        self._adopt(lambda meta: meta if meta.key_check else meta.under_key_check(key_check))

    def adopt_redaction(self, rules: str) -> None:
        """Have texts redacted by these rules, if the store is empty and has none yet. The meta then says by
        which."""
        self._adopt(lambda meta: meta if meta.redaction else meta.under_redaction(rules))

    def adopt_keys_mode(self, mode: str) -> None:
        """Have keyed texts taken in like that unless a setting says it, if the store is empty."""
        self._adopt(lambda meta: meta if meta.keys == mode else meta.with_keys(mode))

    def _adopt(self, adopted: Callable[[Meta], Meta]) -> None:
        meta, shards = self.keys.meta, self.keys.shards
        while (now := self.recheck(self.client.get(meta))) is not (then := adopted(now)):
            with self.client.pipeline() as pipe:
                try:
                    pipe.watch(meta, shards)
                    if pipe.scard(shards):
                        return  # what was written without it is there
                    if pipe.get(meta) == now.raw:
                        pipe.multi()
                        pipe.set(meta, then.raw)
                        pipe.execute()
                except redis.WatchError:
                    continue  # somebody else changed it

    def recheck_if_opened(self, raw: Any) -> None:
        """As `recheck`; does nothing if no store was opened or read before."""
        if self._meta is not None:
            self.recheck(raw)

    def run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script. Raises `StoreReplaced` if it returns nil: the store is not ours."""
        reply = self.client.eval(script, len(keys), *keys, *arguments)
        if reply is None:
            raise self.replaced()
        return reply

    def decode(self, partition: int, item: Item) -> tuple[Batch, int]:
        """The batch of an item, and the number of its first row. Raises as `decode_item` does."""
        return decode_item(partition, *item, self.meta, self.connection.segments)

    def twice(self, read: Callable[[], T]) -> T:
        """What `read` reads. If a segment is missing, its rows may just have moved to another file: what
        names it is read once more."""
        try:
            return read()
        except SegmentMissing:
            pass
        try:
            return read()
        except SegmentMissing as error:
            raise Unreadable(
                f"{error}, and the store {self.keys.prefix!r} names it: {LOST_SEGMENT}"
            ) from error

    def replaced(self, partition: int | None = None) -> StoreReplaced:
        what = "the store" if partition is None else f"shard {partition} of the store"
        return StoreReplaced(
            f"{what} {self.keys.prefix!r} at {self.connection.server_name} is not the one that was opened"
            " here: it was deleted or begun anew, or another server took this address. What was read of it"
            " no longer counts"
        )

    def parse_log(self, raw: Any) -> LogIdentity | None:
        """The log in `raw`. Raises `ForeignLog` if it is of another cluster than this process met before."""
        if raw is None:
            return None
        try:
            fields = stored_json.loads(raw)
            log = LogIdentity(str(fields["cluster"]), str(fields["topic"]))
        except (ValueError, TypeError, KeyError) as error:
            raise Unreadable(f"{self.keys.log} is not readable: {error!r}") from error
        self.connection.bound.meet(log.cluster)
        return log

    def parse_topics(self, raw: Any) -> Mapping[str, NumberedTopic]:
        """The topics beside that of texts, by name."""
        try:
            named = stored_json.loads(raw) if raw is not None else {}
            return {
                str(name): NumberedTopic(int(each["number"]), str(each["id"])) for name, each in named.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unreadable(f"{self.keys.topics} is not readable: {error!r}") from error

    def parse_state(self, partition: int, fields: Sequence[Any]) -> ShardState:
        """A shard's state from the values of `STATE_FIELDS`; scripts give the first three alone."""
        watermark, rows, epoch, anchor, floor, modes = (*fields, None, None, None)[:6]
        try:
            state = ShardState(
                int(watermark or NOTHING),
                int(rows or 0),
                (epoch or b"").decode(),
                Anchor.decode(anchor) if anchor else None,
                int(NOTHING if floor is None else floor),
                parse_modes(modes or b""),
            )
        except ValueError as error:
            raise StoreError(f"{self.keys.shard(partition, 'state')} is corrupt: {error}") from error
        # A shard without an epoch has not begun. One with another epoch is left of a store that was deleted.
        if self._meta and state.epoch not in ("", self._meta.epoch):
            if self.connection.is_cluster:  # its slot may be all that is left of it: a writer puts it aside
                return ShardState()
            raise self.replaced(partition)
        return state

    def parse_partitions(self, members: Iterable[Any]) -> list[int]:
        """Partitions, ascending, from the members of `shards`."""
        try:
            return sorted(int(member) for member in members)
        except ValueError as error:
            raise StoreError(f"{self.keys.shards} is corrupt: {error}") from error

    def _stored_or_begun(self, identity: EmbedderIdentity) -> Meta:
        """The store's meta. If there is none, the store is begun with `identity`."""
        key = self.keys.meta
        # The shards are asked for first, because a store is begun before its first shard. In the other order,
        # a store that is begun between the two questions would look like one that has lost its meta.
        shards, raw = self.client.pipeline(transaction=False).scard(self.keys.shards).get(key).execute()
        if raw is None and shards:
            raise StoreError(
                f"{key} at {self.connection.server_name} is gone but its shards are not. Nothing was changed:"
                " restore that key from a backup, or set HURNET_REDIS_PREFIX to a new name and let another"
                " store be filled from Kafka"
            )
        if raw is None:
            self.client.setnx(
                key, Meta.begin(identity).raw
            )  # if two processes begin it at once, one succeeds
            raw = self.client.get(key)
        return Meta.parse(raw, key)

    def _use(self, meta: Meta) -> Meta:
        self._meta = meta
        self.connection.bound.epoch = meta.epoch
        return meta


def parse_modes(raw: bytes) -> tuple[tuple[int, str], ...]:
    """From which position on keyed texts were taken in how, from "0:append 4711:upsert".

    Raises ValueError for anything else.
    """
    parts = [part.partition(":") for part in raw.decode().split()]
    if any(mode not in (UPSERT, APPEND) for _, _, mode in parts):
        raise ValueError(f"keyed texts were taken in as {raw[:100]!r}")
    return tuple((int(since), mode) for since, _, mode in parts)


def encode_modes(modes: Iterable[tuple[int, str]]) -> str:
    """What `parse_modes` reads."""
    return " ".join(f"{since}:{mode}" for since, mode in modes)
