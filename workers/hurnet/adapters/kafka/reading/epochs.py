"""Whether a log still holds what was read of it: by the epochs of its leaders (KIP-320)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import OffsetForLeaderEpochRequest


def cuts(consumer: Any, topic: str, read: Mapping[int, tuple[int, int]], timeout_ms: int) -> dict[int, int]:
    """`read` holds, by partition, an offset up to which the log was read, and the epoch of the leader that it
    was read from. Of those whose log was cut off before that offset since: where. Raises errors of Kafka."""
    positions = {
        TopicPartition(topic, p): OffsetAndMetadata(end, "", epoch)
        for p, (end, epoch) in read.items()
        if epoch >= 0
    }
    ends: dict[int, int] = {}
    for node, mine in consumer._fetcher._group_offset_for_leader_epoch_requests(positions).items():
        response: Any = consumer._net.run(_ask, consumer._manager, node, topic, mine, timeout_ms)
        for answered in response.topics[0].partitions:
            error = kafka_errors.for_code(answered.error_code)
            if error is not kafka_errors.NoError:
                consumer._cluster.request_update()
                raise error(f"{topic}/{answered.partition}")
            ends[answered.partition] = answered.end_offset
    if silent := {at.partition for at in positions} - ends.keys():  # not to know is not to be uncut
        raise kafka_errors.LeaderNotAvailableError(f"{topic}: no leader for partitions {sorted(silent)}")
    return {p: end for p, end in ends.items() if 0 <= end < read[p][0]}


async def _ask(manager: Any, node: int, topic: str, positions: Mapping[Any, Any], timeout_ms: int) -> Any:
    of = OffsetForLeaderEpochRequest.OffsetForLeaderTopic.OffsetForLeaderPartition
    partitions = [
        of(partition=at.partition, current_leader_epoch=-1, leader_epoch=position.leader_epoch)
        for at, position in positions.items()
    ]
    request = OffsetForLeaderEpochRequest(replica_id=-1, topics=[(topic, partitions)])
    return await manager.wait_for(manager.send(request, node_id=node), timeout_ms)
