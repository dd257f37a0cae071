"""A store with everything in it that a copy has to keep, and what two stores have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion, Entry, key_digest
from hurnet_stream.ports import Appended, Embedder, EntryStore, Unfinished, deleted_by

UNKNOWN = "\u2003"
"""Nothing in it that an embedder by spelling would know."""


class Teacher:
    """Fills a store with random texts and deletions of every kind."""

    def __init__(self, store: EntryStore, embedder: Embedder, seed: int = 0) -> None:
        self.store = store
        self.embedder = embedder
        self.random = random.Random(seed)
        self.said: dict[str, int] = {}

    def teach(
        self, rows: int, partition: int = 0, unknown: float = 0.0, replacing: bool = False, **fields: Any
    ) -> None:
        at = self.store.state(partition).watermark
        offsets = [at + 1 + 2 * row for row in range(rows)]
        entries = [self._entry(offset, unknown, fields) for offset in offsets]
        keys = [key_digest(b"%d" % ((offset // 2) % 7)) if offset % 3 else None for offset in offsets]
        vectors = self.embedder.embed([f"{entry.text} known" for entry in entries])
        replaces = [bool(replacing and key) for key in keys]
        mode = "upsert" if replacing else ""
        batch = Batch(partition, offsets[-1] + 1, entries, vectors, keys=keys, replaces=replaces, mode=mode)
        self.store.admit(frozenset(entry.context for entry in entries), 1_000)
        assert isinstance(self.store.append(batch, at), Appended)

    def delete(self, partition: int = 0, **asked: Any) -> None:
        at = self.store.state(partition).watermark
        deletion = Deletion(at + 2, 1_000 + at, **asked)
        while isinstance(self.store.delete(partition, deletion, at), Unfinished):
            pass

    def everything(self, partition: int = 0) -> None:
        """Texts and deletions of every kind."""
        self.teach(40, partition, unknown=0.2)
        self.delete(partition, key=key_digest(b"3"))
        self.teach(30, partition, context="faq")
        self.delete(partition, targets=(0, 2, 5, 83))
        self.teach(20, partition, context="gone")
        self.delete(partition, key=key_digest(b"1"), context="faq")
        self.delete(partition, context="gone")
        self.teach(25, partition, context="gone")
        self.delete(partition, targets=())
        self.teach(30, partition, replacing=True, unknown=0.2)
        self.teach(8, partition, replacing=True, context="faq")
        self.teach(1, partition)

    def _entry(self, offset: int, unknown: float, fields: Mapping[str, Any]) -> Entry:
        text = f"text {offset} of {self.random.randrange(10**9)}"
        answer = self.random.choice([None, "yes", "no"])
        copies = self.random.choice([1, 3, -2]) if answer else 1
        if self.random.random() < unknown:
            text = UNKNOWN
        kept = {"context": "default", "metadata": {"n": str(offset)}} | dict(fields)
        return Entry(offset, 5_000 + offset, text=text, answer=answer, copies=copies, **kept)


def held(store: EntryStore) -> dict[tuple[int, int], tuple[Entry, bytes]]:
    """What a reader from the beginning holds at the end: entries and their vectors, by (shard, offset)."""
    found: dict[tuple[int, int], tuple[Entry, bytes]] = {}
    positions: dict[int, int] = {}
    while batches := store.tail(positions, 16).batches:
        for batch in batches:
            if deletion := batch.deletion:
                for targets in deleted_by(store, batch.partition, deletion):
                    for target in targets:
                        found.pop((batch.partition, target), None)
            for entry, vector in zip(batch.entries, batch.vectors, strict=True):
                if entry.offset > positions.get(batch.partition, NOTHING):
                    assert (batch.partition, entry.offset) not in found, "an entry twice"
                    found[batch.partition, entry.offset] = entry, vector.tobytes()
            positions[batch.partition] = batch.watermark
    return found


class Killed(Exception):
    """The process is gone at this point."""


class Mortal:
    """Passes calls on, until its `life` is over: then the next one is not made, or its reply is lost."""

    def __init__(self, inner: Any, life: Life) -> None:
        self._inner = inner
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name in ("close", "identity"):
            return found
        return self._life.call(found)


class Life:
    """`calls` calls, then the end: before the next call is made or, if `late`, after it."""

    def __init__(self, calls: int, late: bool) -> None:
        self._left = calls
        self._late = late

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self._late:
                raise Killed
            result = function(*arguments, **named)
            if self._left < 0:
                raise Killed
            return result

        return called
