"""The schema registry: a client that speaks as Confluent's registry does, and what compiles .proto files."""

from hurnet_stream.adapters.registry.client import Registry
from hurnet_stream.adapters.registry.protoc import Protoc

__all__ = ["Protoc", "Registry"]
