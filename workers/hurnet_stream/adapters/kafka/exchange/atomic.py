"""`AtomicSink` by Kafka transactions: each call is one, under an id that this process alone uses.

Two processes, and a request that may have been written by the first:

    A   name "hurnet-gateway/7f3a"; its transaction is open, and A hangs
    B   fence("hurnet-gateway/7f3a")   the coordinator aborts what is open, or completes a commit that arrived
    B   find(...) up to the end        not there, so B writes it under its own name
    A   goes on: its commit is refused, it takes the new name "hurnet-gateway/c519"

A name that somebody has fenced must never write again, and a failed call does not always tell whether it was
fenced. So after each failure the name changes, except after an abort that succeeded: a producer that was
fenced can't abort. If a broker has refused a message, the abort ends with a new epoch of the same name, and a
producer that was fenced does not get one.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

from kafka import TopicPartition
from kafka import errors as kafka_errors

from hurnet_stream.adapters.kafka.admin.lookup import TopicLookup
from hurnet_stream.adapters.kafka.client.arguments import milliseconds
from hurnet_stream.adapters.kafka.client.errors import explained, translated
from hurnet_stream.adapters.kafka.exchange.producer import TransactionalProducer
from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.adapters.kafka.writing.producers import abandon, close
from hurnet_stream.adapters.kafka.writing.refusals import missing
from hurnet_stream.errors import ConfigurationError, Superseded, TransientError, Undeliverable
from hurnet_stream.ports import Found, Outgoing, Record
from hurnet_stream.settings.settings import KafkaSettings

POLL_S: Final = 0.5


class KafkaAtomicSink:
    """Fills `hurnet_stream.ports.AtomicSink`. Making one connects to nothing yet."""

    def __init__(self, settings: KafkaSettings, family: str, deadline_s: float, timeout_s: float) -> None:
        """Names begin with `family`. A call of `write` takes `deadline_s` at most, and the brokers abort a
        transaction that nobody ended after `timeout_s`."""
        self._settings = settings
        self._family = family
        self._deadline_s = deadline_s
        self._timeout_s = timeout_s
        self._topics = TopicLookup(settings)
        self._asking = threading.Lock()
        self._asker: Any = None
        self._producer: TransactionalProducer | None = None
        self._name = ""
        self._left = ""
        """The last name, whose transaction may still be open and would hold up readers until its time-out."""

    @property
    def name(self) -> str:
        return self._name

    def begin(self) -> None:
        if self._producer is not None:
            return
        if self._left:
            with suppress(TransientError):  # the brokers end it by themselves, only later
                self.fence(self._left)
        name = f"{self._family}/{secrets.token_hex(8)}"
        self._producer = self._take_over(name)
        self._name, self._left = name, ""

    def write(self, messages: Sequence[Outgoing], under: str) -> Sequence[tuple[int, int]]:
        producer = self._producer
        if producer is None or under != self._name:
            raise Superseded(f"{under} no longer writes")
        self._check_topics(messages)
        try:
            return producer.transact(messages, {}, None, self._deadline_s)
        except (kafka_errors.KafkaError, Undeliverable) as error:
            blamed = producer.blamed(messages, error)
            if not isinstance(blamed, Undeliverable) or not producer.undo(self._deadline_s):
                self._give_up()
            raise blamed or explained(producer.cause(error), "writing") from error
        except BaseException:
            self._give_up()
            raise

    def fence(self, name: str) -> None:
        close(self._take_over(name), self._deadline_s)

    def ends(self, topic: str) -> Mapping[int, int]:
        with self._asking, translated(f"asking where {topic} ends"):
            asker, self._asker = self._asker or self._consumer("read_uncommitted"), None
            try:
                partitions = _partitions(asker, topic)
                ends = asker.end_offsets(partitions, timeout_ms=milliseconds(self._deadline_s))
            except BaseException:
                asker.close()
                raise
            self._asker = asker  # making one takes longer than asking it
        return {at.partition: end for at, end in ends.items()}

    def find(
        self, topic: str, wanted: Callable[[Record], bool], since: Mapping[int, int], patience_s: float
    ) -> Found:
        deadline = time.monotonic() + patience_s
        ends = self.ends(topic)
        found: list[Record] = []
        with self._reader(topic, "read_committed") as consumer:
            unread = dict(_positioned(consumer, since, ends))
            while unread and time.monotonic() < deadline:
                batches = consumer.poll(timeout_ms=milliseconds(POLL_S))
                found += [record for batch in batches.values() for record in batch if wanted(record)]
                # The position tells the end: the last offsets may be a transaction's marker.
                unread = {at: end for at, end in unread.items() if consumer.position(at) < end}
            positions = {at.partition: consumer.position(at) for at in consumer.assignment()}
        found.sort(key=lambda record: (record.partition, record.offset))
        return Found(found, positions, complete=not unread)

    def close(self) -> None:
        self._topics.close()
        with self._asking:
            if self._asker is not None:
                self._asker.close()
        if self._producer is not None:
            close(self._producer, self._deadline_s)

    def _take_over(self, name: str) -> TransactionalProducer:
        return TransactionalProducer.take_over(self._settings, name, self._deadline_s, self._timeout_s)

    def _give_up(self) -> None:
        if self._producer is not None:
            abandon(self._producer)
        self._topics.clear()
        self._left, self._name, self._producer = self._name, "", None

    def _check_topics(self, messages: Sequence[Outgoing]) -> None:
        """Raises `Undeliverable` if a topic is gone, and the transaction would wait for its deadline."""
        try:
            gone = {message.topic for message in messages if not self._topics.has(message.topic)}
        except TransientError:
            self._give_up()  # so that whoever fences the name later disturbs nobody
            raise
        if gone:
            raise missing(gone, messages)

    @contextmanager
    def _reader(self, topic: str, isolation_level: str) -> Iterator[Any]:
        """A consumer of all partitions of the topic that stands nowhere yet."""
        with translated(f"reading {topic}"), closing(self._consumer(isolation_level)) as consumer:
            consumer.assign(_partitions(consumer, topic))
            yield consumer

    def _consumer(self, isolation_level: str) -> Any:
        return make_consumer(
            self._settings,
            isolation_level=isolation_level,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=milliseconds(POLL_S),
        )


def _partitions(consumer: Any, topic: str) -> list[TopicPartition]:
    """Those of the topic. Raises `ConfigurationError` if there are none."""
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        raise ConfigurationError(f"no such topic: {topic}, or no right to see it (`hurnet topics`)")
    return partitions


def _positioned(
    consumer: Any, since: Mapping[int, int], ends: Mapping[int, int]
) -> Iterator[tuple[TopicPartition, int]]:
    """Puts the consumer where reading is to begin, and gives the partitions that have something to read, with
    the offset to read up to. An offset beyond the end is one of a topic that was made anew since."""
    first = consumer.beginning_offsets(consumer.assignment())
    for at, begins in first.items():
        end, asked = ends.get(at.partition, begins), since.get(at.partition, 0)
        begin = max(begins, asked) if asked <= end else begins
        consumer.seek(at, begin)
        if begin < end:
            yield at, end
