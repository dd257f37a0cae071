"""Entries that a second generation leaves out, and why: `hurnet migrate` and `hurnet reshard` list them."""

from __future__ import annotations

from collections.abc import Mapping

from hurnet_stream.adapters.redis.connection import Connection, guarded


class LeftOut:
    """What notes about filling the store of `target` from that of `source` have in common."""

    def __init__(self, source: Connection, target: Connection) -> None:
        self.connection = source
        self._source = source.client
        self._target = target.client
        self._from = source.keys
        self._to = target.keys

    @guarded
    def leave_out(self, partition: int, reasons: Mapping[int, str]) -> None:
        if reasons:
            named = {f"{partition}/{offset}": reason for offset, reason in reasons.items()}
            self._target.hset(self._to.left_out, mapping=named)

    @guarded
    def left_out(self) -> int:
        return int(self._target.hlen(self._to.left_out))
