"""To which partition each record goes, as Kafka's own clients choose it: by its key's murmur2.

Many keys at once, since kafka-python hashes one in ten microseconds. The keys become the rows of one array of
32-bit words, filled up with zeros, and each step of the hash is done for all rows that have a word there:

    keys        "a"    "order-17"
    words       [0]    ["orde", "r-17"]      whole words of 4 bytes; the 1 to 3 bytes behind them come last
    step 1              mixes "orde"
    step 2              mixes "r-17"
    the rest    "a"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_M: Final = np.uint32(0x5BD1E995)
_SEED: Final = np.uint32(0x9747B28C)


def partitions_of(keys: Sequence[bytes], count: int) -> NDArray[np.int64]:
    """The partition (n,) of each key (n,) in a topic of `count` partitions."""
    return (murmur2(keys) & np.uint32(0x7FFFFFFF)).astype(np.int64) % count


def murmur2(keys: Sequence[bytes]) -> NDArray[np.uint32]:
    """The hash (n,) of each key (n,), as org.apache.kafka.common.utils.Utils.murmur2 has it."""
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    width = (int(lengths.max(initial=0)) // 4 + 1) * 4
    filled = np.frombuffer(b"".join(key.ljust(width, b"\0") for key in keys), "<u4").reshape(-1, width // 4)
    hashed = _SEED ^ lengths.astype(np.uint32)
    whole = lengths // 4
    for step in range(int(whole.max(initial=0))):
        word = filled[:, step] * _M
        word = (word ^ (word >> np.uint32(24))) * _M
        hashed = np.where(step < whole, hashed * _M ^ word, hashed)
    rest = filled[np.arange(len(keys)), whole]  # zeros behind the key change nothing
    hashed = np.where(lengths % 4 > 0, (hashed ^ rest) * _M, hashed)
    hashed = (hashed ^ (hashed >> np.uint32(13))) * _M
    return hashed ^ (hashed >> np.uint32(15))
