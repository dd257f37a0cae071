"""Which partitions the group has given to us, and which of them still have to be placed.

kafka-python keeps the position of a partition that a rebalance takes away and hands back, though another
member may have read on meanwhile. So every partition that is assigned anew is *unplaced*: no record of it is
passed on before it is put at the committed offset, or someone seeks it.

    group: "0 and 1 are yours"      owned {0, 1}   unplaced {0, 1}   assigned {0, 1}
    seek(0, 120)                    owned {0, 1}   unplaced {1}
    next poll places 1              owned {0, 1}   unplaced {}       told: assigned {0, 1}
    group: "1 is no longer yours"   owned {0}      unplaced {}       revoked {1}, told by the next poll
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka import AsyncConsumerRebalanceListener

from hurnet_stream.adapters.kafka.reading.partitions import Partitions


class Assignment(AsyncConsumerRebalanceListener):  # type: ignore[misc] # kafka-python ships no types
    """Takes note of rebalances. kafka-python calls it on a thread of its own, but only while a `poll` or a
    `close` waits, so that it needs no lock."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self.owned: set[int] = set()
        self.unplaced: set[int] = set()
        self.rebalances = 0
        """How often the group has shared out its partitions."""
        self._assigned: set[int] = set()
        self._revoked: set[int] = set()

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        partitions = set(map(self._partitions.shard, assigned))
        self.rebalances += 1
        self.owned |= partitions
        self.unplaced |= partitions
        self._assigned |= partitions

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        partitions = set(map(self._partitions.shard, revoked))
        self.owned -= partitions
        self.unplaced -= partitions
        self._assigned -= partitions
        self._revoked |= partitions  # reported only if it was not assigned again meanwhile

    def tell_again(self, partitions: Iterable[int]) -> None:
        """The next poll reports these as assigned anew: their position has changed by itself."""
        self._assigned |= set(partitions)

    def take_news(self) -> tuple[frozenset[int], frozenset[int]]:
        """(assigned, revoked) since the last call."""
        news = frozenset(self._assigned), frozenset(self._revoked - self.owned)
        self._assigned.clear()
        self._revoked.clear()
        return news
