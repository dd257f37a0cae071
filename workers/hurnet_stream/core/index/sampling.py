"""A sample of the pairs of an index that depends on what is held alone.

Each pair has a random number between 0 and 1 that is made of its partition and offset, divided by its copies.
The pairs with the lowest numbers are the sample: whatever came before or went, the same pairs give the same
sample, and an entry of weight w is as likely to be in it as w entries.

    offset    0       1       2       3       4            the sample of 2
    number    0.71    0.12    0.55    0.90    0.33         1 and 4
    copies    1       1       10      1       1            2 (0.055) and 1
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.search.blocks import Blocks

Integers = NDArray[np.int64]


def lowest_pairs(blocks: Blocks, most: int) -> Integers:
    """The rows (n,) of the sample, n being at most `most`."""
    rows, numbers = [np.empty(0, np.int64)], [np.empty(0)]
    for number, block in enumerate(blocks.blocks):
        columns = block.columns
        slots = block.alive()
        slots = slots[columns.teaches[slots]]
        held = columns.part(slots)
        of_block = hashes(held.partitions, held.offsets, held.copies)
        if len(slots) > most:  # the others can't be among the lowest of all
            lowest = np.argpartition(of_block, most - 1)[:most]
            slots, of_block = slots[lowest], of_block[lowest]
        rows.append(number * blocks.block_rows + slots)
        numbers.append(of_block)
    all_rows, all_numbers = np.concatenate(rows), np.concatenate(numbers)
    lowest = np.argsort(all_numbers, kind="stable")[:most]
    sampled: Integers = all_rows[lowest]
    return sampled


def hashes(partitions: Integers, offsets: Integers, copies: Integers) -> NDArray[np.float64]:
    """Between 0 and 1, of each row (n,): the finaliser of splitmix64 over its identity, divided by its
    copies."""
    x = partitions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + offsets.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    numbers: NDArray[np.float64] = x.astype(np.float64) / 2.0**64 / copies
    return numbers
