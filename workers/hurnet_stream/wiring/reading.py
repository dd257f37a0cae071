"""The readers of all topics of the settings, with the registry if one of them needs it."""

from __future__ import annotations

from collections.abc import Callable

from hurnet_stream.ports import Reader, Readers
from hurnet_stream.readers.making import Making
from hurnet_stream.settings.settings import Settings
from hurnet_stream.settings.topic_tables import BY_SCHEMA


def readers(settings: Settings, texts: Reader, beat: Callable[[], None] = lambda: None) -> Readers:
    """The readers of all topics; `texts` is that of the topic of texts. `beat` is called before each question
    to the registry. Raises `ConfigurationError`."""
    return making(settings, beat).readers(texts)


def making(settings: Settings, beat: Callable[[], None] = lambda: None) -> Making:
    """What makes readers of tables."""
    if not any(table.format in BY_SCHEMA for table in settings.topics.values()):
        return Making(settings)  # without the packages of the extra
    from hurnet_stream.adapters.registry import Protoc, Registry

    return Making(settings, Registry(settings.registry, beat), Protoc())
