"""What the solver has learned, as commands read it: its last checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurnet.adapters.redis import Connection
    from hurnet.core.paper.kernel_features import KernelMap
    from hurnet.ports import Checkpoint, WeightsStore
    from hurnet.settings.settings import Settings

TRIES = 5
"""At reading a checkpoint that is saved meanwhile."""


def learned(chosen: Settings, connection: Connection, needed: bool = True) -> tuple[KernelMap, Checkpoint]:
    """The features and the last checkpoint of a solver with these settings.

    Raises `StoreError` where there is no context, and where there is no checkpoint but one is `needed`."""
    from hurnet.adapters.redis import RedisEntryStore, RedisWeightsStore
    from hurnet.core.paper.kernel_features import KernelMap
    from hurnet.core.solve import window as ageing
    from hurnet.errors import StoreError

    identity = RedisEntryStore(connection).identity()
    if identity is None:
        raise StoreError(f"there is no context {chosen.redis.prefix!r} at {connection.place} yet")
    features = KernelMap(chosen.paper.features, identity.dimension)
    kind = ageing.identity(features.identity, chosen.solve.half_life_ms)
    checkpoint = _checkpoint(RedisWeightsStore(connection), features.size, kind)
    if needed and not checkpoint.shards:
        raise StoreError(f"the solver has saved no checkpoint of {kind!r} yet: run `hurnet solver`")
    return features, checkpoint


def _checkpoint(weights: WeightsStore, size: int, kind: str) -> Checkpoint:
    from hurnet.errors import TransientError

    for _ in range(TRIES - 1):
        try:
            return weights.load_checkpoint(size, kind)
        except TransientError:
            continue
    return weights.load_checkpoint(size, kind)
