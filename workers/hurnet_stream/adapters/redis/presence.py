"""Which generations each responder holds, as it says itself while there is more than one.

P:ready     hash    instance -> JSON: the numbers that it has loaded, the one that it answers with, when
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.ports.generations import Presence

FRESH_MS: Final = 15_000
"""A responder that has said nothing for so long is gone."""


class RedisResponderPresence:
    """`ResponderPresence` (see hurnet_stream/ports/generations.py) in Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._client = connection.client
        self._key = connection.home_keys.ready

    @guarded
    def say(self, instance: str, holds: Collection[int], serving: int) -> None:
        said = {"holds": sorted(holds), "serving": serving, "at_ms": self._now_ms()}
        self._client.hset(self._key, instance, json.dumps(said))

    @guarded
    def leave(self, instance: str) -> None:
        self._client.hdel(self._key, instance)

    @guarded
    def present(self) -> Mapping[str, Presence]:
        now_ms, found = self._now_ms(), dict[str, Presence]()
        for instance, raw in self._client.hgetall(self._key).items():
            said = stored_json.loads(raw)
            if now_ms - int(said["at_ms"]) <= FRESH_MS:
                holds = frozenset(int(number) for number in said["holds"])
                found[bytes(instance).decode(errors="replace")] = Presence(holds, int(said["serving"]))
        return found

    def _now_ms(self) -> int:
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000
