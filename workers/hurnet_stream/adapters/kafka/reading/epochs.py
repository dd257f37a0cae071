"""Whether a log still holds what was read of it, by the epochs of its leaders (KIP-320).

Each time a partition gets a new leader, its epoch rises by one. If the new leader had fewer records than the
old one (an unclean election), the log is cut off, and later grows again with other records at the same
offsets. The offsets alone don't show that; the epochs do:

    read so far         offsets 0 to 19, the last one from the leader of epoch 3
    asked               "where does epoch 3 end?"
    answer 25           the leader of epoch 3 wrote up to 24: all that was read is still there
    answer 12           epoch 3 ends at 12: offsets 12 to 19 that we read are gone, or are other records now
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.client import internals


def cuts(
    consumer: Any, topic: str, read_to: Mapping[int, tuple[int, int]], timeout_ms: int
) -> dict[int, int]:
    """The offset at which the log was cut off, for each partition of which something that was read is gone.

    `read_to` holds by partition (the offset up to which it was read, the epoch of the leader that wrote the
    last batch before it); a partition of unknown epoch (-1) is left out. Raises kafka-python's errors.
    """
    positions = {
        TopicPartition(topic, partition): OffsetAndMetadata(end, "", epoch)
        for partition, (end, epoch) in read_to.items()
        if epoch >= 0
    }
    epoch_ends: dict[int, int] = {}
    for answer in internals.epoch_ends(consumer, topic, positions, timeout_ms):
        error = kafka_errors.for_code(answer.error_code)
        if error is not kafka_errors.NoError:
            internals.forget_leaders(consumer)
            raise error(f"{topic}/{answer.partition}")
        epoch_ends[answer.partition] = answer.end_offset
    # A partition without a leader answers nothing. That must not pass for "nothing is gone".
    if silent := {at.partition for at in positions} - epoch_ends.keys():
        raise kafka_errors.LeaderNotAvailableError(f"{topic}: no leader for partitions {sorted(silent)}")
    # -1: the leader knows nothing of that epoch, hence nothing of a cut.
    return {partition: end for partition, end in epoch_ends.items() if 0 <= end < read_to[partition][0]}
