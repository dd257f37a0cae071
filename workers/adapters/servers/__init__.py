"""Servers of one's own, for development, the demo and the tests: a real Apache Kafka and a real Valkey.

Both come from Python packages (the extra `local`), listen on loopback only, and end with the process that
started them.
"""

from workers.adapters.servers.cluster import KafkaCluster
from workers.adapters.servers.kafka import KafkaServer
from workers.adapters.servers.process import ServerError
from workers.adapters.servers.valkey import ValkeyServer

__all__ = ["KafkaCluster", "KafkaServer", "ServerError", "ValkeyServer"]
