"""Who gets how much of one reply: what a reader asks for is bounded in all, not for each shard."""

from collections.abc import Iterable, Set

MAX_BATCH_BYTES = 1 << 20
"""Of a batch as it is made from records: of their values and their vectors. One record may be more alone."""


REPLY_BATCHES = 32
"""In one reply: 32 MiB, and twice that where rows were erased, since these batches lie in two places."""


class Shares:
    """Gives shards their turn. A reader that is behind in some reads these alone, and all others otherwise;
    where they are too many for one reply, those that had to stand back are first in the next."""

    def __init__(self) -> None:
        self._last = -1

    def of(self, shards: Iterable[int], behind: Set[int], most: int) -> dict[int, int]:
        """How many batches of which shards to read: of each of them the same, at least one and at most
        `most`, and `REPLY_BATCHES` in all."""
        wanted = sorted(set(shards) & behind) or sorted(shards)
        turn = [shard for shard in wanted if shard > self._last]
        turn += [shard for shard in wanted if shard <= self._last]
        chosen = turn[:REPLY_BATCHES]
        if not chosen:
            return {}
        self._last = chosen[-1]
        return dict.fromkeys(chosen, min(most, REPLY_BATCHES // len(chosen)))
