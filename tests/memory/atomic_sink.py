"""The in-memory twin of `KafkaAtomicSink`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

from hurnet_stream.errors import ConfigurationError, KafkaFailing, Superseded, Undeliverable
from hurnet_stream.ports import Found, Outgoing, Record
from tests.memory.kafka import MemoryKafka

_numbers = count()


class MemoryAtomicSink:
    """Fills `hurnet_stream.ports.AtomicSink`."""

    def __init__(self, kafka: MemoryKafka, family: str = "gateway") -> None:
        self._kafka = kafka
        self._family = family
        self._name = ""
        self._epoch = 0

    @property
    def name(self) -> str:
        return self._name

    def begin(self) -> None:
        self._kafka.check_reachable()
        if not self._name:
            self._name = f"{self._family}/{next(_numbers)}"
            self._epoch = self._kafka.fence(self._name)

    def write(self, messages: Sequence[Outgoing], under: str) -> Sequence[tuple[int, int]]:
        if not self._name or under != self._name:
            raise Superseded(f"{under} no longer writes")
        try:
            self._kafka.check_reachable()
            with self._kafka.changed:
                if self._epoch != self._kafka.epoch(self._name):
                    raise KafkaFailing("writing: ProducerFencedError")
                failing = self._kafka.failing()
                written = self._kafka.append(messages, mark="aborted" if failing else "committed")
            if failing:
                raise KafkaFailing("writing: KafkaTimeoutError")
        except Undeliverable:
            raise
        except BaseException:
            self._name = ""
            raise
        return written

    def fence(self, name: str) -> None:
        self._kafka.check_reachable()
        self._kafka.fence(name)

    def ends(self, topic: str) -> Mapping[int, int]:
        self._kafka.check_reachable()
        if not self._kafka.has(topic):
            raise ConfigurationError(f"no such topic: {topic}")
        return {number: held.end for number, held in enumerate(self._kafka.topics[topic])}

    def find(
        self, topic: str, wanted: Callable[[Record], bool], since: Mapping[int, int], patience_s: float
    ) -> Found:
        ends = self.ends(topic)

        def begin(partition: int) -> int:
            asked = since.get(partition, 0)
            return asked if asked <= ends[partition] else 0

        records = [
            record
            for record in self._kafka.records(topic)
            if record.offset >= begin(record.partition) and wanted(record)
        ]
        return Found(records, ends, complete=True)

    def close(self) -> None:
        """Nothing to free."""
