"""Single records by their names: what is kept open for them, and what is told of those that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.overview import record_reader
from hurnet_stream.overview.record_reader import TOPICS_MOST, NotHeld, RecordReader
from hurnet_stream.ports import OffsetRange, Record
from hurnet_stream.settings.settings import KafkaSettings

OPEN: list[str] = []


class OneRecord:
    """A history of topics with one record each. `nowhere` is no topic."""

    def __init__(self, _settings: KafkaSettings, topic: str) -> None:
        self.topic = topic
        OPEN.append(topic)

    def offset_ranges(self) -> dict[int, OffsetRange]:
        if self.topic == "nowhere":
            raise ConfigurationError("no such topic: nowhere")
        return {0: OffsetRange(0, 1)}

    def read(self, partition: int, first: int, _last: int) -> Iterator[Sequence[Record]]:
        yield [Record(self.topic, partition, first, 0, None, self.topic.encode())]

    def close(self) -> None:
        OPEN.remove(self.topic)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> RecordReader:
    OPEN.clear()
    monkeypatch.setattr(record_reader, "KafkaHistory", OneRecord)
    return RecordReader(KafkaSettings())


def test_as_many_topics_as_clients_name_hold_few_connections(reader: RecordReader) -> None:
    for number in range(3 * TOPICS_MOST):
        assert reader.record("answers", 0, 0).value == b"answers"
        assert reader.record(f"answers-{number}", 0, 0).value == f"answers-{number}".encode()
    assert len(OPEN) == TOPICS_MOST
    assert "answers" in OPEN  # it is used most
    reader.close()
    assert not OPEN


def test_a_record_of_a_topic_that_is_not_there_is_not_there(reader: RecordReader) -> None:
    with pytest.raises(NotHeld) as told:
        reader.record("nowhere", 0, 0)
    assert not told.value.taken
    assert not OPEN
