"""Twins of the adapters in this process's memory, one file a port. Only tests import them.

The contract tests hold each twin and the real adapter to the same promises, so that a unit test which passes
on a twin says something about Kafka and Redis. Clients of one `MemoryKafka` or one `MemoryRedis` see the same
data, as clients of one server do; tests reach into its `data` to see what is stored, or to break it.
"""
