"""Digests of record keys under a secret: nobody without it can try guesses, and no two secrets are mixed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
import redis

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.adapters.redis import KeyedEntryStore, RedisEntryStore, connect
from hurnet_stream.adapters.redis.aside import put_aside
from hurnet_stream.core.formats import KEYED_FROM, REDACTED_FROM
from hurnet_stream.core.stored.batch import Batch, Deletion, Entry, LogIdentity, key_digest
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Appended
from hurnet_stream.settings.settings import RedisSettings

EMBEDDER = HashedText(8)
SECRET = "a secret of the keys"
KEYS = ("c-1", "c-2", "c-1", None)


@pytest.fixture
def where(valkey_url: str, unique: str) -> RedisSettings:
    return RedisSettings(url=valkey_url, prefix=unique)


@pytest.fixture
def opened(where: RedisSettings) -> Iterator[Any]:
    made: list[RedisEntryStore] = []

    def open_with(secret: str) -> KeyedEntryStore:
        made.append(store := KeyedEntryStore(connect(where), secret))
        store.open(EMBEDDER.identity, writing=True)
        return store

    yield open_with
    for store in made:
        store.close()


def filled(store: RedisEntryStore) -> None:
    entries = [Entry(i, 0, "default", f"text {i}") for i in range(len(KEYS))]
    digests = [None if key is None else key_digest(key.encode()) for key in KEYS]
    batch = Batch(0, 3, entries, EMBEDDER.embed([entry.text for entry in entries]), keys=digests)
    assert isinstance(store.append(batch, -1), Appended)


def everything(where: RedisSettings) -> bytes:
    """All bytes that the server holds of the store, values and names."""
    client: Any = redis.Redis.from_url(where.url)
    with client:
        names = sorted(client.keys(f"{where.prefix}*"))  # the server gives them in any order
        return b"".join(name + client.dump(name) + repr(members(client, name)).encode() for name in names)


def members(client: Any, name: bytes) -> list[bytes]:
    return list(client.zrange(name, 0, -1)) if client.type(name) == b"zset" else []


def meta(where: RedisSettings) -> Mapping[str, Any]:
    client: Any = redis.Redis.from_url(where.url)
    with client:
        fields: Mapping[str, Any] = json.loads(client.get(f"{where.prefix}:meta"))
        return fields


def deleted(store: RedisEntryStore) -> list[int]:
    deletion = Deletion(4, 0, key=key_digest(b"c-1"))
    assert isinstance(store.delete(0, deletion, 3), Appended)
    return [t for b in store.tail({}, 100).batches if b.deletion for t in b.deletion.targets]


def test_a_key_under_a_secret_deletes_the_same_and_its_plain_digest_is_nowhere(
    where: RedisSettings, opened: Any
) -> None:
    store = opened(SECRET)
    filled(store)
    found = store.under_keys(0, [(key_digest(b"c-2"), "default")])
    assert list(found) == [(key_digest(b"c-2"), "default")]
    assert list(found[key_digest(b"c-2"), "default"]) == ["text 1"]
    assert deleted(store) == [0, 2]
    held = everything(where)
    assert repr(key_digest(b"c-2"))[2:-1].encode() not in held
    assert not [key for key in (b"c-1", b"c-2") if key_digest(key) in held]
    assert SECRET.encode() not in held


def test_without_a_secret_a_store_is_as_before(where: RedisSettings, opened: Any) -> None:
    store = opened("")
    filled(store)
    assert repr(key_digest(b"c-2"))[2:-1].encode() in everything(where)  # so the test above can fail
    assert deleted(store) == [0, 2]
    assert "key_check" not in meta(where)


@pytest.mark.parametrize(
    ("begun", "now", "said"),
    [
        (SECRET, "", "under a secret"),
        (SECRET, "another secret!!", "under another secret"),
        ("", SECRET, "without a secret"),
    ],
)
def test_another_secret_is_refused_before_anything_is_written(
    where: RedisSettings, opened: Any, begun: str, now: str, said: str
) -> None:
    filled(opened(begun))
    before = everything(where)
    with pytest.raises(ConfigurationError, match=f"were made {said} .*HURNET_PRIVACY_KEY_SECRET"):
        opened(now)
    assert everything(where) == before
    assert deleted(opened(begun)) == [0, 2]


def test_who_had_opened_the_store_before_another_gave_it_a_secret_writes_no_more(opened: Any) -> None:
    late = opened("")
    filled(opened(SECRET))
    late.states()  # as every turn reads, by which it sees the meta of now
    with pytest.raises(ConfigurationError, match="under a secret"):
        late.delete(0, Deletion(4, 0, key=key_digest(b"c-1")), 3)


def test_older_programs_are_refused_and_those_that_make_no_digests_need_no_secret(
    where: RedisSettings, opened: Any
) -> None:
    filled(opened(SECRET))
    assert meta(where)["min_writer"] == KEYED_FROM
    reader = RedisEntryStore(connect(where))
    reader.open(EMBEDDER.identity)
    assert len(reader.tail({}, 100).batches) == 1
    reader.close()


def test_a_store_that_repair_begins_and_a_second_generation_keep_the_secret(
    where: RedisSettings, opened: Any
) -> None:
    store = opened(SECRET)
    filled(store)
    second = RedisEntryStore(connect(where.model_copy(update={"prefix": f"{where.prefix}.second"})))
    second.open(EMBEDDER.identity, writing=True)
    second.share_privacy(store)
    second.close()
    check = meta(where)["key_check"]
    assert meta(where.model_copy(update={"prefix": f"{where.prefix}.second"}))["key_check"] == check
    put_aside(store.connection, LogIdentity("cluster", "topic"), {0: 0})
    assert meta(where)["key_check"] == check
    opened(SECRET)


RULES = "1:email"


@pytest.mark.parametrize(("begun", "now"), [(RULES, ""), (RULES, "1:email,phone"), ("", RULES)])
def test_a_store_keeps_the_rules_of_redaction_and_others_write_nothing(
    where: RedisSettings, begun: str, now: str
) -> None:
    with closing(KeyedEntryStore(connect(where), SECRET, begun)) as store:
        store.open(EMBEDDER.identity, writing=True)
        filled(store)
        assert store.redaction() == begun
    before = everything(where)
    with (
        closing(KeyedEntryStore(connect(where), SECRET, now)) as other,
        pytest.raises(ConfigurationError, match="HURNET_PII_KINDS"),
    ):
        other.open(EMBEDDER.identity, writing=True)
    assert everything(where) == before
    with closing(RedisEntryStore(connect(where))) as reader:  # who only reads takes them from the store
        reader.open(EMBEDDER.identity)
        assert reader.redaction() == begun


def test_repair_and_a_second_generation_keep_the_rules_of_redaction(where: RedisSettings) -> None:
    beside = where.model_copy(update={"prefix": f"{where.prefix}.second"})
    with (
        closing(KeyedEntryStore(connect(where), SECRET, RULES)) as store,
        closing(RedisEntryStore(connect(beside))) as second,
    ):
        store.open(EMBEDDER.identity, writing=True)
        filled(store)
        second.open(EMBEDDER.identity, writing=True)
        second.share_privacy(store)
        assert second.redaction() == RULES
        put_aside(store.connection, LogIdentity("cluster", "topic"), {0: 0})
    assert meta(where)["redaction"] == RULES
    assert meta(where)["min_reader"] == REDACTED_FROM
