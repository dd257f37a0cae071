"""The numbers of what is stored, and what a program does with a number that it doesn't know.

    STORE       the store as a whole: keys, states, and all that has no number of its own. It stands in the
                meta as `format`, beside the numbers that a reader and a writer must speak. From 2 on what
                deletions leave behind is compacted; a store of format 1 stays one until `hurnet compact`.
                From 3 on texts replace others and topics have numbers; a store of format 2 stays one until
                then. From 4 on old rows may lie in files (core/stored/segments.py)
    STREAM      an item of a shard's stream, or what is left of one (field `format`; 1 if there is none). 2 is
                what compaction has made of several items, 3 one that has entries and what they replace, 4 one
                that names a segment
    BATCH       a batch in such an item: its entries and vectors
    DELETION    a deletion in such an item, its targets included
    CHECKPOINT  the solver's checkpoint: header, grams and sums
    WEIGHTS     published weights
    MIX         the published mix of a context
    AUDIT       the audit of a deletion
    BACKUP      a backup of a store, as a file

A reader ignores fields that it doesn't know. A change that an older program would misread gets a new number:
the older one then stops and says that it must be upgraded, and never calls corrupt what it can't read.
Messages in Kafka have a number of their own, in hurnet_schemas/base.py.
"""

from __future__ import annotations

from typing import Final

STORE: Final = 4
STREAM: Final = 4
BATCH: Final = 1
DELETION: Final = 1
CHECKPOINT: Final = 1
WEIGHTS: Final = 1
MIX: Final = 1
AUDIT: Final = 1
BACKUP: Final = 1

BEGUN: Final = 2
"""The format of a store that is begun now."""
COMPACTED_FROM: Final = 2
"""The format of a store from which on it is compacted."""
REPLACED_FROM: Final = 3
"""The format of a store from which on texts replace others."""
KEYED_FROM: Final = 3
"""The format of a store from which on digests of keys may be under a secret."""
REDACTED_FROM: Final = 3
"""The format of a store from which on texts may be redacted."""
NUMBERED_FROM: Final = 3
"""The format of a store from which on there are shards of other topics than that of texts."""
SEALED_FROM: Final = 4
"""The format of a store from which on old rows may lie in files."""
COMPACTED_ITEM: Final = 2
"""The format of an item that compaction has made of several."""
SEALED_ITEM: Final = 4
"""The format of an item that names a segment."""


class NewerFormat(ValueError):
    """A newer program wrote it, in a format that this one does not speak."""

    def __init__(self, what: str, needs: int, speaks: int) -> None:
        super().__init__(
            f"a newer hurnet wrote {what}: upgrade (it needs format {needs}, this one speaks {speaks})"
        )


def check_format(what: str, needs: int, speaks: int) -> None:
    """Raises `NewerFormat` if `what` needs a higher number than this program speaks, and ValueError if that
    is no number of a format."""
    if needs < 1:
        raise ValueError(f"{what} has format {needs}")
    if needs > speaks:
        raise NewerFormat(what, needs, speaks)
