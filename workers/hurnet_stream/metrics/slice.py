"""What slices measure."""

from __future__ import annotations

from typing import ClassVar

from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.metrics.registry import QUICK


class SliceMetrics(HoldingMetrics):
    """From the questions of coordinators to the part that this slice has of their answers."""

    PHASES: ClassVar[tuple[str, ...]] = ("tail", "wait", "answer")

    def __init__(self) -> None:
        super().__init__()
        self.number = self._gauge("slice_number", "Which slice this is, from 0.")
        self.count = self._gauge("slice_of", "Into how many slices the entries are shared out.")
        self.answer_seconds = self._histogram(
            "slice_answer_seconds",
            "Seconds to answer one round of a conversation, without the wait before it, by its kind.",
            QUICK,
            ("round",),
        )
        self.refused = self._counter(
            "slice_refused",
            "Rounds that were not answered: unreadable; unloaded, since another generation was asked for; "
            "failed, which is a bug.",
            "reason",
        )
        self._from_zero(self.refused, ("unreadable", "unloaded", "failed"))
        self.conversations_open = self._gauge(
            "slice_conversations", "Conversations that are open: nothing is taken in meanwhile."
        )
        self.cut = self._counter(
            "slice_conversations_cut",
            "Conversations that were still open after HURNET_SLICES_HOLD, so that entries were taken in "
            "under them and their coordinators begin them again.",
        )
