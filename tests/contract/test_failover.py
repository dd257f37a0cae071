"""Another server takes the store's place, by promotion behind one address or by Sentinel. Nobody ends the old
connections."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.sentinel import SentinelManagedSSLConnection

from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import ConfigurationError, HurnetError, TransientError
from hurnet_stream.local import ValkeyServer
from hurnet_stream.ports import Appended, StoreServer
from hurnet_stream.settings.addresses import shown
from hurnet_stream.settings.settings import RedisSettings
from tests.acceptance.system import system_is_busy, wait_for
from tests.contract.test_entry_store import IDENTITY, made
from tests.stand_ins import LOOPBACKS, Forwarder, SentinelServer, admin, is_synced

NOTICED_S = 2.0
TWO = Iterator[tuple[ValkeyServer, ValkeyServer]]


@pytest.fixture
def pair() -> TWO:
    """A primary and its replica."""
    with ValkeyServer() as one, ValkeyServer() as two:
        with admin(two) as client:
            client.replicaof("127.0.0.1", str(one.port))
        wait_for(lambda: is_synced(two), what="the replica has what the primary has")
        yield one, two


def opened(url: str, **settings: Any) -> RedisEntryStore:
    store = RedisEntryStore(connect(RedisSettings(url=url, **settings)))
    store.open(IDENTITY)
    return store


def promote(new: ValkeyServer, old: ValkeyServer | None) -> None:
    """Promote `new` by hand. Nobody ends the connections to the old primary."""
    with admin(new) as client:
        client.replicaof("NO", "ONE")
    if old:
        with admin(old) as client:
            client.replicaof("127.0.0.1", str(new.port))


def patiently(act: Callable[[], Any]) -> Any:
    """Do as a worker does: try again after each transient error."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return act()
        except TransientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("demoted", [True, False], ids=["demoted", "cut off"])
def test_readers_and_writers_leave_an_old_primary(
    pair: tuple[ValkeyServer, ValkeyServer], demoted: bool
) -> None:
    one, two = pair
    with Forwarder(one.port) as address:
        writer, reader = opened(address.url), opened(address.url)
        writer.append(made(0, [0]), NOTHING)
        assert reader.tail({}, 9).states[0].watermark == 0
        server = reader.server()
        assert (server.saved, server.replicas) == (True, 1)
        assert 100_000 < (server.memory_bytes or 0) < 1 << 30
        before = writer.incarnation()
        with admin(one) as client:
            assert client.wait(1, 60_000) == 1
        promote(two, one if demoted else None)
        address.target = two.port
        began = time.monotonic()
        if not demoted:  # until it is noticed, what is appended goes to the old one, and is lost with it
            time.sleep(1.1)
        assert isinstance(patiently(lambda: writer.append(made(0, [1]), 0)), Appended)
        seen = wait_for(lambda: patiently(lambda: reader.tail({0: 0}, 9)).batches)
        assert [batch.watermark for batch in seen] == [1]
        assert time.monotonic() - began < NOTICED_S + 1.1 or system_is_busy()
        assert writer.incarnation() != before
        with admin(two) as client:
            assert client.xlen("hurnet:{shard-0}:stream") == 2
        writer.close()
        reader.close()


def test_a_reader_does_not_stay_on_a_replica(pair: tuple[ValkeyServer, ValkeyServer]) -> None:
    one, two = pair
    reader = opened(one.url)
    promote(two, one)
    with pytest.raises(TransientError, match=rf"is a replica .*127\.0\.0\.1:{two.port}"):
        wait_for(lambda: bool(reader.tail({}, 9).batches))
    with pytest.raises(TransientError, match="is a replica"):
        reader.incarnation()
    with admin(one) as client:
        client.replicaof("NO", "ONE")
    patiently(lambda: reader.tail({}, 9))
    reader.close()


def test_a_restarted_server_is_another_incarnation() -> None:
    with ValkeyServer() as server:
        store = opened(server.url)
        before = store.incarnation()
        assert store.incarnation() == before
        server.kill()
        server.start()
        wait_for(lambda: patiently(store.incarnation) != before)
        store.close()


@pytest.mark.parametrize("password", ["", "s3ntinel"])
def test_a_sentinel_leads_to_the_primary(pair: tuple[ValkeyServer, ValkeyServer], password: str) -> None:
    one, two = pair
    with SentinelServer(one, password) as sentinel:
        wait_for(sentinel.knows_a_replica, what="the Sentinel has found the replica")
        store = opened(sentinel.url, sentinel_password=password or None)
        assert store.server_name == f"Redis 'store' by Sentinel at 127.0.0.1:{sentinel.port}"
        store.append(made(0, [0]), NOTHING)
        with admin(one) as client:
            assert client.wait(1, 60_000) == 1
        one.kill()
        assert isinstance(patiently(lambda: store.append(made(0, [1]), 0)), Appended)
        with admin(two) as client:
            assert client.xlen("hurnet:{shard-0}:stream") == 2
        sentinel.kill()
        time.sleep(1.1)
        assert store.state(0).watermark == 1, "a server that is known serves on without the Sentinels"
        store.close()


def test_a_server_that_takes_no_more_connections_serves_on_those_it_has() -> None:
    with ValkeyServer() as server, admin(server) as client:
        store = opened(server.url)
        client.config_set("maxclients", "2")
        time.sleep(1.1)
        with pytest.raises(redis.ConnectionError, match="max number of clients"):
            admin(server).ping()
        assert store.state(0).watermark == NOTHING
        store.close()


def test_where_an_acl_forbids_to_ask_the_rest_works_and_a_warning_says_so() -> None:
    with ValkeyServer() as server, admin(server) as client:
        client.acl_setuser(
            "ann", enabled=True, passwords=["+pw"], keys=["hurnet:*"], commands=["+@all", "-info"]
        )
        store = opened(server.url, username="ann", password="pw")
        assert isinstance(store.append(made(0, [0]), NOTHING), Appended)
        assert store.incarnation() == ""
        assert store.server() == StoreServer(), "it tells nothing"
        (warning,) = store.connection.warnings()
        assert "+info" in warning
        store.close()


def test_sentinels_that_refuse_and_services_they_do_not_know_are_told() -> None:
    with ValkeyServer() as server, SentinelServer(server, "s3ntinel") as sentinel:
        store = RedisEntryStore(connect(RedisSettings(url=sentinel.url)))
        with pytest.raises(ConfigurationError, match="HURNET_REDIS_SENTINEL_PASSWORD"):
            store.open(IDENTITY)
        store.close()
        other = sentinel.url.replace("/store/", "/other/")
        store = RedisEntryStore(connect(RedisSettings(url=other, sentinel_password="s3ntinel")))
        with pytest.raises(TransientError, match=r"no Sentinel names a primary .*'other'"):
            store.open(IDENTITY)
        store.close()


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", ConfigurationError, "set HURNET_REDIS_CA_FILE"),
        ("Connection refused", TransientError, "names a primary .ConnectionError: Connection refused"),
    ],
)
def test_why_no_sentinel_helps_is_told_shortly(
    cause: str, kind: type[HurnetError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise redis.ConnectionError(cause)

    monkeypatch.setattr(redis.Redis, "execute_command", failing)
    connection = connect(RedisSettings(url="sentinel+rediss://a/store"))
    with pytest.raises(kind, match=said) as caught, connection.used():
        connection.client.connection_pool.get_connection()
    assert "<redis" not in str(caught.value)
    connection.close()


def test_sentinels_are_asked_over_tls_where_the_servers_are() -> None:
    pool = connect(RedisSettings(url="sentinel+rediss://a,b:1/store/0")).client.connection_pool
    assert pool.connection_class is SentinelManagedSSLConnection
    kinds = {sentinel.connection_pool.connection_class for sentinel in pool.sentinel_manager.sentinels}
    assert kinds == {redis.SSLConnection}


def test_a_primary_that_may_be_cut_off_from_its_replicas_is_warned_of(
    pair: tuple[ValkeyServer, ValkeyServer],
) -> None:
    one, _ = pair
    connection = connect(RedisSettings(url=one.url))
    (warning,) = connection.warnings()
    assert "has min-replicas-to-write 0" in warning
    with admin(one) as client:
        client.config_set("min-replicas-to-write", "1")
    assert connection.warnings() == []
    connection.close()


def test_a_socket_and_an_ipv6_address_are_connected_to(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,  # a socket's path is short
        ValkeyServer(tmp_path, settings={"unixsocket": f"{folder}/s"}, password="a/b") as server,
        admin(server) as client,
    ):
        client.config_set("bind", " ".join(LOOPBACKS))
        for url in (
            f"unix://:a%2Fb@{folder}/s?db=1",
            f"redis://:a%2Fb@{shown(LOOPBACKS[-1], server.port)}/1",
            f"redis://{shown(LOOPBACKS[-1], server.port)}/1",
            f"unix://{folder}/s?db=1",
        ):
            store = opened(url, password=None if "@" in url else "a/b")
            assert store.connection.warnings() == []
            store.close()
        assert "db1" in client.info("keyspace")
