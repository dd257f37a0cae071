"""What became of entries that a receipt has seen and that are gone since.

The solver writes the audit of a deletion before the store may erase its entries. So whatever was deleted has
an audit, as long as audits are kept (HURNET_SOLVE_AUDITS). A text that took the place of others has none: it
says itself what it replaced, until that is compacted away.

    receipt       watermark of shard 0: 41, 7 entries of the context; 5 of them are there
    audit         the deletion at 0/44 deleted 0/5         0/5 is missing
    audit         the deletion at 0/39 deleted 0/2         the responder did not hold it either
    batch         the text at 0/47 replaced 0/9            0/9 is missing
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from typing import Final

from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.stored.batch import MAX_OFFSET, MOST_TARGETS, NOTHING, Batch, Deletion
from hurnet_stream.operations.again.asked import Missing
from hurnet_stream.places import Places
from hurnet_stream.ports import DeletionAudit, EntryStore, WeightsStore, deleted_by

MOST: Final = 100
"""Entries that are named; a whole context may have been dropped."""
READ_BATCHES: Final = 16


@dataclass(frozen=True, slots=True)
class Gone:
    """Entries of a `context` that were there when a responder had come to the watermarks `seen`, and that are
    not in its `index` now."""

    store: EntryStore
    audits: WeightsStore
    places: Places
    index: ContextIndex
    context: str
    seen: Mapping[int, int]
    deleting: Mapping[int, int]
    """By shard, how many entries of the deletion behind its watermark were out by then."""

    def named(self, count: int) -> list[Missing]:
        """What became of `count` of them."""
        named = list(islice(self._audited(), MOST + 1))
        if len(named) < min(count, MOST):
            named += islice(self._replaced(), min(count, MOST) - len(named))
        shown, is_cut = named[:MOST], len(named) > MOST
        if len(named) > count:  # of a text that taught nothing nobody knows the context any more
            others = " and of others" if is_cut else ""
            why = f"{count:,} of these {len(shown):,} entries{others} were of the context"
        elif count > len(shown):
            more = f"{count - len(shown):,} more entries" if shown else f"{count:,} entries"
            unnamed = "" if is_cut else ": deleted or replaced, and nothing names them any more"
            why = f"{more} of the context are gone since{unnamed}"
        else:
            return shown
        return [*shown, Missing("entries", why)]

    def _audited(self) -> Iterator[Missing]:
        later = [each for each in self.audits.audit() if each.deletion.offset > self._reached(each.partition)]
        following: dict[int, int] = {}  # by shard, the first deletion behind its watermark
        for audit in later:
            offset = audit.deletion.offset
            following[audit.partition] = min(offset, following.get(audit.partition, offset))
        for audit in filter(self._concerns, later):
            is_next = audit.deletion.offset == following[audit.partition]
            targets = audit.deletion.targets[self._out(audit) if is_next else 0 :]
            for target in filter(self._is_gone(audit.partition), targets):
                yield self._deleted(audit, target)

    def _out(self, audit: DeletionAudit) -> int:
        """How many of its targets the responder had taken out by then. An audit names those of the last part
        alone."""
        return max(0, self.deleting.get(audit.partition, 0) - audit.deletion.parts * MOST_TARGETS)

    def _reached(self, partition: int) -> int:
        return self.seen.get(partition, NOTHING)

    def _concerns(self, audit: DeletionAudit) -> bool:
        """Whether it may have deleted something of the context."""
        return not audit.contexts.isdisjoint(("", self.context))

    def _is_gone(self, partition: int) -> Callable[[int], bool]:
        reached = self._reached(partition)
        return lambda target: target <= reached and self.index.find((partition, target)) is None

    def _deleted(self, audit: DeletionAudit, target: int) -> Missing:
        entry = self.places.whole_name((audit.partition, target))
        deletion = self.places.record((audit.partition, audit.deletion.offset))
        when = datetime.fromtimestamp(audit.done_ms / 1000, UTC).isoformat(timespec="seconds")
        why = f"{entry} was forgotten by {deletion} at {when}"
        if audit.deletion.expiry:
            why = f"{entry} left at {when} by {deletion}, for its age or because there were too many"
        return Missing("entry", why, entry, deletion, when)

    def _replaced(self) -> Iterator[Missing]:
        """Those that texts behind the watermarks have replaced, as far as the store still says it."""
        positions = {shard: self.seen.get(shard, MAX_OFFSET) for shard in self.store.states()}
        while batches := self.store.tail(positions, READ_BATCHES).batches:
            for batch in batches:
                positions[batch.partition] = batch.watermark
                if batch.deletion and batch.deletion.replaces:
                    yield from self._replaced_by(batch, batch.deletion)

    def _replaced_by(self, batch: Batch, deletion: Deletion) -> Iterator[Missing]:
        shard, entries = batch.partition, batch.columns
        reached, is_gone = self._reached(shard), self._is_gone(shard)
        ours = {entry.offset for entry in entries if entry.context == self.context and entry.offset > reached}
        parts = deleted_by(self.store, shard, replace(deletion, targets=(), by=()))
        of_parts = zip(chain.from_iterable(parts), repeat(deletion.offset))
        for target, by in chain(of_parts, zip(deletion.targets, deletion.by, strict=True)):
            if by in ours and is_gone(target):
                entry, newer = self.places.whole_name((shard, target)), self.places.record((shard, by))
                yield Missing("entry", f"{newer} took the place of {entry}, under its key", entry, newer)
