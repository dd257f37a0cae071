"""Records of the topic of texts that ask to delete something: an entry, the entries of a key, a context.

What they say is told in records.py. They go behind what they delete, into the same partition:

    entry 2/89           partition 2       forget=89
    key k of faq         every partition   key k, context=faq
    context faq          every partition   drop-context=faq

A key's partition depends on the producer, and on how many partitions there were when it wrote. So all of them
are asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from hurnet_stream.ports import Outgoing
from hurnet_stream.records import CONTEXT, DROP, FORGET


def of_entry(topic: str, partition: int, offset: int) -> list[Outgoing]:
    """Asks to delete one entry."""
    # Kafka clients refuse records without key and value. The key is unique, so compaction removes no other
    # record.
    key = f"hurnet-forget/{partition}/{offset}".encode()
    return [Outgoing(topic, None, key, ((FORGET, str(offset).encode()),), partition)]


def of_key(topic: str, partitions: Iterable[int], key: bytes, context: str) -> list[Outgoing]:
    """Asks to delete the entries of a context whose records have this key. `EVERY` stands for all
    contexts."""
    header = ((CONTEXT, context.encode()),)
    return [Outgoing(topic, None, key, header, partition) for partition in sorted(partitions)]


def of_context(topic: str, partitions: Iterable[int], context: str) -> list[Outgoing]:
    """Asks to delete all entries of a context."""
    # A key of its own lets compaction keep the last of these records.
    key, header = f"hurnet-drop-context/{context}".encode(), ((DROP, context.encode()),)
    return [Outgoing(topic, None, key, header, partition) for partition in sorted(partitions)]
