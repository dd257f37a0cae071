"""A store put aside in one step, and the new one in its place."""

from __future__ import annotations

import pytest

from hurnet_stream.adapters.redis import connect
from hurnet_stream.adapters.redis.aside import finish, note, put_aside, under, unfinished
from hurnet_stream.adapters.redis.entry_store import RedisEntryStore
from hurnet_stream.core.stored.batch import NOTHING, LogIdentity
from hurnet_stream.errors import StoreError, StoreReplaced
from hurnet_stream.ports import Appended, Committed
from tests.contract.stores import RedisStores
from tests.contract.test_entry_store import IDENTITY, LOG, ingest, made, opened

NOW = LogIdentity("cluster", "anew")


def test_a_context_is_put_aside_whole_and_another_begun(redis_stores: RedisStores) -> None:
    store = opened(redis_stores)
    store.bind(LOG)
    ingest(store, 0, range(10), 4)
    ingest(store, 1, range(5), 4)
    store.admit(frozenset({"one"}), 10)
    redis_stores.weights().claim("solver")
    redis_stores.leases().acquire("solver", "me", 60)
    store.remember_progress("responders", {0: Committed(5, "note")})
    store.enter("ingest", "died", frozenset({0}))
    connection = connect(redis_stores.settings)
    aside = put_aside(connection, NOW, {0: 0, 1: 7})
    with pytest.raises(StoreReplaced):
        store.append(made(0, [10]), 9)
    with pytest.raises(StoreReplaced):
        store.tail({}, 10)
    anew = opened(redis_stores)
    assert anew.log() == NOW
    assert anew.state(0).watermark == NOTHING
    assert (anew.state(1).watermark, anew.state(1).rows) == (6, 0)  # the topic holds nothing before 7
    assert isinstance(anew.append(made(1, [7, 8]), 6), Appended)
    assert isinstance(anew.append(made(0, [0]), NOTHING), Appended)
    assert [e.offset for b in anew.tail({}, 10).batches for e in b.entries] == [0, 7, 8]
    old = RedisEntryStore(under(connection, aside))
    assert old.identity() == IDENTITY
    assert old.log() == LOG
    assert {p: state.rows for p, state in old.states().items()} == {0: 10, 1: 5}
    assert len([entry for batch in old.tail({}, 100).batches for entry in batch.entries]) == 15
    assert anew.progress("responders") == {0: Committed(5, "note")}  # of queries, not of texts
    assert anew.enter("ingest", "next", frozenset({0})) == {0: ""}
    assert redis_stores.leases().acquire("solver", "another", 60) == "me"
    of_solver = redis_stores.keys.solver("*")
    left = set(redis_stores.client.scan_iter(of_solver, count=1_000))
    assert left == set()
    connection.close()


def test_a_repair_that_was_cut_short_is_known(redis_stores: RedisStores) -> None:
    store = opened(redis_stores)
    store.bind(LOG)
    ingest(store, 0, range(10), 4)
    connection = connect(redis_stores.settings)
    assert unfinished(connection) is None
    aside = put_aside(connection, NOW, {0: 0})
    assert unfinished(connection) == (aside, LOG.topic, {})
    note(connection, 0, 7)
    assert unfinished(connection) == (aside, LOG.topic, {0: 7})
    finish(connection)
    assert unfinished(connection) is None
    connection.close()


def test_nothing_is_put_aside_where_there_is_no_context(redis_stores: RedisStores) -> None:
    connection = connect(redis_stores.settings)
    with pytest.raises(StoreError, match="there is no store"):
        put_aside(connection, NOW, {})
    connection.close()
