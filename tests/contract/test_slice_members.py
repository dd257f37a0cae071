"""Slices tell in the store where they are; who is silent is gone, and what can't be read is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from hurnet_stream.adapters.redis import RedisSliceMembers, connect
from hurnet_stream.adapters.redis import slices as module
from hurnet_stream.ports import SliceHolding, SliceMember
from hurnet_stream.settings.settings import RedisSettings

HELD = SliceHolding("epoch", True, {0: 41, 65_537: 1_535}, {0: 40, 65_537: 3}, {0: 2})
MEMBER = SliceMember(1, 3, "slices-1.slices:7600", {0: HELD, 2: SliceHolding("", False)})


@pytest.fixture
def members(valkey_url: str, unique: str) -> Iterator[RedisSliceMembers]:
    with closing(connect(RedisSettings(url=valkey_url, prefix=unique))) as connection:
        yield RedisSliceMembers(connection)


def without_time(found: SliceMember) -> SliceMember:
    assert found.at_ms > 0
    return SliceMember(found.number, found.count, found.address, found.holdings)


def test_what_a_slice_says_is_seen_by_all_until_it_leaves(members: RedisSliceMembers) -> None:
    assert members.present() == {}
    members.say("a", MEMBER)
    members.say("b", MEMBER)
    assert {name: without_time(each) for name, each in members.present().items()} == {
        "a": MEMBER,
        "b": MEMBER,
    }
    members.leave("a")
    assert members.present().keys() == {"b"}


def test_who_is_silent_is_gone_and_then_forgotten(
    members: RedisSliceMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    members.say("silent", MEMBER)
    monkeypatch.setattr(module, "FRESH_MS", -1)
    assert members.present() == {}
    monkeypatch.setattr(module, "FORGOTTEN_MS", -1)
    members._forget_at = float("-inf")
    members.say("another", MEMBER)
    assert members._client.hlen(members._key) == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"number": 1}',
        b'{"number": 3, "count": 3, "address": "", "holdings": {}, "at_ms": 1e300}',
        b'{"number": 3, "count": 3, "address": "", "holdings": {}, "at_ms": 99999999999999}',
        b'{"number": 0, "count": 1, "address": "", "holdings": {"0": {}}, "at_ms": 99999999999999}',
        b'{"number": 0, "count": 1, "address": "", "holdings": {"x": 1}, "at_ms": 99999999999999}',
        b'{"number": Infinity, "count": 1, "address": "", "holdings": {}, "at_ms": 0}',
        b"[" * 100_000,
    ],
)
def test_what_somebody_has_written_there_stops_nobody(members: RedisSliceMembers, raw: bytes) -> None:
    members.say("well", MEMBER)
    members._client.hset(members._key, b"\xff", raw)
    assert members.present().keys() == {"well"}
