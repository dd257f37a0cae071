"""How far memory is in a topic whose records are forwarded to the one that it is filled from (`hurnet
reshard`).

Whoever wrote record 17 of partition 2 of the old topic may ask for an answer that has seen it. The forwarder
notes, for each partition of the old topic, up to where it has forwarded it, and which offsets of the new
topic that takes (`reshard/progress.py`):

    note          partition 2 of texts: all before 18, which takes 0:40 3:52 of texts-7
    in memory     partition 0 up to 41, partition 3 up to 50        not yet: it says 2: what the last note
    allowed in memory     partition 0 up to 41, partition 3 up to 52        2: 17

A note that is not reached is kept until it is, while later ones wait behind it. So under load what is said
moves on with each of them, and never beyond what is in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping

from hurnet_schemas.places import ShardName, shard_name
from hurnet_stream.core.offsets import parse_offsets
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.ports import FORWARDED, Committed, EntryStore

LOOK_S = 0.05
"""How old notes may be."""


class Forwarded:
    """By partition of the old topic, the last offset that is in memory."""

    def __init__(self, store: EntryStore) -> None:
        self._store = store
        self.origin = ""
        """The old topic; "" if none is forwarded."""
        self._name: str | None = None
        self._looked_at = float("-inf")
        self._waiting: dict[int, Committed] = {}
        self._reached: dict[int, int] = {}

    def of(self, origin: str, home: str) -> None:
        """Records of `origin` are forwarded; names without a topic mean `home`."""
        self.origin, self._name = origin, None if origin == home else origin

    def seen(self, watermarks: Mapping[int, int]) -> dict[ShardName, int]:
        """What is in memory, as offsets of the old topic by the names of its partitions."""
        if time.monotonic() - self._looked_at > LOOK_S:
            self._look()
        for partition, note in list(self._waiting.items()):
            if all(watermarks.get(p, NOTHING) >= offset for p, offset in parse_offsets(note.note).items()):
                self._reached[partition] = note.offset - 1
                del self._waiting[partition]
        return {shard_name(self._name, p): offset for p, offset in self._reached.items()}

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        for partition, note in self._store.progress(FORWARDED).items():
            known = self._reached.get(partition, NOTHING) + 1
            if note.offset != known:  # less, if the store lost what it had acknowledged
                self._waiting.setdefault(partition, note)
