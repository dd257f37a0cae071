"""The solver's checkpoint, and the weights it publishes.

P:{solver}:owner        who may write: the last to claim it
P:{solver}:checkpoint   hash: format, stamp, shards (JSON), features, pane; without a stamp there is no
                        checkpoint
P:{solver}:grams        hash: key of statistics (a context, or one pane of it) -> count and G
P:{solver}:sums:K       hash: answer -> n_a and B_a, for such a key
P:{solver}:weights:C    hash: format, version, watermarks (JSON), published_ms, certificate (JSON),
                        projection, mean, sha256 (of all the others)
P:{solver}:versions     hash: context -> version, also of weights withdrawn
P:{solver}:audit        hash: partition/offset of a deletion's record -> JSON; what is there is never changed
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final, NamedTuple

import redis

from hurnet.adapters.redis import published
from hurnet.adapters.redis.connection import Connection, guarded
from hurnet.adapters.redis.published import pack_audit, unpack_audit
from hurnet.adapters.redis.scripts import OURS
from hurnet.core.formats import CHECKPOINT, NewerFormat, check_format
from hurnet.core.solve.weights import NO_FEATURES
from hurnet.core.stored.batch import NOTHING, ShardState
from hurnet.core.stored.codec import seal, unseal
from hurnet.errors import StoreReplaced, Superseded, TransientError, Unreadable, UpgradeNeeded
from hurnet.ports import Checkpoint, DeletionAudit, OnProgress, PublishedWeights

log = logging.getLogger(__name__)

TRANSACTION_BYTES: Final = 256 << 20
"""Most that one transaction writes; servers take less than 1 GB (client-query-buffer-limit)."""
TRANSACTION_WRITES: Final = 250_000
COMMAND_WRITES: Final = 1_000
"""Fields of a hash that one command sets."""

_CLAIM: Final = (
    OURS
    + """
if ARGV[2] ~= '' and not ours(KEYS[2], ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""
)
_UNKNOWN: Final = object()
"""In place of statistics: what a save whose fate is unknown may have left under their key."""


class _Write(NamedTuple):
    """Set a hash's field, or drop it (None)."""

    key: str
    field: str
    value: bytes | None


class RedisWeightsStore:
    """`WeightsStore` (see the ports) in Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.place = connection.place
        self._client = connection.client
        self._prefix = f"{connection.prefix}:{{solver}}"
        self._meta = f"{connection.prefix}:meta"
        self._bound = connection.bound
        self.on_progress: OnProgress = lambda: None
        self._owner = ""
        self._stamps: set[str] = (
            set()
        )  # of checkpoints that hold all that the statistics have marked as saved
        self._held: dict[str, object] = {}  # the statistics in those
        self._told: set[str] = set()  # contexts whose version was said to be unreadable

    @guarded
    def claim(self, owner: str) -> None:
        keys = self._key("owner"), self._meta
        if not self._client.eval(_CLAIM, len(keys), *keys, owner, self._bound.epoch):
            raise StoreReplaced(f"{self.place} no longer holds the context whose solver this is")
        self._owner = owner

    @guarded
    def load_checkpoint(self, dimension: int, features: str = NO_FEATURES) -> Checkpoint:
        """Raises `StoreError` where it is damaged or of another dimension, `TransientError` where a save
        comes in between. The statistics are on the CPU."""
        self._stamps, self._held = set(), {}
        header = self._client.hgetall(self._key("checkpoint"))
        if b"stamp" not in header:
            return Checkpoint(features=features)
        self._check_format(header)
        stored = header.get(b"features", NO_FEATURES.encode()).decode(errors="replace")
        if stored != features:
            return Checkpoint(features=stored)
        try:
            checkpoint = self._loaded(header, dimension)
        finally:  # whatever was found then counts for nothing
            if self._client.hget(self._key("checkpoint"), "stamp") != header[b"stamp"]:
                raise TransientError("the checkpoint was saved while it was read")
        checkpoint.features, checkpoint.stamp = features, header[b"stamp"].decode(errors="replace")
        self._stamps, self._held = {checkpoint.stamp}, dict(checkpoint.statistics)
        return checkpoint

    @guarded
    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """May be repeated when its fate is unknown.

        Changes go in one transaction. Where they can't (there are too many, or a store that lost its tail
        does not hold what they are changes of), the old checkpoint is dropped and a whole one written: a
        crash on the way leaves none, never a wrong one.
        """
        stamp = secrets.token_hex(8)
        shards = json.dumps({p: [s.watermark, s.rows, s.epoch] for p, s in checkpoint.shards.items()})
        header = {
            "format": str(CHECKPOINT),
            "stamp": stamp,
            "shards": shards,
            "features": checkpoint.features,
            "pane": str(checkpoint.pane),
        }
        audit = {f"{u.partition}/{u.deletion.offset}": pack_audit(u) for u in checkpoint.unlearned}
        if not self._save_changes(checkpoint, header, audit):
            self._save_whole(checkpoint, header, audit)
        self._stamps, self._held = {stamp}, dict(checkpoint.statistics)
        for statistics in checkpoint.statistics.values():
            statistics.mark_saved()
        checkpoint.unlearned.clear()
        checkpoint.stamp = stamp

    @guarded
    def audit(self) -> Sequence[DeletionAudit]:
        """Raises `UpgradeNeeded` where newer programs wrote it, `Unreadable` where it is damaged."""
        found = dict(self._client.hscan_iter(self._key("audit"), count=COMMAND_WRITES))
        return sorted(
            self._audited(found.values()), key=lambda u: (u.done_ms, u.partition, u.deletion.offset)
        )

    @guarded
    def audit_of(self, records: Collection[tuple[int, int]]) -> Sequence[DeletionAudit]:
        """Raises as `audit` does."""
        fields = [f"{partition}/{offset}" for partition, offset in records]
        return self._audited(self._client.hmget(self._key("audit"), fields) if fields else ())

    def _audited(self, found: Iterable[bytes | None]) -> list[DeletionAudit]:
        try:
            return [unpack_audit(raw) for raw in found if raw is not None]
        except NewerFormat as error:
            raise UpgradeNeeded(f"{self._key('audit')}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(f"{self._key('audit')} is damaged ({error!r})") from error

    @guarded
    def publish(self, weights: PublishedWeights) -> None:
        """The same weights may be published again when their fate is unknown. Raises ValueError where a
        figure of the certificate is not finite."""
        key = self._key("weights", weights.context)
        fields = published.pack(weights)
        with self._fenced(key, self._key("versions")) as pipe:
            watermarks, digest = pipe.hmget(key, "watermarks", "sha256")
            if digest == fields["sha256"]:
                return
            version = pipe.hget(self._key("versions"), weights.context)
            published.check_successor(weights, version, watermarks)
            pipe.multi()
            pipe.hset(key, mapping=fields)
            pipe.hset(self._key("versions"), weights.context, str(weights.version))
            pipe.execute()

    @guarded
    def withdraw(self, context: str, version: int) -> None:
        with self._fenced(self._key("versions")) as pipe:
            last = published.number(pipe.hget(self._key("versions"), context))
            if version != last + 1:
                raise Superseded(f"weights {version} of context {context!r} can't follow {last}")
            pipe.multi()
            pipe.unlink(self._key("weights", context))
            pipe.hset(self._key("versions"), context, str(version))
            pipe.execute()

    @guarded
    def versions(self) -> Mapping[str, int]:
        """Without those that are no numbers, which the next publication replaces."""
        found = {name.decode(errors="replace"): raw for name, raw in self._hash("versions").items()}
        versions = {context: published.number(raw) for context, raw in found.items()}
        if unreadable := {context for context, version in versions.items() if not version} - self._told:
            self._told |= unreadable
            log.warning("the versions of the weights of contexts %s are not readable", sorted(unreadable))
        return {context: version for context, version in versions.items() if version}

    @guarded
    def known_by_weights(self) -> Mapping[int, int]:
        pipe = self._client.pipeline(transaction=False)
        for context in self.versions():
            pipe.hget(self._key("weights", context), "watermarks")
        known: dict[int, int] = {}
        for raw in pipe.execute():
            seen = published.watermarks_of(raw)
            known |= {p: max(w, known.get(p, NOTHING)) for p, w in seen.items()}
        return known

    @guarded
    def published_ms(self) -> Mapping[str, int]:
        contexts = list(self.versions())
        pipe = self._client.pipeline(transaction=False)
        for context in contexts:
            pipe.hget(self._key("weights", context), "published_ms")
        return dict(zip(contexts, map(published.number, pipe.execute()), strict=True))

    @guarded
    def weights(self, context: str) -> PublishedWeights | None:
        """Raises `UpgradeNeeded` where a newer program wrote them, `Unreadable` where they are damaged."""
        fields = self._hash("weights", context)
        try:
            return published.unpack(context, fields) if fields else None
        except NewerFormat as error:
            raise UpgradeNeeded(f"the weights of context {context!r}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(
                f"the stored weights of context {context!r} are damaged ({error!r}): the solver replaces them"
                " with its next solve of the context; its restart brings that about"
            ) from error

    def _check_format(self, header: Mapping[bytes, bytes]) -> None:
        try:
            check_format("the solver's checkpoint", int(header.get(b"format", b"1")), CHECKPOINT)
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error
        except ValueError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> Unreadable:
        return Unreadable(
            f"the solver's checkpoint is damaged ({error}): delete {self._key('checkpoint')}, and the solver"
            " will learn again from the context, which loses nothing"
        )

    def _loaded(self, header: Mapping[bytes, bytes], dimension: int) -> Checkpoint:
        from hurnet.core.statistics.statistics import Statistics

        checkpoint = Checkpoint()
        try:
            for partition, state in json.loads(header[b"shards"]).items():
                watermark, rows, epoch = state
                checkpoint.shards[int(partition)] = ShardState(watermark, rows, epoch)
            checkpoint.pane = int(header.get(b"pane", 0))
            for name in self._client.hkeys(self._key("grams")):
                gram = self._client.hget(self._key("grams"), name) or b""
                sums = {answer.decode(): unseal(s) for answer, s in self._sums(name.decode())}
                statistics = Statistics.unpack(unseal(gram), sums.items())
                self.on_progress()
                if statistics.dimension != dimension:
                    raise ValueError(f"dimension {statistics.dimension}, not {dimension}")
                checkpoint.statistics[name.decode()] = statistics
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error
        return checkpoint

    def _sums(self, key: str) -> Iterator[tuple[bytes, bytes]]:
        """Some may come twice."""
        cursor = None
        while cursor != 0:
            cursor, found = self._client.hscan(self._key("sums", key), cursor or 0, count=COMMAND_WRITES)
            yield from found.items()
            self.on_progress()

    def _save_changes(
        self, checkpoint: Checkpoint, header: Mapping[str, str], audit: Mapping[str, str]
    ) -> bool:
        """False where changes won't do."""
        now = checkpoint.statistics
        stale = [key for key in {*self._held, *now} if self._held.get(key) is not now.get(key)]
        writes = list(self._writes(checkpoint, whole=False))
        if len(list(_transactions(writes))) > 1:
            return False
        with self._fenced(self._key("checkpoint")) as pipe:
            stamp = pipe.hget(self._key("checkpoint"), "stamp")
            if stamp is None or stamp.decode(errors="replace") not in self._stamps:
                return False
            self._stamps.add(header["stamp"])  # should this one's fate remain unknown, the next may follow it
            self._held |= dict.fromkeys(stale, _UNKNOWN)
            pipe.multi()
            for key in stale:
                pipe.hdel(self._key("grams"), key)
                pipe.unlink(self._key("sums", key))
            _put(pipe, writes)
            self._finish(pipe, header, audit)
        return True

    def _finish(self, pipe: Any, header: Mapping[str, str], audit: Mapping[str, str]) -> None:
        """The last transaction of a checkpoint: from here on it counts."""
        pipe.hset(self._key("checkpoint"), mapping=header)
        for record, said in audit.items():
            pipe.hsetnx(self._key("audit"), record, said)
        pipe.execute()

    def _save_whole(
        self,
        checkpoint: Checkpoint,
        header: Mapping[str, str],
        audit: Mapping[str, str],
    ) -> None:
        with self._fenced(self._key("checkpoint")) as pipe:
            stale = [
                self._key("sums", name.decode(errors="replace")) for name in pipe.hkeys(self._key("grams"))
            ]
            pipe.multi()
            pipe.unlink(self._key("checkpoint"), self._key("grams"), *stale)
            # Changes the key that every transaction watches: what an earlier try has under way will fail.
            pipe.hset(self._key("checkpoint"), "draft", header["stamp"])
            pipe.execute()
        for writes in _transactions(self._writes(checkpoint, whole=True)):
            with self._fenced(self._key("checkpoint")) as pipe:
                pipe.multi()
                _put(pipe, writes)
                pipe.execute()
            self.on_progress()
        self._stamps = {header["stamp"]}
        self._held = dict.fromkeys(checkpoint.statistics, _UNKNOWN)
        with self._fenced(self._key("checkpoint")) as pipe:
            pipe.multi()
            pipe.hdel(self._key("checkpoint"), "draft")
            self._finish(pipe, header, audit)

    def _writes(self, checkpoint: Checkpoint, whole: bool) -> Iterator[_Write]:
        for key, statistics in checkpoint.statistics.items():
            new = whole or self._held.get(key) is not statistics
            answers = statistics.sums.keys() if new else statistics.changed
            if new or answers:
                yield _Write(self._key("grams"), key, seal(statistics.pack_gram()))
            for answer in answers:
                value = seal(statistics.pack_sum(answer)) if answer in statistics.sums else None
                yield _Write(self._key("sums", key), answer, value)

    @contextmanager
    def _fenced(self, *keys: str) -> Iterator[Any]:
        """A transaction that does nothing once another has claimed, or has written to `keys`."""
        with self._client.pipeline() as pipe:
            try:
                pipe.watch(self._key("owner"), *keys)
                self._check_owner(pipe.get(self._key("owner")))
                yield pipe
            except redis.WatchError as error:
                raise TransientError(
                    f"{self.place}: another write, or a lost connection, came in between"
                ) from error

    def _check_owner(self, holder: bytes | None) -> None:
        if holder is None:
            raise StoreReplaced(f"{self.place} knows no solver any more: it was restored or emptied")
        if holder != self._owner.encode():
            now = holder.decode(errors="replace")
            raise Superseded(f"the solver's role belongs to {now!r}, no longer to {self._owner!r}")

    def _hash(self, *names: str) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self._client.hgetall(self._key(*names))
        return found

    def _key(self, *names: str) -> str:
        return ":".join([self._prefix, *names])


def _transactions(writes: Iterable[_Write]) -> Iterator[list[_Write]]:
    part: list[_Write] = []
    size = 0
    for write in writes:
        part.append(write)
        size += len(write.field) + len(write.value or b"")
        if size >= TRANSACTION_BYTES or len(part) >= TRANSACTION_WRITES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _put(pipe: Any, writes: Sequence[_Write]) -> None:
    for key, group in groupby(writes, key=lambda write: write.key):
        fields = list(group)
        for start in range(0, len(fields), COMMAND_WRITES):
            part = fields[start : start + COMMAND_WRITES]
            if new := {write.field: write.value for write in part if write.value is not None}:
                pipe.hset(key, mapping=new)
            if gone := [write.field for write in part if write.value is None]:
                pipe.hdel(key, *gone)
