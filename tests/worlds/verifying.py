"""Proofs of a world of `deleting`."""

from __future__ import annotations

from hurnet_stream.core.paper.kernel_features import KernelMap
from hurnet_stream.operations.proof import Proof
from hurnet_stream.operations.verification import Verification
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.history import MemoryHistory
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.deleting import EMBEDDER, World


def verification(world: World) -> Verification:
    store = MemoryEntryStore(world.redis)
    store.open(EMBEDDER.identity)
    history, contexts = MemoryHistory(world.kafka), frozenset(world.redis.data.contexts)
    return Verification(history, store, EMBEDDER, KernelMap("none", 32), contexts)


def whole(world: World) -> Proof:
    return verification(world).whole(MemoryWeightsStore(world.redis).load_checkpoint(32))
