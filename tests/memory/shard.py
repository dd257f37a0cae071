"""One shard of the in-memory store, and how a deletion proceeds in it.

A deletion of many targets is done in parts of at most `MOST_TARGETS`. Until the last part is there, readers
see nothing of it:

    delete(deletion)   -> parts[offset] = [first part]                   (unfinished: asked for again)
    delete(deletion)   -> parts[offset] = [first part, second part]      (unfinished)
    delete(deletion)   -> batches gets the deletion, `targets` = the rest, `parts` = 2
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from hurnet_stream.core.places import TEXTS, number_of
from hurnet_stream.core.stored import compaction
from hurnet_stream.core.stored.batch import (
    MAX_OFFSET,
    MOST_TARGETS,
    NOTHING,
    Batch,
    Deletion,
    Entry,
    Expiry,
    ShardState,
)
from hurnet_stream.core.stored.codec import bare
from hurnet_stream.core.stored.replacing import replaced_keys
from hurnet_stream.ports import Holding


def most_targets() -> int:
    """How many entries a step deletes."""
    return MOST_TARGETS


@dataclass(slots=True)
class Shard:
    partition: int
    state: ShardState
    batches: list[Batch] = field(default_factory=list)
    keys: dict[bytes, set[tuple[str, int]]] = field(default_factory=dict)
    """By record key: (context, offset) of the entries that came under it."""
    pending: dict[int, int] = field(default_factory=dict)
    """By offset of an entry that is deleted and not erased yet: the offset of the deletion."""
    first: dict[str, int] = field(default_factory=dict)
    """By context: the offset of its first entry here since its name was admitted."""
    parts: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    """By offset of a deletion: the targets of its parts."""
    expired: dict[str, Expiry] = field(default_factory=dict)
    unfinished: Deletion | None = None
    replacing: int | None = None
    """The watermark of a text that replaces very many, and of which only parts are there."""
    fence: str = ""
    """The only solver that may erase and compact; "" if nobody has said so."""
    erased: int = NOTHING
    """The last deletion of which something was erased."""
    compacted: int = NOTHING
    asked: int = NOTHING
    following: tuple[int, float] = NOTHING, float("-inf")
    """The next floor, and when it was a saved checkpoint's watermark, in seconds."""

    def replaced_by(self, batch: Batch) -> list[tuple[bytes, str, int, int]]:
        """What is held under the keys that a batch replaces: key, context, offset, and by which position."""
        return [
            (key, context, offset, by)
            for key, context, by in replaced_keys(batch)
            for held, offset in sorted(self.keys.get(key, ()))
            if held == context
        ]

    def replace(self, found: Sequence[tuple[bytes, str, int, int]]) -> dict[int, int]:
        """Take these away from under their keys. Returns those that no deletion has deleted before, by
        which positions."""
        for key, context, offset, _ in found:
            self.keys[key].discard((context, offset))
        fresh = {offset: by for _, _, offset, by in found if offset not in self.pending}
        self.pending |= {offset: fresh[offset] for offset in self.stored(fresh)}
        return fresh

    def begin_replacing(self, watermark: int, found: Sequence[tuple[bytes, str, int, int]]) -> None:
        """Do a part of what one text replaces."""
        self.replacing = watermark if self.replacing is None else self.replacing
        self.parts.setdefault(self.replacing, []).append(tuple(sorted(self.replace(found))))

    def append(self, batch: Batch, found: Sequence[tuple[bytes, str, int, int]] = ()) -> int:
        """Take in a batch that was checked, the keys under which its entries came, and what it replaces.
        Returns how many entries it has replaced."""
        fresh = self.replace(found)
        overtaken = (
            dict(zip(batch.deletion.targets, batch.deletion.by, strict=True)) if batch.deletion else {}
        )
        deletion = self._replacement(batch, fresh | overtaken)
        if batch.entries or deletion:
            end = self.state.rows + len(batch.entries)
            bare_of = replace(batch, keys=(), replaces=(), mode="", anchor=None)
            self.batches.append(replace(bare_of, end=end, deletion=deletion))
        for entry in batch.entries:
            self.first.setdefault(entry.context, entry.offset)
        for key, entry in zip(batch.keys, batch.entries, strict=bool(batch.keys)):
            if key is not None:
                self.keys.setdefault(key, set()).add((entry.context, entry.offset))
        return len(fresh)

    def _replacement(self, batch: Batch, by_target: dict[int, int]) -> Deletion | None:
        """The deletion beside the entries of a batch, with what was begun before."""
        offset, parts = batch.watermark, 0
        if self.replacing is not None and self.replacing <= batch.watermark:
            offset, parts = self.replacing, len(self.parts[self.replacing])
            self.replacing = None
        if not by_target and not parts:
            return None
        timestamp_ms = batch.entries[-1].timestamp_ms if batch.entries else 0
        targets = tuple(sorted(by_target))
        by = tuple(by_target[target] for target in targets)
        return Deletion(offset, timestamp_ms, targets=targets, parts=parts, replaces=True, by=by)

    def delete(self, deletion: Deletion, dimension: int) -> bool:
        """Delete one part; whether that was the last one."""
        if deletion.expiry and number_of(self.partition):
            self.expired[deletion.context or ""] = deletion.expiry
        targets = self._targets(deletion)
        part = tuple(sorted({*targets[:MOST_TARGETS]} - self.pending.keys()))
        self.pending |= dict.fromkeys(self.stored(part), deletion.offset)
        if len(targets) > MOST_TARGETS:
            self.parts.setdefault(deletion.offset, []).append(part)
            self.unfinished = replace(deletion, anchor=None)
            return False
        self._show(replace(deletion, targets=part, anchor=None), dimension)
        if deletion.drops:
            self.first.pop(deletion.context or "", None)
        return True

    def repeat(self, deletion: Deletion, targets: Sequence[int], last: bool, dimension: int) -> bool:
        """Delete a page whose targets are known; whether that was the last one."""
        part = tuple(sorted({*targets} - self.pending.keys()))
        self.pending |= dict.fromkeys(self.stored(part), deletion.offset)
        for found in self.keys.values():
            found -= {each for each in found if deletion.key is not None and each[1] in part}
        if not last:
            self.parts.setdefault(deletion.offset, []).append(part)
            self.unfinished = replace(deletion, targets=(), anchor=None)
            return False
        self._show(replace(deletion, targets=part, anchor=None), dimension)
        if deletion.drops:
            self.first.pop(deletion.context or "", None)
        return True

    def finish_before(self, offset: int, dimension: int, deletes: bool = False) -> None:
        """A record beyond the unfinished deletion comes (its worker gave it up): readers learn of the parts
        that are done before they learn of that record."""
        if self.unfinished and self.unfinished.offset < offset:
            self._show(replace(self.unfinished, targets=()), dimension)
        # What replaces others takes such parts along. A deletion comes behind them.
        if self.replacing is not None and self.replacing < offset and deletes:
            begun = Deletion(self.replacing, 0, replaces=True)
            self.replacing = None
            self._show(begun, dimension)

    def erase(self, due: Set[int], most: int) -> tuple[int, int, set[str]]:
        """Take the entries at `due` out of the store, in at most `most` batches.

        Returns how many batches were rewritten, how many entries are still due, and which contexts lost one.
        """
        rewritten, due, contexts = 0, set(due), set[str]()
        for row, batch in enumerate(self.batches):
            targets = due.intersection(batch.columns.offsets.tolist())
            if targets and rewritten < most:
                contexts |= {entry.context for entry in batch.entries if entry.offset in targets}
                self.batches[row] = batch.without(targets)
                self._settle(targets)
                due -= targets
                rewritten += 1
        if rewritten == most:
            return rewritten, len(due), contexts
        self._settle(due)  # all batches were looked at: these targets are in none of them
        return rewritten, 0, contexts

    def raise_floor(self, covered: int, keep_s: float, now: float) -> None:
        """As high as it may be. `covered` is the saved checkpoint's watermark."""
        limit = min(covered, min(self.pending.values(), default=MAX_OFFSET) - 1)
        following, since = self.following
        grown_old = now >= since + keep_s
        target = min(max(following if grown_old else NOTHING, self.asked), limit)
        if target > self.state.floor:
            self.state = replace(self.state, floor=target)
        if grown_old and following < limit:
            self.following = limit, now

    def compact(self) -> None:
        """Compact all that lies below the floor."""
        count = bisect_right(self.batches, self.state.floor, key=lambda batch: batch.watermark)
        below, parts = self.batches[:count], self.parts
        for batch in below:
            if batch.deletion:
                parts.pop(batch.deletion.offset, None)
        while found := compaction.runs(below):
            run = found[0]
            made = compaction.merged(below[run.first : run.last + 1])
            below[run.first : run.last + 1] = [made] if made else []
        self.batches[:count] = below
        self.compacted = self.state.floor

    def after(self, position: int) -> Sequence[Batch]:
        """The batches that reach beyond `position`."""
        return self.batches[bisect_right(self.batches, position, key=lambda batch: batch.watermark) :]

    def rows(self, context: str) -> int:
        return sum(entry.context == context for entry in self.entries())

    def of_context(self, context: str, after: int) -> Iterator[Entry]:
        """Its entries beyond an offset, without those that are deleted."""
        found = (e for e in self.entries() if e.context == context and e.offset > after)
        return (entry for entry in found if entry.offset not in self.pending)

    def entries(self) -> Iterator[Entry]:
        return (entry for batch in self.batches for entry in batch.entries)

    def stored(self, offsets: Iterable[int]) -> set[int]:
        """Those at which there is an entry. Makes no entries, since it is asked at each step."""
        asked = {*offsets}
        if not asked:
            return asked
        return {at for batch in self.batches for at in asked.intersection(batch.columns.offsets.tolist())}

    def holding(self, context: str) -> Holding:
        sizes = [
            2 * batch.vectors.shape[1] + len(entry.text.encode())
            for batch in self.batches
            for entry in batch.entries
            if entry.context == context
        ]
        return Holding(len(sizes), sum(sizes), self.first.get(context))

    def _targets(self, deletion: Deletion) -> list[int]:
        """The offsets that are still to be deleted: those of the next part first."""
        if deletion.expiry:
            old = (e for e in self.of_context(deletion.context or "", NOTHING))
            return [e.offset for e in old if deletion.expiry.covers(e.offset, e.timestamp_ms)]
        if deletion.drops:
            dropped = (entry.offset for entry in self.entries() if entry.context == deletion.context)
            return [offset for offset in dropped if offset not in self.pending]
        keyed = self.keys.get(deletion.key or b"", ()) if deletion.key is not None else ()
        named = [found for found in sorted(keyed) if deletion.context in (None, found[0])]
        for found in named[:MOST_TARGETS]:
            self.keys[deletion.key or b""].discard(found)
        if (
            deletion.targets and number_of(self.partition) != TEXTS
        ):  # of a record that may be several entries only those that are there
            return sorted(self.stored(deletion.targets)) or [deletion.targets[0]]
        return [*deletion.targets, *(offset for _, offset in named)]

    def _settle(self, targets: Set[int]) -> None:
        for target in targets:
            self.pending.pop(target, None)

    def _show(self, deletion: Deletion, dimension: int) -> None:
        """All parts are there: readers may see the deletion, as a batch without entries."""
        whole = replace(deletion, parts=len(self.parts.get(deletion.offset, ())))
        item = bare(self.partition, deletion.offset, dimension)
        self.batches.append(replace(item, deletion=whole, end=self.state.rows))
        self.unfinished = None
