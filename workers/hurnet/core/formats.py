"""Versions of what is stored, and what a program does with one that it doesn't know.

Whoever reads ignores fields that it doesn't know. A change that an older program would misread gets a new
number, so that it stops with a word to upgrade, and never calls what it can't read corrupt. The numbers:

    STORE       the context as a whole: keys, states, and all that has no number of its own. It is in the
                context's meta as `format`, beside the numbers that a reader and a writer must speak
    STREAM      an entry of a shard's stream, or what is left of one (field `format`; absent: 1)
    DELETION    a deletion in such an entry, its targets included
    CHECKPOINT  the solver's checkpoint: header, grams and sums
    WEIGHTS     published weights
    AUDIT       the audit of a deletion

Entries and vectors of a batch have theirs in core/stored/entries_codec.py, messages in
Kafka in hurnet_schemas/base.py.
"""

from __future__ import annotations

from typing import Final

STORE: Final = 1
STREAM: Final = 1
DELETION: Final = 1
CHECKPOINT: Final = 1
WEIGHTS: Final = 1
AUDIT: Final = 1


class NewerFormat(ValueError):
    """A newer program wrote it, in a format that this one does not speak."""

    def __init__(self, what: str, needs: int, speaks: int) -> None:
        super().__init__(
            f"a newer hurnet wrote {what}: upgrade (it needs format {needs}, this one speaks {speaks})"
        )


def check_format(what: str, needs: int, speaks: int) -> None:
    """Raise `NewerFormat` if `what` needs a higher number than this program speaks, and ValueError if it is
    no number of a format."""
    if needs < 1:
        raise ValueError(f"{what} has format {needs}")
    if needs > speaks:
        raise NewerFormat(what, needs, speaks)
