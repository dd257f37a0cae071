"""The readers of all topics, as the settings describe them: for ingest, and for who reads topics again."""

from __future__ import annotations

from collections.abc import Callable

from hurnet_stream.ingest.ingest import upserts
from hurnet_stream.ports import EntryStore, Readers
from hurnet_stream.readers.making import Making
from hurnet_stream.readers.redacting import redacting
from hurnet_stream.records import TextReader
from hurnet_stream.settings.settings import Settings
from hurnet_stream.settings.topic_tables import BY_SCHEMA


def readers(settings: Settings, store: EntryStore, beat: Callable[[], None] | None = None) -> Readers:
    """Those of the topic of texts and of all tables. The store must be open. `beat` is called before each
    question to the registry; whoever gives one has a loop, and is told to try again while an id may still
    come. They redact as the store says. Raises `ConfigurationError` if a table can't be used."""
    upsert = upserts(settings.ingest, store)
    plain = making(settings, beat).readers(TextReader(upsert), upsert)
    return redacting(plain, store.redaction())


def making(settings: Settings, beat: Callable[[], None] | None = None) -> Making:
    """What makes readers of tables. The packages of the extra are loaded only if a table needs them."""
    if not any(table.format in BY_SCHEMA for table in settings.topics.values()):
        return Making(settings)
    from hurnet_stream.adapters.registry import Protoc, Registry

    return Making(settings, Registry(settings.registry, beat), Protoc())
