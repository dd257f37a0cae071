"""The readers of all topics, made of the settings when a program starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import ProtoCompiler, Reader, Readers, Schemas
from hurnet_stream.readers import envelopes
from hurnet_stream.readers.formats import Format, Json, PlainText, plain_key
from hurnet_stream.readers.reader import Chunks, Open, TopicReader
from hurnet_stream.readers.schemas import BySchema
from hurnet_stream.readers.tables import Table
from hurnet_stream.records import TextReader
from hurnet_stream.settings.settings import Settings, TopicSettings

_ENVELOPES = {"": envelopes.bare, "cloudevents": envelopes.cloudevents, "debezium": envelopes.debezium}


class Opening(NamedTuple):
    """How the records of one topic are opened: their envelope, the format of their values, what keys say."""

    envelope: Open
    value: Format
    key: Callable[[bytes | None], Any]


class Making:
    """Makes readers. `schemas` and `protos` are only needed for formats by schema."""

    def __init__(
        self,
        settings: Settings,
        schemas: Schemas | None = None,
        protos: ProtoCompiler | None = None,
    ) -> None:
        self._settings = settings
        self._schemas = schemas
        self._protos = protos

    def readers(self, texts: Reader, upsert: bool) -> Readers:
        """The readers of all topics of the settings; `texts` is that of the topic of texts, and `upsert` says
        how keyed texts are taken in unless a table says it. Raises `ConfigurationError`."""
        tables = self._settings.topics
        return Readers(texts, {name: self.reader(name, table, upsert) for name, table in tables.items()})

    def reader(self, topic: str, table: TopicSettings, upsert: bool = True) -> Reader:
        """The reader of one topic. Raises `ConfigurationError`."""
        upsert = table.keys == "upsert" if table.keys else upsert
        if table.format == "hurnet":
            return TextReader(upsert)
        try:
            compiled = Table(topic, table)
        except ValueError as error:
            raise ConfigurationError(f"[topics.{topic}]: {error}") from None
        form, key = self._format(table)
        chunks = _chunks(table.chunk) if table.chunk else None
        return TopicReader(compiled, _ENVELOPES[table.envelope], form, key, upsert, chunks)

    def opening(self, table: TopicSettings) -> Opening:
        """How records are opened before their parts are found. Raises `ConfigurationError`."""
        return Opening(_ENVELOPES[table.envelope], *self._format(table))

    def _format(self, table: TopicSettings) -> tuple[Format, Callable[[bytes | None], Any]]:
        if table.format == "json":
            return Json(), plain_key
        if table.format == "text":
            return PlainText(), plain_key
        by_schema = self._by_schema(table.format)
        return by_schema, by_schema.key

    def _by_schema(self, name: str) -> BySchema:
        if self._schemas is None:
            raise ConfigurationError(f"format {name} needs HURNET_REGISTRY_URL")
        kept = self._settings.registry.cache
        if name == "avro":
            from hurnet_stream.readers import avro

            return BySchema("AVRO", self._schemas, avro.compiled, kept)
        if name == "json-schema":
            from hurnet_stream.readers import json_schema

            return BySchema("JSON", self._schemas, json_schema.compiled, kept)
        from hurnet_stream.readers import protobuf

        if self._protos is None:
            raise ConfigurationError("format protobuf needs what compiles .proto files")
        return BySchema("PROTOBUF", self._schemas, protobuf.compiler(self._protos), kept)


def _chunks(most: int) -> Chunks:
    from hurnet_stream.readers.chunking import Chunking  # the library that cuts is needed by this alone

    return Chunking(most)
