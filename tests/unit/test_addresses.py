"""Addresses of servers: every form that is taken, and what it means."""

from __future__ import annotations

import pytest

from hurnet_stream.settings.addresses import RedisAddress, host_ports, redis_address, shown


def test_hosts_are_names_and_addresses_of_both_kinds() -> None:
    assert host_ports(" kafka-1:9092, 10.0.0.1:1 ,[fe80::1%eth0]:2,") == (
        ("kafka-1", 9092),
        ("10.0.0.1", 1),
        ("fe80::1%eth0", 2),
    )
    assert host_ports("a,[::1]", 7) == (("a", 7), ("::1", 7))
    assert [shown("::1", 7), shown("a", 7)] == ["[::1]:7", "a:7"]


@pytest.mark.parametrize(
    ("url", "meaning", "server_name"),
    [
        ("redis://", RedisAddress((("localhost", 6379),)), "Redis at localhost:6379"),
        ("redis://r:1/2", RedisAddress((("r", 1),), db=2), "Redis at r:1"),
        ("redis://r?db=3", RedisAddress((("r", 6379),), db=3), "Redis at r:6379"),
        ("rediss://[::1]:5", RedisAddress((("::1", 5),), tls=True), "Redis at [::1]:5"),
        (
            "redis://u%40:p%2Fw@r",
            RedisAddress((("r", 6379),), username="u@", password="p/w"),
            "Redis at r:6379",
        ),
        ("unix:///run/a%20b.sock?db=1", RedisAddress(path="/run/a b.sock", db=1), "Redis at /run/a b.sock"),
        ("unix://:pw@/r.sock", RedisAddress(path="/r.sock", password="pw"), "Redis at /r.sock"),
        (
            "sentinel+rediss://:pw@s1,[::2]:2/mymaster/4",
            RedisAddress((("s1", 26379), ("::2", 2)), service="mymaster", tls=True, db=4, password="pw"),
            "Redis 'mymaster' by Sentinel at s1:26379,[::2]:2",
        ),
    ],
)
def test_a_redis_url_is_taken_apart(url: str, meaning: RedisAddress, server_name: str) -> None:
    assert redis_address(url) == meaning
    assert meaning.server_name == server_name
    assert "pw" not in repr(meaning)


@pytest.mark.parametrize("url", ["redis://:hush@h:x", "redis://:hu/sh@h", "redis://:hush@[", "mush://hush"])
def test_errors_do_not_repeat_a_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        redis_address(url)
    assert "sh" not in str(caught.value).replace("with", "")
