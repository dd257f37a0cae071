"""The records that ask for a deletion: tombstones in the topic of texts, behind what they delete."""

from __future__ import annotations

from collections.abc import Mapping

from hurnet_stream.client.errors import NotThere
from hurnet_stream.ports import Outgoing
from hurnet_stream.records import CONTEXT, DROP, FORGET


def of_entry(topic: str, ends: Mapping[int, int], partition: int, offset: int) -> list[Outgoing]:
    """Deletes one entry. `ends` are the next offsets of the partitions; raises `NotThere` beyond them."""
    if not 0 <= offset < ends.get(partition, 0):
        raise NotThere(f"{topic} has no record {partition}/{offset}")
    # Kafka clients refuse records without key and value. The key is unique, so compaction removes no other
    # record.
    key = f"hurnet-forget/{partition}/{offset}".encode()
    return [Outgoing(topic, None, key, ((FORGET, str(offset).encode()),), partition)]


def of_key(topic: str, ends: Mapping[int, int], key: bytes, context: str) -> list[Outgoing]:
    """Deletes the entries of a context (`records.EVERY`: of all) whose records have this key.

    All partitions are asked, since the key's partition depends on the producer, and on how many partitions
    there were when it wrote."""
    header = ((CONTEXT, context.encode()),)
    return [Outgoing(topic, None, key, header, partition) for partition in sorted(ends)]


def of_context(topic: str, ends: Mapping[int, int], context: str) -> list[Outgoing]:
    """Deletes all entries of a context, in all partitions."""
    # A key of its own lets compaction keep the last of these records.
    key, header = f"hurnet-drop-context/{context}".encode(), ((DROP, context.encode()),)
    return [Outgoing(topic, None, key, header, partition) for partition in sorted(ends)]
