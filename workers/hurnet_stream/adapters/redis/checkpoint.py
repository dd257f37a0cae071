"""The solver's checkpoint: loaded whole, saved by what changed.

A checkpoint is many answers (one n_a and B_a each), and few of them change between two saves. So a save
writes only these, in one transaction:

    stored      stamp 7f   sums of faq: yes, no, maybe
    in memory   loaded as 7f; "no" changed, "never" is new, "maybe" was deleted
    save        only if the stored stamp is still 7f:  set no, never; delete maybe; stamp := a3

What is stored is the base of these changes only if its stamp is one that this process loaded or saved
itself. If it is not (the store lost its tail in a failover), or if the changes are too many for one
transaction, the old checkpoint is dropped and a whole one written, in several transactions:

    1. drop everything; a `draft` field remains, no stamp       a crash from here on leaves no checkpoint,
    2. write the sums, some at a time                           which costs time and is never a wrong one
    3. set the stamp                                            from here on it counts

A save whose reply was lost may be in or not. Its stamp and the one before it may then both be the base of the
next save (`_base_stamps`), and what the lost one may have written is written again (`_UNKNOWN`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.audit import encode_audit
from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.fence import Fence
from hurnet_stream.adapters.redis.published import decode_number
from hurnet_stream.core.formats import CHECKPOINT, NewerFormat, check_format
from hurnet_stream.core.stored.batch import ShardState
from hurnet_stream.core.stored.codec import seal, unseal
from hurnet_stream.errors import TransientError, Unreadable, UpgradeNeeded
from hurnet_stream.ports import Checkpoint, forgetful

TRANSACTION_BYTES: Final = 256 << 20
"""What one transaction writes at most; servers take less than 1 GB (client-query-buffer-limit)."""
TRANSACTION_WRITES: Final = 250_000
COMMAND_FIELDS: Final = 1_000
"""How many fields of a hash one command reads or writes at most."""

_UNKNOWN: Final = object()  # in place of statistics: what is stored under their key is not known


class _Write(NamedTuple):
    """Set a hash's field, or delete it if the value is None."""

    key: str
    field: str
    value: bytes | None


class CheckpointStore:
    """Loads and saves the checkpoint of one solver. `on_progress` is called after each step of either."""

    def __init__(self, connection: Connection, fence: Fence, on_progress: Callable[[], None]) -> None:
        self._client = connection.client
        self._fence = fence
        self._keys = connection.keys
        self._header_key = self._keys.solver("checkpoint")
        self._grams_key = self._keys.solver("grams")
        self._on_progress = on_progress
        # Stamps of stored checkpoints that changes may be based on, and the statistics that are in these, by
        # key. The objects are compared by identity: each knows itself which of its answers were saved.
        self._base_stamps: set[str] = set()
        self._base: dict[str, object] = {}
        self._forgetful: Mapping[str, int] = {}
        """The contexts of which this save has unlearned something, and the versions of their mixes."""

    def load(self, dimension: int, features: str) -> Checkpoint:
        """See `WeightsStore.load_checkpoint`. The statistics are on the CPU.

        Raises `TransientError` if a save comes in between.
        """
        self._base_stamps, self._base = set(), {}
        header = self._client.hgetall(self._header_key)
        if b"stamp" not in header:
            return Checkpoint(features=features)
        stored_features = self._features_of(header)
        if stored_features != features:
            return Checkpoint(features=stored_features)
        try:
            checkpoint = self._loaded(header, dimension)
        finally:  # first, as a save in between may be why something looked damaged
            if self._client.hget(self._header_key, "stamp") != header[b"stamp"]:
                raise TransientError("the checkpoint was saved while it was read")
        checkpoint.features, checkpoint.stamp = features, header[b"stamp"].decode(errors="replace")
        self._base_stamps, self._base = {checkpoint.stamp}, dict(checkpoint.statistics)
        return checkpoint

    def save(self, checkpoint: Checkpoint) -> None:
        """See `WeightsStore.save_checkpoint`. May be repeated if its reply was lost."""
        stamp = secrets.token_hex(8)
        header = {
            "format": str(CHECKPOINT),
            "stamp": stamp,
            "shards": json.dumps({p: [s.watermark, s.rows, s.epoch] for p, s in checkpoint.shards.items()}),
            "features": checkpoint.features,
            "pane": str(checkpoint.pane),
        }
        audits = {f"{a.partition}/{a.deletion.offset}": encode_audit(a) for a in checkpoint.unlearned}
        self._forgetful = forgetful(checkpoint.unlearned, self._mix_versions()) if audits else {}
        if not self._save_changes(checkpoint, header, audits):
            self._save_whole(checkpoint, header, audits)
        self._base_stamps, self._base = {stamp}, dict(checkpoint.statistics)
        for statistics in checkpoint.statistics.values():
            statistics.mark_saved()  # only now: until the reply came, nothing is known to be stored
        checkpoint.unlearned.clear()
        checkpoint.stamp = stamp

    def _mix_versions(self) -> dict[str, int]:
        stored = self._client.hgetall(self._keys.solver("mix-versions"))
        return {name.decode(errors="replace"): decode_number(raw) for name, raw in stored.items()}

    def _features_of(self, header: Mapping[bytes, bytes]) -> str:
        """Raises `UpgradeNeeded` if only a newer program can read the checkpoint."""
        try:
            check_format("the solver's checkpoint", int(header[b"format"]), CHECKPOINT)
            return header[b"features"].decode()
        except NewerFormat as error:
            raise UpgradeNeeded(str(error)) from error
        except (ValueError, KeyError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> Unreadable:
        return Unreadable(
            f"the solver's checkpoint is damaged ({error}): delete {self._header_key}, and the solver"
            " will learn again from the store, which loses nothing"
        )

    def _loaded(self, header: Mapping[bytes, bytes], dimension: int) -> Checkpoint:
        from hurnet_stream.core.statistics.statistics import Statistics

        checkpoint = Checkpoint()
        try:
            for partition, (watermark, rows, epoch) in stored_json.loads(header[b"shards"]).items():
                checkpoint.shards[int(partition)] = ShardState(watermark, rows, epoch)
            checkpoint.pane = int(header[b"pane"])
            for raw_key in self._client.hkeys(self._grams_key):
                key = raw_key.decode()
                gram = self._client.hget(self._grams_key, raw_key) or b""
                sums = {answer.decode(): unseal(sealed) for answer, sealed in self._sums(key)}
                statistics = Statistics.decode(unseal(gram), sums.items())
                self._on_progress()
                if statistics.dimension != dimension:
                    raise ValueError(f"dimension {statistics.dimension}, not {dimension}")
                checkpoint.statistics[key] = statistics
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error
        return checkpoint

    def _sums(self, key: str) -> Iterator[tuple[bytes, bytes]]:
        """The sealed sums of all answers; HSCAN may give some twice."""
        cursor = None
        while cursor != 0:
            cursor, page = self._client.hscan(
                self._keys.solver("sums", key), cursor or 0, count=COMMAND_FIELDS
            )
            yield from page.items()
            self._on_progress()

    def _save_changes(
        self, checkpoint: Checkpoint, header: Mapping[str, str], audits: Mapping[str, str]
    ) -> bool:
        """Save what changed in one transaction. False, and nothing is done, if that is not possible."""
        now = checkpoint.statistics
        # Keys whose statistics are gone, or are other objects than those that are stored.
        stale = [key for key in {*self._base, *now} if self._base.get(key) is not now.get(key)]
        writes = list(self._writes(checkpoint, whole=False))
        if len(list(_transactions(writes))) > 1:
            return False  # two transactions are not atomic: a crash between them would leave a mixture
        with self._fence.transaction(self._header_key) as pipe:
            stamp = pipe.hget(self._header_key, "stamp")
            if stamp is None or stamp.decode(errors="replace") not in self._base_stamps:
                return False
            # If the reply of this transaction is lost, the next save may follow it or what was before it.
            self._base_stamps.add(header["stamp"])
            self._base |= dict.fromkeys(stale, _UNKNOWN)
            pipe.multi()
            for key in stale:
                pipe.hdel(self._grams_key, key)
                pipe.unlink(self._keys.solver("sums", key))
            _queue(pipe, writes)
            self._finish(pipe, header, audits)
        return True

    def _save_whole(
        self, checkpoint: Checkpoint, header: Mapping[str, str], audits: Mapping[str, str]
    ) -> None:
        with self._fence.transaction(self._header_key) as pipe:
            old_keys = [key.decode(errors="replace") for key in pipe.hkeys(self._grams_key)]
            pipe.multi()
            pipe.unlink(self._header_key, self._grams_key, *(self._keys.solver("sums", k) for k in old_keys))
            # This changes the key that every transaction watches: what an earlier try still has under way
            # will fail.
            pipe.hset(self._header_key, "draft", header["stamp"])
            pipe.execute()
        for writes in _transactions(self._writes(checkpoint, whole=True)):
            with self._fence.transaction(self._header_key) as pipe:
                pipe.multi()
                _queue(pipe, writes)
                pipe.execute()
            self._on_progress()
        self._base_stamps = {header["stamp"]}
        self._base = dict.fromkeys(checkpoint.statistics, _UNKNOWN)
        with self._fence.transaction(self._header_key) as pipe:
            pipe.multi()
            pipe.hdel(self._header_key, "draft")
            self._finish(pipe, header, audits)

    def _finish(self, pipe: Any, header: Mapping[str, str], audits: Mapping[str, str]) -> None:
        """Execute the last transaction of a checkpoint: from here on it counts."""
        pipe.hset(self._header_key, mapping=header)
        for record, audit in audits.items():
            # A solver that learns again comes to the same deletions: what the first one said stays.
            pipe.hsetnx(self._keys.solver("audit"), record, audit)
        for context, version in self._forgetful.items():
            # Old mixes may have learned from what is unlearned here, and so may the one in force and the one
            # that is being learned: none of these is kept once another replaces it.
            before = self._keys.solver("mixes-before", context)
            pipe.unlink(before)
            pipe.hset(before, "learned", str(version + 1))
        pipe.execute()

    def _writes(self, checkpoint: Checkpoint, whole: bool) -> Iterator[_Write]:
        for key, statistics in checkpoint.statistics.items():
            new = whole or self._base.get(key) is not statistics
            answers = statistics.answer_sums.keys() if new else statistics.changed
            if new or answers:
                yield _Write(self._grams_key, key, seal(statistics.encode_gram()))
            for answer in answers:
                value = seal(statistics.encode_sum(answer)) if answer in statistics.answer_sums else None
                yield _Write(self._keys.solver("sums", key), answer, value)


def _transactions(writes: Iterable[_Write]) -> Iterator[list[_Write]]:
    """The writes in pieces that fit into one transaction each."""
    piece: list[_Write] = []
    size = 0
    for write in writes:
        piece.append(write)
        size += len(write.field) + len(write.value or b"")
        if size >= TRANSACTION_BYTES or len(piece) >= TRANSACTION_WRITES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _queue(pipe: Any, writes: Sequence[_Write]) -> None:
    for key, group in groupby(writes, key=lambda write: write.key):
        fields = list(group)
        # Many fields a command cost the server less than a command each, and a bound on them keeps it from
        # being blocked by one.
        for start in range(0, len(fields), COMMAND_FIELDS):
            piece = fields[start : start + COMMAND_FIELDS]
            if new := {write.field: write.value for write in piece if write.value is not None}:
                pipe.hset(key, mapping=new)
            if gone := [write.field for write in piece if write.value is None]:
                pipe.hdel(key, *gone)
