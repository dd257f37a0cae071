"""`WeightsStore` in Redis: the audit and the weights in force here, the checkpoint in checkpoint.py.

Which keys hold what: keys.py. Who may write: fence.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence

from hurnet_stream.adapters.redis import published
from hurnet_stream.adapters.redis.audit import decode_audit
from hurnet_stream.adapters.redis.checkpoint import COMMAND_FIELDS, CheckpointStore
from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.adapters.redis.fence import Fence
from hurnet_stream.adapters.redis.mixes import Mixes
from hurnet_stream.core.formats import NewerFormat
from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import Superseded, Unreadable, UpgradeNeeded
from hurnet_stream.ports import (
    Checkpoint,
    DeletionAudit,
    OnProgress,
    PublishedMix,
    PublishedWeights,
    oldest_audits,
)

log = logging.getLogger(__name__)


class RedisWeightsStore:
    """`WeightsStore` (see hurnet_stream/ports/weights_store.py) in Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.server_name = connection.server_name
        self.on_progress: OnProgress = lambda: None
        self._client = connection.client
        self._key = connection.keys.solver
        self._fence = Fence(connection)
        self._checkpoints = CheckpointStore(connection, self._fence, self._step_done)
        self._mixes = Mixes(connection)
        self._trim_from = 0  # how many audits there must be until it is worth while to look at them
        self._warned_of: set[str] = set()  # contexts whose version is unreadable

    @guarded
    def claim(self, owner: str) -> None:
        self._fence.claim(owner)

    @guarded
    def load_checkpoint(self, dimension: int, features: str = NO_FEATURES) -> Checkpoint:
        return self._checkpoints.load(dimension, features)

    @guarded
    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        self._checkpoints.save(checkpoint)
        self.connection.settle(self._key("settled"))

    @guarded
    def audit(self) -> Sequence[DeletionAudit]:
        """Raises `UpgradeNeeded` if a newer program wrote it, `Unreadable` if it is damaged."""
        stored = dict(self._client.hscan_iter(self._key("audit"), count=COMMAND_FIELDS))
        return sorted(
            self._decoded(stored.values()), key=lambda a: (a.done_ms, a.partition, a.deletion.offset)
        )

    @guarded
    def audit_of(self, records: Collection[tuple[int, int]]) -> Sequence[DeletionAudit]:
        """Raises as `audit` does."""
        fields = [f"{partition}/{offset}" for partition, offset in records]
        return self._decoded(self._client.hmget(self._key("audit"), fields) if fields else ())

    @guarded
    def trim_audit(self, keep: int) -> int:
        """Looks at them all, so it waits until a tenth more than `keep` have come since it did last."""
        count = self._client.hlen(self._key("audit"))
        if count < self._trim_from:
            return 0
        oldest = oldest_audits(self.audit(), keep)
        for first in range(0, len(oldest), COMMAND_FIELDS):
            page = oldest[first : first + COMMAND_FIELDS]
            with self._fence.transaction() as pipe:
                pipe.multi()
                pipe.hdel(self._key("audit"), *(f"{a.partition}/{a.deletion.offset}" for a in page))
                pipe.execute()
        self._trim_from = max(keep, count - len(oldest)) + max(1, keep // 10)
        return len(oldest)

    @guarded
    def publish(self, weights: PublishedWeights) -> None:
        """May be repeated with the same weights if the reply was lost.

        Raises ValueError if a figure of the certificate is not finite.
        """
        key = self._key("weights", weights.context)
        fields = published.encode_weights(weights)
        # Both keys are watched: neither the weights nor the version may change between this look and EXEC.
        with self._fence.transaction(key, self._key("versions")) as pipe:
            watermarks, digest = pipe.hmget(key, "watermarks", "sha256")
            if digest == fields["sha256"]:
                return  # the lost try was in
            version = pipe.hget(self._key("versions"), weights.context)
            published.check_successor(weights, version, watermarks)
            pipe.multi()
            pipe.hset(key, mapping=fields)
            pipe.hset(self._key("versions"), weights.context, str(weights.version))
            pipe.execute()

    @guarded
    def withdraw(self, context: str, version: int) -> None:
        with self._fence.transaction(self._key("versions")) as pipe:
            last = published.decode_number(pipe.hget(self._key("versions"), context))
            if version != last + 1:
                raise Superseded(f"weights {version} of context {context!r} can't follow {last}")
            pipe.multi()
            pipe.unlink(self._key("weights", context))
            # The version stays and grows, so that readers see a change and never take old weights for new.
            pipe.hset(self._key("versions"), context, str(version))
            pipe.execute()

    @guarded
    def versions(self) -> Mapping[str, int]:
        """Versions that are no numbers are left out: the next publication replaces them."""
        stored = self._client.hgetall(self._key("versions"))
        numbers = map(published.decode_number, stored.values())
        versions = dict(zip((name.decode(errors="replace") for name in stored), numbers, strict=True))
        unreadable = {context for context, version in versions.items() if not version}
        if unreadable - self._warned_of:
            log.warning(
                "the versions of the weights of contexts %s are not readable",
                sorted(unreadable - self._warned_of),
            )
        self._warned_of |= unreadable
        return {context: version for context, version in versions.items() if version}

    @guarded
    def known_by_weights(self) -> Mapping[int, int]:
        known: dict[int, int] = {}
        for raw in self._of_each(list(self.versions()), "watermarks"):
            watermarks = published.decode_watermarks(raw)
            known |= {p: max(w, known.get(p, NOTHING)) for p, w in watermarks.items()}
        return known

    @guarded
    def published_ms(self) -> Mapping[str, int]:
        contexts = list(self.versions())
        stamps = self._of_each(contexts, "published_ms")
        return dict(zip(contexts, map(published.decode_number, stamps), strict=True))

    @guarded
    def weights(self, context: str) -> PublishedWeights | None:
        fields = self._client.hgetall(self._key("weights", context))
        try:
            return published.decode_weights(context, fields) if fields else None
        except NewerFormat as error:
            raise UpgradeNeeded(f"the weights of context {context!r}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(
                f"the stored weights of context {context!r} are damaged ({error!r}): the solver replaces them"
                " with its next solve of the context; its restart brings that about"
            ) from error

    @guarded
    def publish_mix(self, mix: PublishedMix) -> None:
        self._mixes.publish(mix)

    @guarded
    def withdraw_mix(self, context: str, version: int) -> None:
        self._mixes.withdraw(context, version)

    @guarded
    def mix_versions(self) -> Mapping[str, int]:
        return self._mixes.versions()

    @guarded
    def mix(self, context: str) -> PublishedMix | None:
        return self._mixes.read(context)

    @guarded
    def mix_of_version(self, context: str, version: int) -> PublishedMix | None:
        return self._mixes.read_version(context, version)

    def _step_done(self) -> None:
        self.on_progress()  # looked up now, because the solver sets it after this store is made

    def _of_each(self, contexts: Sequence[str], field: str) -> list[bytes | None]:
        """One field of the weights of each context, in one round trip."""
        pipe = self._client.pipeline(transaction=False)
        for context in contexts:
            pipe.hget(self._key("weights", context), field)
        replies: list[bytes | None] = pipe.execute()
        return replies

    def _decoded(self, stored: Iterable[bytes | None]) -> list[DeletionAudit]:
        try:
            return [decode_audit(raw) for raw in stored if raw is not None]
        except NewerFormat as error:
            raise UpgradeNeeded(f"{self._key('audit')}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(f"{self._key('audit')} is damaged ({error!r})") from error
