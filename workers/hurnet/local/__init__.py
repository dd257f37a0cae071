"""Servers of one's own, for development, the demo and the tests: a real Apache Kafka and a real Valkey.

Both come from Python packages (the extra `local`), listen on loopback only, and end with the process that
started them.
"""

from hurnet.local.kafka import KafkaServer
from hurnet.local.process import ServerError
from hurnet.local.valkey import ValkeyServer

__all__ = ["KafkaServer", "ServerError", "ValkeyServer"]
