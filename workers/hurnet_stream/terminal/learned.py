"""What the solver has learned: its last checkpoint, for commands to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurnet_stream.adapters.redis import Connection
    from hurnet_stream.core.paper.kernel_features import KernelMap
    from hurnet_stream.ports import Checkpoint, WeightsStore
    from hurnet_stream.settings.settings import Settings

TRIES = 5
"""How often to read a checkpoint if another one is being saved meanwhile."""


def learned(chosen: Settings, connection: Connection, needed: bool = True) -> tuple[KernelMap, Checkpoint]:
    """The kernel features and the last checkpoint of a solver with these settings.

    Raises `StoreError` if the store is empty, or if there is no checkpoint although one is `needed`."""
    from hurnet_stream.adapters.redis import RedisWeightsStore
    from hurnet_stream.core.solve import window as ageing
    from hurnet_stream.errors import StoreError

    features = features_of(chosen, connection)
    kind = ageing.identity(features.identity, chosen.solve.half_life_ms)
    checkpoint = _checkpoint(RedisWeightsStore(connection), features.size, kind)
    if needed and not checkpoint.shards:
        raise StoreError(
            f"no solver with these settings ({kind}) has saved a checkpoint yet: run `hurnet solver`"
        )
    return features, checkpoint


def features_of(chosen: Settings, connection: Connection) -> KernelMap:
    """The kernel features of a solver with these settings. Raises `StoreError` if the store is empty."""
    from hurnet_stream.adapters.redis import RedisEntryStore
    from hurnet_stream.core.paper.kernel_features import KernelMap
    from hurnet_stream.errors import StoreError

    identity = RedisEntryStore(connection).identity()
    if identity is None:
        raise StoreError(
            f"{connection.server_name} holds nothing under the prefix {chosen.redis.prefix!r} yet"
        )
    return KernelMap(chosen.paper.features, identity.dimension)


def _checkpoint(weights: WeightsStore, size: int, kind: str) -> Checkpoint:
    from hurnet_stream.errors import TransientError

    for _ in range(TRIES - 1):
        try:
            return weights.load_checkpoint(size, kind)
        except TransientError:
            continue
    return weights.load_checkpoint(size, kind)
