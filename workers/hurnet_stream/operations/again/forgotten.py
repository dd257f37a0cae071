"""Which entries were forgotten since a receipt, by which deletion, and when: from the audits.

The solver writes the audit of a deletion before the store may erase its entries. So whatever was erased has
an audit, as long as audits are kept (HURNET_SOLVE_AUDITS).

    receipt       watermark of shard 0: 41, 7 entries of the context; 6 of them are there
    audit         the deletion at 0/44 deleted 0/5         0/5 is missing
    audit         the deletion at 0/39 deleted 0/2         the responder did not hold it either
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.operations.again.asked import Missing
from hurnet_stream.places import Places
from hurnet_stream.ports import DeletionAudit, WeightsStore

MOST: Final = 100
"""Entries that are named; a whole context may have been dropped."""


def forgotten(
    audits: WeightsStore,
    places: Places,
    index: ContextIndex,
    context: str,
    seen: Mapping[int, int],
    count: int,
) -> list[Missing]:
    """What became of `count` entries of a context that were there when a responder had come to the watermarks
    `seen`, and that are not in its `index` now."""
    named = [
        _missing(places, audit, target)
        for audit in audits.audit()
        if _concerns(audit, context)
        for target in _targets(audit, seen)
        if index.find((audit.partition, target)) is None
    ]
    if len(named) >= count and len(named) <= MOST:
        return named
    kept = named[: min(count, MOST)]
    more = f"{count - len(kept):,} more entries" if kept else f"{count:,} entries"
    why = f"{more} of the context are gone since, by deletions whose audits name them no more"
    return [*kept, Missing("entries", why)] if count > len(kept) else kept


def _concerns(audit: DeletionAudit, context: str) -> bool:
    """Whether it may have deleted something of the context. Nobody knows of texts that taught nothing."""
    return audit.context in ("", context) or context in {key.partition("@")[0] for key in audit.digests}


def _targets(audit: DeletionAudit, seen: Mapping[int, int]) -> Iterator[int]:
    reached = seen.get(audit.partition, NOTHING)
    if audit.deletion.offset > reached:
        yield from (target for target in audit.deletion.targets if target <= reached)


def _missing(places: Places, audit: DeletionAudit, target: int) -> Missing:
    entry = places.whole_name((audit.partition, target))
    deletion = places.record((audit.partition, audit.deletion.offset))
    when = datetime.fromtimestamp(audit.done_ms / 1000, UTC).isoformat(timespec="seconds")
    return Missing("entry", f"{entry} was forgotten by {deletion} at {when}", entry, deletion, when)
