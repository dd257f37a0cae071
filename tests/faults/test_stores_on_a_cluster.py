"""The contract tests of the stores once more, on a Redis Cluster: no step of theirs touches two slots."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Final

import pytest

from tests.contract import (
    test_ageing,
    test_aside,
    test_compaction,
    test_context_entries,
    test_copying,
    test_deletion,
    test_entry_store,
    test_lease,
    test_mass_deletion,
    test_replacing,
    test_request_claims,
    test_weights_store,
)
from tests.contract.stores import RedisStores
from tests.contract.three_nodes import three_nodes

CONTRACTS: Final[tuple[ModuleType, ...]] = (
    test_ageing,
    test_compaction,
    test_context_entries,
    test_deletion,
    test_entry_store,
    test_lease,
    test_mass_deletion,
    test_replacing,
    test_request_claims,
    test_weights_store,
)
"""Of these what every kind of store must do."""
WHOLE: Final[tuple[ModuleType, ...]] = (test_aside, test_copying)
"""Of these also what only real servers do."""
TOO_LONG: Final = {
    "test_a_follower_that_is_killed_at_any_call_loses_and_doubles_nothing",
    "test_at_every_position_the_shard_holds_what_a_dict_would",
    "test_from_any_position_readers_find_what_is_left_and_count_every_row",
    "test_whatever_came_and_went_compaction_changes_nothing_that_is_read",
}
FIXTURES: Final = {
    "quick": test_copying.quick,
    "small_steps": test_replacing.small_steps,
    "unlearned": test_deletion.unlearned,
    "world": test_copying.world,
}

globals().update(FIXTURES)
for contract in (*CONTRACTS, *WHOLE):
    room = contract.__name__.rpartition(".")[2]
    for name, found in list(vars(contract).items()):
        if not name.startswith("test_") or name in TOO_LONG:
            continue
        if contract in WHOLE or "stores" in found.__code__.co_varnames:
            globals()[f"{room}__{name.removeprefix('test_')}"] = found


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[str]:
    with three_nodes() as url:
        yield url


@pytest.fixture
def redis_stores(cluster_url: str, unique: str) -> Iterator[RedisStores]:
    stores = RedisStores(cluster_url, unique)
    yield stores
    stores.wipe()
    for close in stores.close:
        close()


@pytest.fixture
def stores(redis_stores: RedisStores) -> RedisStores:
    return redis_stores
