"""What an index does about the room that removed entries leave behind.

A removed row keeps its slot in a block, and an erased text its bytes (as zeros) in a chunk. Once a quarter of
all rows or bytes are such leftovers, one block or one chunk is given up: what is still needed of it is
written again behind the rest. Every removal does one such step at most. That bounds what a removal costs, and
it is enough to keep up, since a block that is given up frees a fifth of its slots or more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.index.arena import Arena, within
from hurnet_stream.core.index.attributes import Attributes
from hurnet_stream.core.index.teaching import Teaching
from hurnet_stream.core.lexical.lexicon import Lexicon
from hurnet_stream.core.search.block import BLOCK_ROWS
from hurnet_stream.core.search.blocks import Blocks

Integers = NDArray[np.int64]


def tidy(blocks: Blocks, teaching: Teaching, lexicon: Lexicon, attributes: Attributes, arena: Arena) -> bool:
    """Give up a block, or else a chunk, that holds too much that was removed; False if there is none. Rows of
    the block get other numbers."""
    if (block := blocks.emptiest()) is not None:
        _give_up_block(block, blocks, teaching, lexicon, attributes)
    elif (chunk := arena.emptiest()) is not None:
        _give_up_chunk(chunk, blocks, teaching, attributes, arena)
    else:
        return False
    return True


def _give_up_block(
    number: int, blocks: Blocks, teaching: Teaching, lexicon: Lexicon, attributes: Attributes
) -> None:
    first = number * BLOCK_ROWS
    end = first + blocks.blocks[number].used
    old, new = blocks.give_up(number)
    teaching.moved(first, end, old, new)
    lexicon.moved(first, old, new)
    attributes.moved(first, end, old, new)


def _give_up_chunk(
    chunk: int, blocks: Blocks, teaching: Teaching, attributes: Attributes, arena: Arena
) -> None:
    """Put the texts, answers and attributes of a chunk once more, and let all columns say where they are."""
    old, new = list[Integers](), list[Integers]()
    for block in blocks.blocks:
        columns = block.columns
        slots = np.flatnonzero(within(chunk, columns.texts[: block.used]))
        texts, lengths = columns.texts[slots], columns.lengths[slots]
        columns.texts[slots] = moved = arena.move(texts, lengths)
        if len(slots):
            block.columns_changed()
        # An empty text stands nowhere in particular: no answer can be meant by its address.
        some = (lengths != 0) & (lengths != ~0)
        old.append(texts[some])
        new.append(moved[some])
    none = np.empty(0, np.int64)
    teaching.answers.move(chunk, np.concatenate([none, *old]), np.concatenate([none, *new]))
    attributes.strings.move(chunk, none, none)
    arena.drop(chunk)
