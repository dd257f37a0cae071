"""The private names of kafka-python that we use. Ruff's SLF001 keeps them out of every other file.

kafka-python 3.0 has no public way to do these things, so each function says what it is for. An upgrade of
kafka-python begins here, and with the three classes of ours that override private methods:

    client/pinned.py       _PinnedManager: ask for the cluster's id before anything is sent (`_connect`),
                           log in with files as they are then (`_sasl_authenticate`), try again what was
                           refused (`_auth_failures`)
    reading/fetching.py    UnpackedRecords._unpack_records: go on behind a batch that can't be unpacked
    exchange/producer.py   TransactionalProducer: waits that end, by `_transaction_manager` and `_sender`

tests/faults/test_kafka_faults.py, tests/contract/test_atomic_sink.py and tests/unit/test_unpacking.py fail if
one of them no longer does what it did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.consumer.fetcher import OffsetForLeaderEpochRequest
from kafka.coordinator.base import MemberState
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.transaction_manager import InitProducerIdHandler, TransactionState
from kafka.record.memory_records import MemoryRecordsBuilder

_JOIN_MS = 3_000
"""The other members notice a rebalance at their next heartbeat, and join at their next poll."""


def position(consumer: Any, partition: TopicPartition) -> int | None:
    """The next offset to be polled. The public `position()` may ask the brokers, and swallows an error that
    the next poll must raise."""
    state = consumer._subscription.assignment.get(partition)  # None once a rebalance has taken it away
    return state.position.offset if state and state.position else None


def position_epoch(consumer: Any, partition: TopicPartition) -> int:
    """The epoch of the leader that wrote the last batch before the position, which may be a marker; -1 if no
    batch was read yet, or if that one was damaged."""
    state = consumer._subscription.assignment.get(partition)
    epoch = state and state.position and state.position.leader_epoch
    return -1 if epoch is None else int(epoch)


def high_watermark(consumer: Any, partition: TopicPartition) -> int | None:
    """The partition's end as the last fetch told it. The public `highwater()` raises after a rebalance."""
    state = consumer._subscription.assignment.get(partition)
    return None if state is None else state.highwater


def committed_offsets(
    consumer: Any, partitions: Sequence[TopicPartition], timeout_ms: int
) -> Mapping[Any, Any]:
    """What the group has committed, in one request. The public `committed()` asks for one partition at a
    time, and gives each the time limit of all.

    It is asked anew. kafka-python keeps questions under way by their partitions, so that polls which are
    shorter than an answer takes find it later. One that a rebalance cut short stays there with its answer,
    and whoever asks for the same partitions after the next rebalance would be told what was committed then:
    what was answered since would be answered again.
    """
    consumer._coordinator._offset_fetch_futures.clear()
    offsets: Mapping[Any, Any] = consumer._coordinator.fetch_committed_offsets(
        partitions, timeout_ms=timeout_ms
    )
    return offsets


def finish_rebalance(consumer: Any) -> None:
    """Wait for a rebalance to end, if there is one.

    kafka-python forgets a join that completes between two polls and begins another one. Members that poll
    briefly could keep each other rebalancing for ever.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining:
        # The join was begun in a poll that was too short to complete it. If new partitions were the reason,
        # kafka-python believes that they are assigned already, and never ends the join by itself: the member
        # would own no partition for ever.
        coordinator.request_rejoin()
    if coordinator.need_rejoin():
        coordinator.poll(timeout_ms=_JOIN_MS)


def has_joined(consumer: Any) -> bool:
    """Whether the group has given this member its share of the partitions, which may be none."""
    return bool(consumer.group_metadata().state is MemberState.STABLE)


def cluster_metadata(consumer: Any) -> Any:
    """The last metadata that were received, with the ids of the cluster and of its topics."""
    return consumer._client.cluster


def metadata_age_s(consumer: Any) -> float:
    """Seconds since a broker last answered a question for metadata."""
    received_ms: float = consumer._client._manager.cluster._last_successful_refresh_ms
    return time.monotonic() - received_ms / 1000


def refresh_metadata(consumer: Any, timeout_ms: int) -> None:
    """Ask any broker for metadata, and raise what went wrong. kafka-python asks by itself, but keeps errors
    to itself as well."""
    manager = consumer._client._manager
    asked = manager.call_soon(manager.cluster.refresh_metadata)
    manager.run(manager.wait_for, asked, timeout_ms)


def epoch_ends(consumer: Any, topic: str, positions: Mapping[Any, Any], timeout_ms: int) -> Sequence[Any]:
    """What the leaders answer to OffsetForLeaderEpoch (KIP-320), which no public method asks for: for each
    partition the end offset of an epoch. Partitions without a leader are left out."""
    answers: list[Any] = []
    by_leader = consumer._fetcher._group_offset_for_leader_epoch_requests(positions)
    for node, led in by_leader.items():
        response = consumer._net.run(_ask_epochs, consumer._manager, node, topic, led, timeout_ms)
        answers += response.topics[0].partitions
    return answers


async def _ask_epochs(
    manager: Any, node: int, topic: str, positions: Mapping[Any, Any], timeout_ms: int
) -> Any:
    question = OffsetForLeaderEpochRequest.OffsetForLeaderTopic.OffsetForLeaderPartition
    partitions = [
        question(partition=at.partition, current_leader_epoch=-1, leader_epoch=position.leader_epoch)
        for at, position in positions.items()
    ]
    request = OffsetForLeaderEpochRequest(replica_id=-1, topics=[(topic, partitions)])
    return await manager.wait_for(manager.send(request, node_id=node), timeout_ms)


def forget_leaders(consumer: Any) -> None:
    """A broker says that it does not lead a partition: have the metadata asked for again."""
    consumer._cluster.request_update()


def unpack_by(consumer: Any, make: Callable[..., Any]) -> None:
    """Have this consumer make the records of a fetch by `make`, and not by `Fetcher.PartitionRecords`."""
    consumer._fetcher.PartitionRecords = make


def let_go_of(consumer: Any, drained: Any) -> None:
    """The records of one fetch are used up. kafka-python would keep hold of them, and look for what it put by
    when a partition was paused only while it holds none: a resumed partition would never go on."""
    if consumer._fetcher._next_partition_records is drained:
        consumer._fetcher._next_partition_records = None


def fetched_bytes(fetched: Any) -> memoryview:
    """The record batches of one fetch of one partition, as they came."""
    return memoryview(fetched._buffer)


def end_at_once(producer: Any, timeout_s: float) -> None:
    """End the producer's thread and drop what it has not sent. The public `close()` first waits for what will
    never be acknowledged."""
    producer._sender.force_close()
    producer._sender.join(timeout_s)


def hand_over_batch(
    producer: Any, at: TopicPartition, records: bytes, count: int, times_ms: tuple[int, int]
) -> Any:
    """Give a whole batch to the producer: `count` records, packed, the time of the first and the latest time.
    The public `send` takes ten microseconds for each record. Returns the future of the last record.

    The topic's partitions must be known (`partitions_for`). Number, sequence, compression and checksum of the
    batch are given by kafka-python itself when it sends it.
    """
    accumulator = producer._accumulator
    codec = accumulator.config["compression_attrs"]
    builder = MemoryRecordsBuilder(
        2, codec, batch_size=1
    )  # of this size it is full, and nobody appends to it
    inner = builder._builder
    inner._buffer += records
    inner._num_records, inner._last_offset = count, count - 1
    inner._first_timestamp, inner._max_timestamp = times_ms
    builder._next_offset = count
    batch = ProducerBatch(at, builder)
    last = _future(batch, count - 1)
    batch._record_futures = _Futures(batch, last, count)
    if producer._transaction_manager and producer._transaction_manager.is_transactional():
        producer._transaction_manager.maybe_add_partition_to_transaction(at)
    with accumulator._tp_lock(at):
        accumulator._batches[at].append(batch)
        accumulator._incomplete.add(batch)
    producer._sender.wakeup()
    return last


class _Futures:
    """The futures of a batch's records, of which somebody waits for the last one only. The others are asked
    for if the brokers find the batch too large, and kafka-python cuts it into two."""

    def __init__(self, batch: Any, last: Any, count: int) -> None:
        self._batch, self._last, self._count = batch, last, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._last if index == self._count - 1 else _future(self._batch, index)


def _future(batch: Any, index: int) -> Any:
    return FutureRecordMetadata(batch.produce_future, index, None, None, -1, -1, -1)


def next_epoch(producer: Any) -> Any:
    """Ask for the next epoch of a producer that has no transaction open: in it the brokers count its messages
    from 0 again. Returns what to wait for.

    It fails if somebody has fenced the producer. If the handler said that it asks for an epoch, kafka-python
    would then take the transactional id back from whoever has fenced it."""
    manager = producer._transaction_manager
    handler = InitProducerIdHandler(manager, manager.transaction_timeout_ms, is_epoch_bump=True)
    handler._is_epoch_bump = False
    with manager._lock:
        manager._transition_to(TransactionState.BUMPING_PRODUCER_EPOCH)
        manager._sequence_numbers.clear()
        manager._last_acked_offset.clear()
        manager._enqueue_request(handler)
    return handler.result
