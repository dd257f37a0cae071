"""What routes read of the system. Every method blocks, and raises `HurnetError` if a server is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hurnet_stream.core.stored.entries import Entry, EntryId
from hurnet_stream.operations.dead_letter_reader import StoredLetter
from hurnet_stream.overview.contexts import AnswerCount, ContextSize
from hurnet_stream.overview.system_status import Status
from hurnet_stream.ports import DeletionAudit, Record


class Readings(Protocol):
    """Filled by `overview.readings`, and by a twin in memory in the tests."""

    def status(self) -> Status:
        """How far everything has come. It raises nothing: it says what could not be read."""

    def contexts(self) -> Sequence[ContextSize]:
        """All contexts by name."""

    def entries(self, context: str, after: EntryId | None, most: int) -> Sequence[tuple[int, Entry]]:
        """The next entries of a context beyond `after`, each with its partition."""

    def answers(self, context: str) -> tuple[Sequence[AnswerCount], bool]:
        """The answers of a context, the most frequent first, and whether these are all."""

    def deletion(self, partition: int, offset: int) -> DeletionAudit | None:
        """The audit of the deletion that stands there in `texts`; None as long as it is not done."""

    def taken_in(self, partition: int, offset: int) -> bool:
        """Whether ingest has come to this offset of `texts`."""

    def record(self, topic: str, partition: int, offset: int) -> Record:
        """One record. Raises `NotHeld`."""

    def letters(self, most: int) -> Sequence[StoredLetter]:
        """The newest dead letters."""

    def close(self) -> None:
        """Release every connection."""
