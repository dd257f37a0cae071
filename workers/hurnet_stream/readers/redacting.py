"""A reader that redacts what another reader has read (core/pii.py): texts, answers and metadata.

Names stay as they are: contexts, record keys, and the names of metadata. Chunks are redacted one by one,
after they were cut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hurnet_stream.core import pii
from hurnet_stream.core.stored.batch import Deletion, Entry
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Reader, Readers, Record, Taught


@dataclass(frozen=True, slots=True)
class Redacting:
    """Reads as `reader` does, and redacts what that teaches."""

    reader: Reader
    redact: pii.Redact

    def read(self, record: Record) -> Taught | Deletion:
        """See `Reader.read`."""
        said = self.reader.read(record)
        if isinstance(said, Deletion):
            return said
        return replace(said, entries=[self._redacted(entry) for entry in said.entries])

    def _redacted(self, entry: Entry) -> Entry:
        return replace(
            entry,
            text=self.redact(entry.text),
            answer=None if entry.answer is None else self.redact(entry.answer),
            metadata={name: self.redact(value) for name, value in entry.metadata.items()},
        )


def redacting(readers: Readers, rules: str) -> Readers:
    """The same readers, which redact by these rules; "" changes nothing. Raises `ConfigurationError` for
    rules that this program does not know."""
    if not rules:
        return readers
    try:
        redact = pii.redacting(rules)
    except ValueError as error:
        raise ConfigurationError(f"{error}: upgrade it") from None
    others = {topic: Redacting(reader, redact) for topic, reader in readers.others.items()}
    return Readers(Redacting(readers.texts, redact), others)
