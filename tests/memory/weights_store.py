"""The in-memory twin of `RedisWeightsStore`."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import StoreError, Superseded
from hurnet_stream.ports import (
    MIXES_KEPT,
    Checkpoint,
    DeletionAudit,
    OnProgress,
    PublishedMix,
    PublishedWeights,
    forgetful,
    oldest_audits,
)
from tests.memory.redis import MemoryRedis


class MemoryWeightsStore:
    """Fills `hurnet_stream.ports.WeightsStore`."""

    def __init__(self, redis: MemoryRedis | None = None) -> None:
        self._redis = redis or MemoryRedis()
        self.on_progress: OnProgress = lambda: None
        self._owner = ""

    def claim(self, owner: str) -> None:
        self._redis.data.owner = self._owner = owner

    def load_checkpoint(self, dimension: int, features: str = NO_FEATURES) -> Checkpoint:
        with self._redis.changed:
            checkpoint = _copied(self._redis.data.checkpoint)
        if not (checkpoint.shards or checkpoint.statistics):
            return Checkpoint(features=features)
        if checkpoint.features != features:
            return Checkpoint(features=checkpoint.features)
        self.on_progress()
        if any(statistics.dimension != dimension for statistics in checkpoint.statistics.values()):
            raise StoreError(f"the checkpoint is not of dimension {dimension}")
        return checkpoint

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        with self._redis.changed:
            self._check_owner()
            self.on_progress()
            for statistics in checkpoint.statistics.values():
                statistics.mark_saved()
            for unlearned in checkpoint.unlearned:
                self._redis.data.audit.setdefault((unlearned.partition, unlearned.deletion.offset), unlearned)
            for context, version in forgetful(checkpoint.unlearned, self._redis.data.mix_versions).items():
                self._redis.data.mixes_before.pop(context, None)
                self._redis.data.mixes_learned[context] = version + 1
            checkpoint.unlearned.clear()
            checkpoint.stamp = secrets.token_hex(8)
            self._redis.data.checkpoint = _copied(checkpoint)

    def audit(self) -> Sequence[DeletionAudit]:
        with self._redis.changed:
            return sorted(self._redis.data.audit.values(), key=lambda unlearned: unlearned.done_ms)

    def audit_of(self, records: Collection[tuple[int, int]]) -> Sequence[DeletionAudit]:
        return [unlearned for u in records if (unlearned := self._redis.data.audit.get(u))]

    def trim_audit(self, keep: int) -> int:
        with self._redis.changed:
            self._check_owner()
            oldest = oldest_audits(self.audit(), keep)
            for audit in oldest:
                del self._redis.data.audit[audit.partition, audit.deletion.offset]
            return len(oldest)

    def publish(self, weights: PublishedWeights) -> None:
        with self._redis.changed:
            self._check_owner()
            before = self._redis.data.weights.get(weights.context)
            if before and weights.weights.certificate is before.weights.certificate:
                return
            version = self._redis.data.versions.get(weights.context, 0)
            watermarks = before.watermarks if before else {}
            back = [p for p, w in watermarks.items() if weights.watermarks.get(p, NOTHING) < w]
            if weights.version != version + 1 or back:
                raise Superseded(
                    f"version {weights.version} can't follow {version}, or shards {back} go back"
                )
            # As a store gives them back: row by row, whatever the order in which they were solved.
            solved = replace(weights.weights, projection=np.ascontiguousarray(weights.weights.projection))
            self._redis.data.weights[weights.context] = replace(weights, weights=solved)
            self._redis.data.versions[weights.context] = weights.version

    def withdraw(self, context: str, version: int) -> None:
        with self._redis.changed:
            self._check_owner()
            last = self._redis.data.versions.get(context, 0)
            if version != last + 1:
                raise Superseded(f"version {version} can't follow {last}")
            self._redis.data.weights.pop(context, None)
            self._redis.data.versions[context] = version

    def versions(self) -> Mapping[str, int]:
        with self._redis.changed:
            return dict(self._redis.data.versions)

    def known_by_weights(self) -> Mapping[int, int]:
        with self._redis.changed:
            known: dict[int, int] = {}
            for weights in self._redis.data.weights.values():
                known |= {p: max(w, known.get(p, NOTHING)) for p, w in weights.watermarks.items()}
            return known

    def published_ms(self) -> Mapping[str, int]:
        with self._redis.changed:
            return {context: weights.published_ms for context, weights in self._redis.data.weights.items()}

    def weights(self, context: str) -> PublishedWeights | None:
        return self._redis.data.weights.get(context)

    def publish_mix(self, mix: PublishedMix) -> None:
        with self._redis.changed:
            self._next_mix(mix.context, mix.mix.version)
            data = self._redis.data
            old, before = data.mixes.get(mix.context), data.mixes_before.setdefault(mix.context, {})
            if old and mix.mix.version - 1 > data.mixes_learned.get(mix.context, 0):
                before[mix.mix.version - 1] = old
            before.pop(mix.mix.version - 1 - MIXES_KEPT, None)
            data.mixes[mix.context] = mix

    def withdraw_mix(self, context: str, version: int) -> None:
        with self._redis.changed:
            self._next_mix(context, version)
            self._redis.data.mixes.pop(context, None)
            self._redis.data.mixes_before.pop(context, None)
            self._redis.data.mixes_learned.pop(context, None)

    def _next_mix(self, context: str, version: int) -> None:
        last = self._redis.data.mix_versions.get(context, 0)
        if version != last + 1:
            raise Superseded(f"mix {version} can't follow {last}")
        self._redis.data.mix_versions[context] = version

    def mix_versions(self) -> Mapping[str, int]:
        with self._redis.changed:
            return dict(self._redis.data.mix_versions)

    def mix(self, context: str) -> PublishedMix | None:
        return self._redis.data.mixes.get(context)

    def mix_of_version(self, context: str, version: int) -> PublishedMix | None:
        in_force = self.mix(context)
        if in_force and in_force.mix.version == version:
            return in_force
        return self._redis.data.mixes_before.get(context, {}).get(version)

    def _check_owner(self) -> None:
        if not self._owner or self._redis.data.owner != self._owner:
            raise Superseded(
                f"the solver's role belongs to {self._redis.data.owner!r}, not to {self._owner!r}"
            )


def _copied(checkpoint: Checkpoint) -> Checkpoint:
    statistics = {context: statistics.copy() for context, statistics in checkpoint.statistics.items()}
    shards, features = dict(checkpoint.shards), checkpoint.features
    return Checkpoint(statistics, shards, features, pane=checkpoint.pane, stamp=checkpoint.stamp)
