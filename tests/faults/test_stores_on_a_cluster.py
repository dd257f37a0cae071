"""The contract tests of the stores once more, on a Redis Cluster: no step of theirs touches two slots."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Final

import pytest
import redis
from pydantic import SecretStr

from hurnet_stream.adapters.redis import (
    Connection,
    RedisEntryStore,
    RedisWeightsStore,
    connect,
    forbidden_commands,
)
from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.adapters.redis.shard_list import PARTS
from hurnet_stream.errors import RedisFailing, StoreReplaced
from hurnet_stream.operations.rights import redis_users
from hurnet_stream.ports import Checkpoint
from hurnet_stream.settings.addresses import redis_address
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
PW: Final = SecretStr("pw")
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


def test_each_role_works_with_the_rights_of_its_own(redis_stores: RedisStores) -> None:
    settings = redis_stores.settings
    users = redis_users(settings)
    for host, port in redis_address(settings.url).hosts:
        with redis.Redis(host, port) as server:
            for role in ("ingest", "solver", "reader"):
                words = f"ACL SETUSER {settings.prefix}-{role} on >pw".split()
                server.execute_command(*words, *users[role].rules())

    def connection(role: str) -> Connection:
        made = connect(settings.model_copy(update={"username": f"{settings.prefix}-{role}", "password": PW}))
        redis_stores.close.append(made.close)
        if "eval" in users[role].commands:  # otherwise it can't be asked
            assert forbidden_commands(made, users[role].commands, users[role].uses()) == [], role
        return made

    store = RedisEntryStore(connection("ingest"))
    store.open(test_deletion.IDENTITY, writing=True)
    store.append(test_deletion.batch([0, 1, 2], ["a", "b", None]), -1)
    store.delete(0, test_deletion.at(3, 1), 2)
    store.connection.primary.reconnect()
    assert store.state(0).watermark == 3
    of_solver = connection("solver")
    weights, same = RedisWeightsStore(of_solver), RedisEntryStore(of_solver)
    same.open(test_deletion.IDENTITY)
    weights.claim("solver")
    assert same.fence("solver") == {0: -1}
    checkpoint = Checkpoint(shards=dict(same.states()))
    weights.save_checkpoint(checkpoint)
    same.check_fences("solver")
    assert same.erase(9, "solver", checkpoint.stamp) == 0
    assert same.fence("solver") == {0: 3}
    read = RedisEntryStore(connection("reader")).tail({}, 9).batches
    assert [entry.offset for found in read for entry in found.entries] == [0, 2]


def test_a_shard_that_a_lost_store_has_left_is_put_aside(redis_stores: RedisStores) -> None:
    """As if the store's slot fell back to before the store was begun, and shard 3 did not."""
    lost = test_entry_store.opened(redis_stores)
    test_entry_store.ingest(lost, 3, range(5), 2)
    epoch = lost.state(3).epoch
    redis_stores.client.unlink(redis_stores.keys.meta, redis_stores.keys.shards)
    with pytest.raises(StoreReplaced):
        lost.append(test_entry_store.made(3, [5]), 4)
    anew = test_entry_store.opened(redis_stores)
    test_entry_store.ingest(anew, 3, range(6), 4)
    assert (anew.state(3).rows, anew.state(3).epoch == epoch) == (6, False)
    aside = Keys(f"{redis_stores.settings.prefix}.aside-{epoch}", cluster=True)
    assert redis_stores.client.xlen(aside.shard(3, "stream")) == 4
    with pytest.raises(StoreReplaced):
        lost.append(test_entry_store.made(3, [5]), -1)
    redis_stores.client.unlink(*(aside.shard(3, part) for part in PARTS))


def test_a_shard_that_the_store_forgot_is_listed_again_by_its_writer(redis_stores: RedisStores) -> None:
    store = test_entry_store.opened(redis_stores)
    test_entry_store.ingest(store, 3, range(5), 2)
    redis_stores.client.srem(redis_stores.keys.shards, 3)
    assert store.states() == {}
    writer = redis_stores.entry_store()
    writer.open(test_entry_store.IDENTITY, writing=True)
    assert writer.state(3).watermark == 4
    assert [*store.states()] == [3]


def test_replicas_that_a_cluster_does_not_have_are_missed(redis_stores: RedisStores) -> None:
    asked = redis_stores.settings.model_copy(update={"replicas_ack": 1, "replicas_ack_timeout": 0.05})
    connection = connect(asked)
    redis_stores.close.append(connection.close)
    store = RedisEntryStore(connection)
    store.open(test_entry_store.IDENTITY, writing=True)
    with pytest.raises(RedisFailing, match="0 of 1 replicas"):
        store.append(test_entry_store.made(3, [0]), -1)
    assert test_entry_store.opened(redis_stores).state(3).watermark == 0
    with pytest.raises(RedisFailing, match="0 of 1 replicas"):
        store.state(3)
    assert store.server().replicas == 0
    assert [warning for warning in connection.warnings() if "appendfsync no" in warning]
