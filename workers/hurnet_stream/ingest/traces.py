"""The traces of texts: each turn that handles some is one span, linked with the spans of those who sent them.

    texts        sent by span a   sent by span a   without a traceparent   sent by span b
    the turn     process texts, 4 messages, linked with a and b
                 └─ embed   └─ append

A text is handled together with others, so its turn can't be a child of all their spans.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from hurnet_stream.metrics.stages import Stages
from hurnet_stream.ports import TRACEPARENT, Record, Tracer, Work, parse_traceparent

LINKS_MOST = 128
"""Of one span. OpenTelemetry keeps no more."""
_PARTS = ("embed", "append")


class TextTraces:
    """Does nothing before it is given a tracer."""

    def __init__(self, topic: str, group: str, stage: Stages) -> None:
        self._topic = topic
        self._group = group
        self._stage = stage
        self._tracer: Tracer | None = None

    def traced_by(self, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._stage.keeps = tracer is not None

    def handled(self, taken: Mapping[int, Sequence[Record]]) -> None:
        """What was taken in this turn, by partition, has been appended or put aside; or it was refused, and
        comes again."""
        if self._tracer is None or not taken:
            return
        records = [record for of_partition in taken.values() for record in of_partition]
        senders = dict.fromkeys(parse_traceparent(record.header(TRACEPARENT)) for record in records)
        links = [sender for sender in senders if sender][:LINKS_MOST]
        parts = [interval for interval in self._stage.kept if interval.phase in _PARTS]
        work = Work("process", self._topic, len(records), group=self._group)
        if span := self._tracer.begin(work, parts[0].began, links=links):
            for part in parts:
                span.part(part)
            span.end(time.monotonic())
