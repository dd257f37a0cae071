"""Whether the other members of a group read all partitions of a topic, asked for in the background.

A member without partitions may be one too many, which is as it should be: it stands by. Or its client, or the
one that shared out the partitions, has gone wrong: then there are partitions that nobody reads.
"""

from __future__ import annotations

import time
from typing import Any

from hurnet_stream.adapters.kafka.admin.groups import groups
from hurnet_stream.adapters.kafka.client.errors import translated
from hurnet_stream.adapters.kafka.reading.asking import Asker
from hurnet_stream.ports import EndOffsets
from hurnet_stream.settings.settings import KafkaSettings

INTERVAL_S = 5.0
BELIEVED_S = 3 * INTERVAL_S


class Others:
    """What was last heard of the members of one group."""

    def __init__(self, settings: KafkaSettings, topic: str, group: str, asker: Asker) -> None:
        self._patience_s = settings.request_timeout
        self._topic = topic
        self._group = group
        self._asker = asker
        self._asked = self._answered = float("-inf")  # monotonic seconds
        self._read: frozenset[int] = frozenset()

    def read_all(self, ends: EndOffsets | None) -> bool:
        """Whether members read every partition, of which `ends` names all. False if that is not known."""
        now = time.monotonic()
        if now - self._asked >= INTERVAL_S:
            self._asked = now
            self._asker.ask(f"group {self._group}", self._ask)
        if ends is None or now - self._answered > BELIEVED_S:
            return False
        return self._read.issuperset(ends.written)

    def _ask(self, admin: Any) -> None:
        asked = time.monotonic()
        with translated("asking who is in the group"):
            (group,) = groups(admin, {self._group: self._topic}, self._patience_s)
        self._read = frozenset(partition for member in group.members for partition in member.partitions)
        self._answered = asked
