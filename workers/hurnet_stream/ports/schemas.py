"""Where the schemas of records are found by their ids: a registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

SchemaKind = Literal["AVRO", "PROTOBUF", "JSON"]


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema as it was registered, and those that it refers to, by the names that it uses for them. What is
    needed by others comes before them."""

    kind: SchemaKind
    text: str
    references: Mapping[str, str] = field(default_factory=dict)


class Schemas(Protocol):
    """The schemas of all ids. What has an id never changes."""

    def schema(self, schema_id: int) -> Schema:
        """The schema with this id. Raises `InvalidMessage` if the registry says that there is none, or if it
        is larger than it may be, and `TransientError` as long as the registry does not answer."""


class ProtoCompiler(Protocol):
    """Makes descriptors of the text of a .proto file."""

    def compiled(self, schema: Schema) -> bytes:
        """A serialised FileDescriptorSet. The file of the schema is its last one. Raises `InvalidMessage` if
        the text is wrong."""
