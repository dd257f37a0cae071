"""What the solver has learned, as commands read it: its last checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.adapters.redis import Connection
    from workers.core.features import Features
    from workers.ports import Checkpoint, WeightsStore
    from workers.settings import Settings

TRIES = 5
"""At reading a checkpoint that is saved meanwhile."""


def learned(chosen: Settings, connection: Connection, needed: bool = True) -> tuple[Features, Checkpoint]:
    """The features and the last checkpoint of a solver with these settings.

    Raises `ContextError` where there is no context, and where there is no checkpoint but one is `needed`."""
    from workers.adapters.redis import RedisContextStore, RedisWeightsStore
    from workers.core import ageing
    from workers.core.features import Features
    from workers.errors import ContextError

    identity = RedisContextStore(connection).identity()
    if identity is None:
        raise ContextError(f"there is no context {chosen.redis.prefix!r} at {connection.place} yet")
    features = Features(chosen.solve.features, identity.dimension)
    kind = ageing.identity(features.identity, chosen.solve.half_life_ms)
    checkpoint = _checkpoint(RedisWeightsStore(connection), features.size, kind)
    if needed and not checkpoint.shards:
        raise ContextError(f"the solver has saved no checkpoint of {kind!r} yet: run `hurnet solver`")
    return features, checkpoint


def _checkpoint(weights: WeightsStore, size: int, kind: str) -> Checkpoint:
    from workers.errors import TransientError

    for _ in range(TRIES - 1):
        try:
            return weights.load_checkpoint(size, kind)
        except TransientError:
            continue
    return weights.load_checkpoint(size, kind)
