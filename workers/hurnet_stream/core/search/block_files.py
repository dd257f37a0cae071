"""A full block in files of a shelf (`core/shelf`), which take no memory that the system could not take back.

    rows      the vectors                                 written once, removed rows are wiped
    planes    the planes                                  written once, removed rows are wiped
    marks     columns, norms, bounds and all rows' sums   written anew if a row has been removed

The vectors are mapped as soon as the block is full: of these a search reads only rows that survive the
planes. Each is checked by its sum (`core/row_sums`) whenever it is read. So a start need not read them, and a
wiped row changes nothing for the others. Planes stay in memory: their file is there for the next start.

    row 5 is removed     its sum in memory is IN_MEMORY, and it is compared no more
    it is saved          marks-9 says so instead of marks-3. Then zeros are written over the row in rows-1 and
                         planes-2
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hurnet_stream.core.row_sums import plane_sums, row_sums
from hurnet_stream.core.search.block import IN_MEMORY, REMOVED, Block, RowColumns
from hurnet_stream.core.search.pages import page_aligned
from hurnet_stream.core.shelf import DamagedShelf, FileName, Shelf, Tree

_KINDS: Final = ("rows", "planes", "marks")
_LANES: Final = 16
"""Rows that stand beside one another in the kernels' planes."""
_MARKS: Final = ("scale", "slack", "norms", "sums", "used", "removed", "widest")


def put_on(shelf: Shelf, block: Block) -> None:
    """Have the vectors of a block that is full mapped from a file, if there is room for one."""
    removed = block.columns.texts == REMOVED
    vectors = np.where(removed[:, None], np.int16(0), block.vectors) if removed.any() else block.vectors
    if name := shelf.write("rows", {"vectors": vectors}, is_summed=False):
        block.files["rows"] = name
        block.sums = row_sums(vectors)  # that of a row of zeros is IN_MEMORY
        block.vectors = shelf.map(name)["vectors"]
        block.moved()


def put_again(shelf: Shelf, block: Block) -> bool:
    """The same, if the block is full and there was no room for a file then. Returns whether there is now."""
    if block.sums is None and block.used == len(block.vectors):
        put_on(shelf, block)
        return block.sums is not None
    return False


def saved(block: Block, shelf: Shelf) -> Tree:
    """What `restored` needs: names of files, or all of a block that has none for its vectors. It changes
    nothing that a search reads."""
    if block.sums is None:
        return _rows_alone(block)
    while write(block, shelf):
        pass
    if block.unwiped and len(block.files) == len(_KINDS):
        slots = np.array(block.unwiped, np.int64)
        of_row = (slice(None), slots // _LANES, slice(None), slots % _LANES) if block.native else slots
        shelf.wipe(block.files["rows"], "vectors", slots)
        shelf.wipe(block.files["planes"], "plane", of_row)
        block.unwiped = []
    return {"files": dict(block.files)}


def write(block: Block, shelf: Shelf) -> bool:
    """Write one file of a full block that is missing; False if none was, or it can't be written."""
    if block.sums is None or len(block.files) == len(_KINDS):
        return False
    kind = "marks" if "planes" in block.files else "planes"
    name = _write_planes(block, shelf) if kind == "planes" else shelf.write(kind, _marks(block))
    if name:
        block.files[kind] = name
    return name is not None


def restored(tree: Tree, empty: Block, shelf: Shelf) -> Block:
    """The block that was saved, given one that is `empty`, and without room if it lies in files. Raises
    DamagedShelf."""
    if "files" in tree:
        empty.files = dict(tree["files"])
        _restore(empty, shelf)
        return empty
    empty.append(tree["vectors"], RowColumns(**tree["columns"]))
    for slot in tree["removed"].tolist():
        empty.remove(slot)
    return empty


def settle(block: Block) -> None:
    """Have the planes in memory of their own."""
    plane = page_aligned(block.plane.nbytes, huge=block.first > 0).view(block.plane.dtype)
    plane[:] = block.plane.reshape(-1)
    block.plane, block.is_settled = plane.reshape(block.plane.shape), True
    block.moved()


def check(block: Block) -> None:
    """Read all vectors that lie in a file. Raises DamagedShelf if one is not what it was."""
    if block.sums is not None and ((row_sums(block.vectors) != block.sums) & (block.sums != IN_MEMORY)).any():
        raise DamagedShelf(f"{block.files['rows']}: rows are not what they were")


def _restore(block: Block, shelf: Shelf) -> None:
    marks = shelf.read(block.files["marks"])
    for name in _MARKS:
        setattr(block, name, marks[name])
    block.columns = RowColumns(**marks["columns"])
    block.vectors = shelf.map(block.files["rows"])["vectors"]
    block.plane = shelf.map(block.files["planes"], whole=True)["plane"]
    block.is_settled = False
    if not block.native:
        settle(block)  # libraries want memory that they could write to
    held = block.columns.texts != REMOVED
    if (_plane_sums(block) != marks["plane_sums"])[held].any():
        raise DamagedShelf(f"{block.files['planes']}: rows are not what they were")
    block.unwiped = np.flatnonzero(~held).tolist()  # the process may have ended before they were wiped


def _rows_alone(block: Block) -> Tree:
    """Nothing but the rows, from which all else can be made again."""
    vectors, columns = block.vectors[: block.used].copy(), block.columns.part(slice(block.used))
    removed = np.flatnonzero(columns.texts == REMOVED)
    vectors[removed] = 0
    vectors[removed, 0] = 1  # a vector of zeros has no planes
    return {"vectors": vectors, "columns": columns._asdict(), "removed": removed}


def _write_planes(block: Block, shelf: Shelf) -> FileName | None:
    removed = np.flatnonzero(block.columns.texts == REMOVED)
    block.unwiped = sorted({*block.unwiped, *removed.tolist()})
    return shelf.write("planes", {"plane": block.plane}, is_summed=False)


def _marks(block: Block) -> Tree:
    marks = {name: getattr(block, name) for name in _MARKS}
    return {**marks, "columns": block.columns._asdict(), "plane_sums": _plane_sums(block)}


def _plane_sums(block: Block) -> NDArray[np.uint64]:
    """The sum of each row's planes (room,)."""
    return plane_sums(block.plane) if block.native else row_sums(block.plane)
