"""How far the topics reach that queries wait for: what is beyond their ends cannot come.

wanted        ends                       can it come?
2: 41         partition 2 ends at 50     yes
2: 60         partition 2 ends at 50     no, if that was asked after the query was read
9: 0          there is no partition 9    no, likewise
faq/0: 3      hurnet reads no topic faq  no, likewise
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hurnet_schemas.places import ShardName, shard_parts
from hurnet_stream.ports import EndOffsets

Asked = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of topics by their names (None: the topic of texts), as far as they are known.

    A topic that has none is not known yet, and one that is missing is not read. `read_at` is when it was
    looked up which topics are read (monotonic seconds), and `texts` the name of the topic of texts."""

    by_topic: Mapping[str | None, EndOffsets | None]
    read_at: float
    texts: str = "texts"

    @property
    def asked(self) -> Asked:
        """When all of this was asked for. It differs if anything may be new."""
        return (self.read_at, *(ends.asked if ends else 0.0 for ends in self.by_topic.values()))

    def reach(self, name: ShardName, offset: int) -> bool:
        """Whether the shard has come to this offset, as far as is known."""
        topic, partition = shard_parts(name)
        ends = self.by_topic.get(topic)
        return ends is not None and offset < ends.written.get(partition, 0)

    def why_never(self, name: ShardName, offset: int, since: float) -> str | None:
        """Why an offset that is not reached cannot come, for a query that was read at `since`. What was asked
        before says nothing: the text may have been written, or the topic added, in between."""
        topic, partition = shard_parts(name)
        if topic not in self.by_topic:
            return f"hurnet reads no topic {topic!r} here" if self.read_at >= since else None
        ends = self.by_topic[topic]
        if ends is None or ends.asked < since:
            return None
        called = self.texts if topic is None else topic
        if partition not in ends.written:
            return f"there is no partition {partition} of {called}"
        end = ends.written[partition]
        return f"partition {partition} of {called} ends before offset {end}: there is no {offset}"
