"""What counts only once replicas have it: an append, an erasure, a checkpoint, on a primary with one
replica."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import ConfigurationError, RedisFailing
from hurnet_stream.local import ValkeyServer
from hurnet_stream.ports import Appended, Checkpoint, Refused
from hurnet_stream.settings.settings import RedisSettings
from tests.acceptance.system import wait_for
from tests.contract.test_entry_store import IDENTITY, made
from tests.stand_ins import admin, is_synced


@pytest.fixture
def pair() -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    settings = {"appendfsync": "no"}
    with ValkeyServer(settings=settings) as one, ValkeyServer(settings=settings) as two:
        with admin(two) as client:
            client.replicaof("127.0.0.1", str(one.port))
        wait_for(lambda: is_synced(two), what="the replica has what the primary has")
        yield one, two


def test_what_replicas_do_not_have_in_time_does_not_count_and_is_not_lost(
    pair: tuple[ValkeyServer, ValkeyServer],
) -> None:
    one, two = pair
    connection = connect(RedisSettings(url=one.url, timeout=20, replicas_ack=1, replicas_ack_timeout=5.0))
    store, weights = RedisEntryStore(connection), RedisWeightsStore(connection)
    store.open(IDENTITY, writing=True)
    assert isinstance(store.append(made(0, [0]), NOTHING), Appended)
    with admin(two) as client:
        assert client.xlen("hurnet:{shard-0}:stream") == 1, "the replica has what counts"
        weights.claim("solver")
        weights.save_checkpoint(Checkpoint())
        assert client.hget("hurnet:{solver}:checkpoint", "stamp")
    two.stop()
    for step in (
        lambda: store.append(made(0, [1]), 0),
        lambda: store.state(0),
        lambda: weights.save_checkpoint(Checkpoint()),
    ):
        began = time.monotonic()
        with pytest.raises(RedisFailing, match="0 of 1 replicas"):
            step()
        assert time.monotonic() - began >= 5.0
    assert isinstance(store.append(made(0, [1]), 0), Refused), "it is in, and a refusal waits for nobody"
    two.start()
    with admin(two) as client:
        client.replicaof("127.0.0.1", str(one.port))
    wait_for(lambda: is_synced(two), what="the replica has what the primary has")
    assert store.state(0).watermark == 1
    store.close()


def test_a_wait_for_replicas_that_a_command_can_t_take_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be below HURNET_REDIS_TIMEOUT"):
        connect(RedisSettings(replicas_ack=1, replicas_ack_timeout=5))
