"""How much of one reply each shard gets. A reply is bounded as a whole: a reader may have many shards.

With REPLY_BATCHES = 4 and a reader that has seen little of shards 0 to 5:

    1st reply   one batch each of 0 1 2 3
    2nd reply   one batch each of 4 5 0 1      those that stood back come first
    then only 2 is behind
    3rd reply   four batches of 2
"""

from collections.abc import Iterable, Set

MAX_BATCH_BYTES = 1 << 20
"""Bytes of values and vectors in a batch that is made from records. A single record may be larger."""

REPLY_BATCHES = 32
"""Batches in one reply: 32 MiB, or twice that if rows were erased, since these batches lie in two places."""


class Shares:
    """Gives shards their turns. If a reader is known to be behind in some shards, it reads these alone."""

    def __init__(self) -> None:
        self._last = -1  # the last shard that was in a reply

    def of_next_reply(self, shards: Iterable[int], behind: Set[int], batches_max: int) -> dict[int, int]:
        """Which shards to read now, and how many batches of each of them.

        That number is the same for each: at least one and at most `batches_max`, and at most `REPLY_BATCHES`
        in all.
        """
        wanted = sorted(set(shards) & behind) or sorted(shards)
        in_turn = [shard for shard in wanted if shard > self._last]
        in_turn += [shard for shard in wanted if shard <= self._last]
        chosen = in_turn[:REPLY_BATCHES]
        if not chosen:
            return {}
        self._last = chosen[-1]
        return dict.fromkeys(chosen, min(batches_max, REPLY_BATCHES // len(chosen)))
