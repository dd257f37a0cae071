"""How fast a copy goes, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from hurnet_stream.core.stored.batch import Batch, ShardState

log = structlog.get_logger()

SAY_S = 10.0
"""How often the log says how far it is."""


class Pace:
    """Rows that are copied and left, and the rate between two lines of the log."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}  # rows of each shard up to the last batch that was copied
        self._rows = self._said_rows = 0
        self._said_at = time.monotonic()
        self._per_second = 0.0
        self._said_caught_up = False
        self._caught_up = False
        self.left = 0
        """Rows that are still to be looked at, erased ones included."""

    def copied(self, batch: Batch, rows: int) -> None:
        """This batch is done, of which so many rows were written."""
        self._rows += rows
        if batch.end is not None:
            self._ends[batch.partition] = batch.end

    def look(self, states: Mapping[int, ShardState], caught_up: bool) -> None:
        """The shards of the first store are in these states."""
        self._caught_up = caught_up
        left = sum(max(0, state.rows - self._ends.get(p, 0)) for p, state in states.items())
        self.left = 0 if caught_up else left

    def say(self) -> None:
        """Now and then, in the log."""
        now = time.monotonic()
        if self._caught_up and not self._said_caught_up:
            log.info("the generation holds what the first one holds", rows_copied=self._rows)
        self._said_caught_up = self._caught_up
        if now - self._said_at < SAY_S:
            return
        rows, self._said_rows = self._rows - self._said_rows, self._rows
        self._per_second, self._said_at = rows / (now - self._said_at), now
        if not self._caught_up:
            log.info("copying", rows_copied=self._rows, progress=self.told())

    def told(self) -> str:
        """How far it is, in words."""
        if not self._per_second:
            return f"{self.left:,} rows left"
        seconds = self.left / self._per_second
        return (
            f"{self.left:,} rows left at {self._per_second:,.0f} a second, about {seconds / 60:,.1f} minutes"
        )
