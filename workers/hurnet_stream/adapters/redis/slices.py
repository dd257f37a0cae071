"""Where slices are, as they say themselves once a second.

P:slices    hash    instance -> JSON: number, count, address, when, and by generation what it holds

What can't be read is passed over: a hash that somebody has written into must not end a responder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.ports.slices import SliceHolding, SliceMember

FRESH_MS: Final = 10_000
"""A slice that has said nothing for so long is gone."""
FORGOTTEN_MS: Final = 60_000
"""The same for so long: what it said is deleted."""
MOST: Final = 10_000
"""Instances that are looked at."""


class RedisSliceMembers:
    """`SliceMembers` (see hurnet_stream/ports/slices.py) in Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._client = connection.client
        self._key = connection.home_keys.slices
        self._forget_at = float("-inf")

    @guarded
    def say(self, instance: str, member: SliceMember) -> None:
        self._client.hset(self._key, instance, written(replace(member, at_ms=self._now_ms())))
        self._forget()

    @guarded
    def leave(self, instance: str) -> None:
        self._client.hdel(self._key, instance)

    @guarded
    def present(self) -> Mapping[str, SliceMember]:
        found = self._all()
        now_ms = self._now_ms() if found else 0
        return {name: each for name, each in found.items() if now_ms - each.at_ms <= FRESH_MS}

    def _all(self) -> dict[str, SliceMember]:
        said = list(self._client.hgetall(self._key).items())[:MOST]
        members = {bytes(name).decode(errors="replace"): read(raw) for name, raw in said}
        return {name: member for name, member in members.items() if member is not None}

    def _forget(self) -> None:
        """Processes that were killed never leave by themselves. All is read for that, so seldom."""
        if time.monotonic() < self._forget_at:
            return
        self._forget_at = time.monotonic() + FORGOTTEN_MS / 1000
        now_ms = self._now_ms()
        gone = [name for name, each in self._all().items() if now_ms - each.at_ms > FORGOTTEN_MS]
        if gone:
            self._client.hdel(self._key, *gone)

    def _now_ms(self) -> int:
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000


def written(member: SliceMember) -> bytes:
    """As it stands in the hash."""
    holdings = {
        str(number): {
            "epoch": held.epoch,
            "caught_up": held.caught_up,
            **{name: _text_keys(getattr(held, name)) for name in ("watermarks", "rows", "deleting")},
        }
        for number, held in member.holdings.items()
    }
    said = {"number": member.number, "count": member.count, "address": member.address}
    return json.dumps({**said, "at_ms": member.at_ms, "holdings": holdings}).encode()


def read(raw: bytes) -> SliceMember | None:
    """What `written` has made; None if it is something else."""
    try:
        said = stored_json.loads(raw)
        number, count = int(said["number"]), int(said["count"])
        holdings = {int(number): _holding(held) for number, held in said["holdings"].items()}
        if not 0 <= number < count:
            return None
        return SliceMember(number, count, str(said["address"]), holdings, int(said["at_ms"]))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _holding(said: Any) -> SliceHolding:
    by_shard = (_number_keys(said[name]) for name in ("watermarks", "rows", "deleting"))
    return SliceHolding(str(said["epoch"]), said["caught_up"] is True, *by_shard)


def _text_keys(by_shard: Mapping[int, int]) -> dict[str, int]:
    return {str(shard): value for shard, value in by_shard.items()}


def _number_keys(said: Any) -> dict[int, int]:
    return {int(shard): int(value) for shard, value in said.items()}
