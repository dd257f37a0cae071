"""Developer tooling: a real Apache Kafka, a real Valkey and a whole system on this machine.

Only `hurnet up`, the demo and the tests import this package; a contract of import-linter holds that. What it
needs comes from Python packages (the extra `local`): neither Docker nor an installed Java. All servers
listen on loopback only, and end with the process that started them, however that ends.

    loopback   free ports
    folders    a lock on a folder, and scratch folders
    guard      the script that ends a server whose owner is gone
    server     one server process, to start, stop, kill and restart
    jars       Kafka's jars and a Java
    kafka      KafkaServer
    valkey     ValkeyServer
    worker     `hurnet ingest` and its like as a process
    page       where the gateway of such a system is found
    signals    what Ctrl-C does while a system runs, and while it ends
    system     all of them together: LocalSystem
"""

from hurnet_stream.local.errors import ServerError
from hurnet_stream.local.kafka import KafkaServer
from hurnet_stream.local.valkey import ValkeyServer

__all__ = ["KafkaServer", "ServerError", "ValkeyServer"]
