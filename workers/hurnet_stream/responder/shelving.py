"""What a responder holds, saved in its folder now and then, so that its next start maps it.

    at the start    is what was saved whole, and of this store, embedder and program?
                    yes: it is mapped, and what is new is read from the store
                    no, or the store fell behind it, or has compacted deletions beyond it: all is read
    then            after `interval_s`, if anything has changed, it is saved anew
    damaged rows    are noticed when they are read: the worker begins anew, and reads all from the store
    at the end      it is saved

Questions are answered while it is saved. First what can be written ahead is, some files in a turn. Then
another thread writes the rest, which must hold still meanwhile: what is new in the store waits. So the next
time follows after PAUSE times as long at least.

    turn 1 to 60     files are written, entries are taken in, questions are answered
    turn 61          the thread begins to write what is left, 0.3 s for a million rows
    turn 61 to 80    questions are answered, nothing is taken in
    turn 81          entries are taken in again. The thread waits for the disk, then removes old files
"""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Mapping
from importlib.metadata import version

import structlog

from hurnet_stream.core.search.block import BLOCK_ROWS
from hurnet_stream.core.shelf import DamagedShelf, Tree
from hurnet_stream.core.stored.batch import EmbedderIdentity, ShardState
from hurnet_stream.ports import SavedShelf
from hurnet_stream.responder.loaded_contexts import LoadedContexts

log = structlog.get_logger()

SUSPECT = 2
"""After so many processes that did not end in order all rows are read at the start, and not when they are
needed: to read a mapped page that the disk can't give ends a process."""
PAUSE = 200
"""Times as long as memory had to hold still: that is half a percent of the time at most."""
AHEAD_S = 0.01
"""How long a turn writes ahead; it ends the file that it has begun."""
FORMAT = 1


class Shelving:
    """Saves what lies on `shelf`."""

    def __init__(
        self,
        memory: LoadedContexts,
        shelf: SavedShelf,
        identity: EmbedderIdentity,
        interval_s: float,
        share: str = "",
    ) -> None:
        """`share` says which shards are held, if not all are."""
        self.shelf = shelf
        self._about = about(memory, identity) | {"share": share}
        self._interval_s = interval_s
        self._saved_at = time.monotonic()
        self._pause_s = 0.0
        self._known: Mapping[int, int] = {}  # the watermarks that were saved
        self._failures = (
            shelf.failures
        )  # if there were more since, what was saved may not have come to the disk
        self._memory = memory
        self._is_good = True
        self._is_settling = True
        self._ahead = memory.write_ahead()
        memory.lie_on(shelf)

    def restore(self, states: Mapping[int, ShardState]) -> None:
        """Have memory, which is empty, be what was saved, if that is of the store whose shards are in these
        `states`."""
        memory, began = self._memory, time.monotonic()
        try:
            root = self.shelf.saved()
            reason = self._unfit(root, states) if root else ""
            if root and not reason:
                memory.restore(root["memory"], self.shelf, self.shelf.times_left_open >= SUSPECT)
                self._known = memory.watermarks()
                seconds = round(time.monotonic() - began, 3)
                log.info("mapped what was saved", rows=dict(memory.rows()), seconds=seconds)
        except (DamagedShelf, LookupError, TypeError, ValueError) as error:
            reason = f"it is damaged: {error}"
            memory.forget()
        if reason:
            log.warning("what was saved can't be used: all is read from the store", reason=reason)
            self.shelf.discard()

    def step(self) -> None:
        """Once a turn: save, if it is time and something has changed."""
        self._is_settling = self._is_settling and self._memory.settle()
        self._memory.is_still = self.shelf.is_writing
        if time.monotonic() - self._saved_at < max(self._interval_s, self._pause_s):
            return
        if self._has_changed() and self._is_written_ahead():
            self._save()
            self._ahead = self._memory.write_ahead()

    def distrust(self) -> None:
        """What is in memory is not to be saved any more."""
        self._is_good = False

    def damaged(self) -> None:
        """Files are not what they were: nothing of them is to be used any more."""
        self.distrust()
        self.shelf.discard()

    def close(self) -> None:
        """Save what is in memory, and let go of the folder."""
        self.shelf.finish()
        self._save()
        self.shelf.close()

    def _is_written_ahead(self) -> bool:
        """Write ahead for a moment; returns whether nothing is left."""
        until = time.monotonic() + AHEAD_S
        while next(self._ahead, None) is not None:
            if time.monotonic() >= until:
                return False
        return True

    def _has_changed(self) -> bool:
        """Whether there is something to save, and it can be begun."""
        if not self._is_good or self.shelf.is_saving:
            return False
        return self._memory.watermarks() != self._known or self.shelf.failures != self._failures

    def _save(self) -> None:
        if self._has_changed() and self._memory.is_whole:
            self._known, self._failures = self._memory.watermarks(), self.shelf.failures
            self._memory.is_still, self._saved_at = True, time.monotonic()
            self.shelf.save(self._write)

    def _write(self) -> Tree:
        """In another thread, while memory holds still."""
        memory, began = self._memory, time.monotonic()
        root = {
            "about": self._about | {"epoch": memory.epoch},
            "memory": memory.saved(self.shelf),
        }
        self._saved_at = time.monotonic()
        self._pause_s = PAUSE * (self._saved_at - began)
        return root

    def _unfit(self, root: Tree, states: Mapping[int, ShardState]) -> str:
        """Why this can't be what memory holds; "" if it can."""
        saved = root["about"]
        epochs = {state.epoch for state in states.values()}
        wanted = self._about | {"epoch": next(iter(epochs), "")}
        if different := [name for name, value in wanted.items() if saved.get(name) != value]:
            return f"it differs in {', '.join(different)}"
        for partition, watermark in root["memory"]["watermarks"]:
            state = states.get(partition)
            if state is None or state.watermark < watermark:
                return f"shard {partition} of the store has less than was saved"
            if state.floor > watermark:
                return f"shard {partition} of the store was compacted since"
        return ""


def about(memory: LoadedContexts, identity: EmbedderIdentity) -> dict[str, str | int]:
    """What must be equal for a saved index to be good here. Words depend on Python's table of characters."""
    return {
        "format": FORMAT,
        "program": version("hurnet-stream"),
        "characters": unicodedata.unidata_version,
        "embedder": identity.fingerprint,
        "dimension": identity.dimension,
        "features": memory.features.identity,
        "half_life_ms": memory.half_life_ms,
        "block_rows": BLOCK_ROWS,
        "byte_order": sys.byteorder,
    }
