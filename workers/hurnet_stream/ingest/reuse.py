"""Vectors of texts that come again unchanged: taken from the store, if that is cheaper than embedding them.

A text that replaces is often the one that is there already: a table that is sent anew every night. Its vector
is in the store, in the batch that it came with, and reading a batch costs its bytes. So it pays for a slow
embedder and not for a fast one:

    embedding     1.2 ms a text      9 of 10 texts are unchanged: 1.1 ms are saved a text
    looking up    0.6 ms a text      so all of them are looked up
    embedding     0.1 ms a text      at most 0.1 ms are saved: `SAMPLE` texts are looked up now and then

Both times, and the share of unchanged texts, are those of the last turns. The texts themselves are compared,
so a vector is only taken for the very text that it was made of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hurnet_stream.core.stored.batch import Vectors, key_digest
from hurnet_stream.ingest.intake import Intake
from hurnet_stream.ports import EntryStore

SAMPLE: Final = 32
"""How many texts are looked up if it does not seem to pay."""
EVERY: Final = 16
"""In which turn of so many that is done."""
_WEIGHT: Final = 0.2  # of the last turn among those before it


class _Wanted(NamedTuple):
    row: int
    text: str


class Reuse:
    """Looks up vectors, as long as that pays."""

    def __init__(self, store: EntryStore) -> None:
        self._store = store
        self._turn = 0
        self._embed_s: float | None = None  # a text
        self._look_up_s: float | None = None  # a text
        self._unchanged = 1.0  # their share: hoped for before it is known

    def known(self, intakes: Sequence[Intake]) -> Mapping[int, Vectors]:
        """The vectors that need not be made, by the row of their entry among those of all intakes."""
        wanted = self._wanted(intakes)
        if not wanted:
            return {}
        self._turn += 1
        most = sum(map(len, wanted.values())) if self._pays() else SAMPLE if self._turn % EVERY == 1 else 0
        return self._look_up(wanted, most) if most else {}

    def learn(self, texts: int, seconds: float) -> None:
        """Told how long it took to embed so many texts."""
        if texts:
            self._embed_s = _blend(self._embed_s, seconds / texts)

    def _pays(self) -> bool:
        if self._embed_s is None or self._look_up_s is None:
            return False
        return self._unchanged * self._embed_s > self._look_up_s

    def _look_up(
        self, wanted: Mapping[int, Mapping[tuple[bytes, str], list[_Wanted]]], most: int
    ) -> dict[int, Vectors]:
        began, looked_up, known = time.perf_counter(), 0, dict[int, Vectors]()
        for shard, by_key in wanted.items():
            keys = list(by_key)[: most - looked_up]
            looked_up += len(keys)
            for key, vectors in self._store.under_keys(shard, keys).items() if keys else ():
                known |= {each.row: vectors[each.text] for each in by_key[key] if each.text in vectors}
        if looked_up:
            self._look_up_s = _blend(self._look_up_s, (time.perf_counter() - began) / looked_up)
            self._unchanged = _blend(self._unchanged, min(1.0, len(known) / looked_up))
        return known

    def _wanted(self, intakes: Sequence[Intake]) -> dict[int, dict[tuple[bytes, str], list[_Wanted]]]:
        """The entries that replace, by shard, and by key and context."""
        wanted: dict[int, dict[tuple[bytes, str], list[_Wanted]]] = {}
        row = 0
        for intake in intakes:
            for entry, origin in zip(intake.entries, intake.origins, strict=True):
                if origin.replaces and origin.key is not None:
                    key = key_digest(origin.key), entry.context
                    of_shard = wanted.setdefault(intake.partition, {})
                    of_shard.setdefault(key, []).append(_Wanted(row, entry.text))
                row += 1
        return wanted


def _blend(before: float | None, last: float) -> float:
    return last if before is None else before + _WEIGHT * (last - before)
