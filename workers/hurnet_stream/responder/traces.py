"""The traces of questions: one span each, from its poll to the delivery of its answer.

    hurnet ask      send queries
    responder       └─ process queries        the span of one question; its context goes out with the answer
                       └─ poll                from the record's timestamp, within the poll that has read it
                       └─ embed  └─ search  └─ rank  └─ deliver

A turn answers several questions at once. If more than one of them is recorded, what they share is a span of
its own (`process queries`, with the number of messages), which is linked with each of theirs, and they with
it. All is recorded once the turn is over, from the intervals of its phases: nothing is looked up or carried
along while questions are answered.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from hurnet_stream.metrics.stages import Stages
from hurnet_stream.ports import Interval, Record, Span, Tracer, Work
from hurnet_stream.responder.pending import Pending
from hurnet_stream.responder.replies import Reply

_SHARED = ("embed", "search", "rank", "deliver")


class QuestionTraces:
    """Does nothing before it is given a tracer."""

    def __init__(self, topic: str, group: str, stage: Stages) -> None:
        self._topic = topic
        self._group = group
        self._stage = stage
        self._tracer: Tracer | None = None
        self._open: list[tuple[Span, Reply]] = []
        self._messages = 0

    def traced_by(self, tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._stage.keeps = tracer is not None

    def begin(self, replies: Sequence[Reply]) -> Sequence[Reply]:
        """These are about to be delivered. Returns them with the spans that their messages name."""
        self._open, self._messages = [], len(replies)
        if self._tracer is None:
            return replies
        return [self._begun(self._tracer, reply) for reply in replies]

    def end(self, delivered: bool) -> None:
        """The delivery has ended. What was rolled back will be answered, and traced, once more."""
        if self._tracer is None or not self._open:
            return
        ended = time.monotonic()
        self._record_shared(self._tracer, ended)
        for span, reply in self._open:
            span.end(ended, reply.answer.outcome, None if delivered else "rolled-back")
        self._open = []

    def _begun(self, tracer: Tracer, reply: Reply) -> Reply:
        record, poll = reply.pending.record, self._poll_of(reply.pending)
        work = Work(
            "process", self._topic, partition=record.partition, offset=record.offset, group=self._group
        )
        span = tracer.begin(work, poll.began, reply.pending.trace)
        if span is None:
            return reply
        if poll.ended > poll.began:
            span.part(poll)
        self._open.append((span, reply))
        return replace(reply, trace=span.context)

    def _poll_of(self, pending: Pending) -> Interval:
        """The part of the poll in which the question was there already. One that was read in an earlier turn
        has none."""
        read = pending.received
        for poll in self._stage.kept:
            if poll.phase == "poll" and poll.began <= read <= poll.ended:
                return Interval("poll", min(max(_sent(pending.record), poll.began), read), read)
        return Interval("poll", read, read)

    def _record_shared(self, tracer: Tracer, ended: float) -> None:
        """The phases that all questions of the turn went through."""
        spans = [span for span, _ in self._open]
        shared = [interval for interval in self._stage.kept if interval.phase in _SHARED]
        if len(spans) == 1 or not shared:
            _add(spans[0], shared)
            return
        work = Work("process", self._topic, self._messages, group=self._group)
        if turn := tracer.begin(work, shared[0].began, links=[span.context for span in spans]):
            for span in spans:
                span.link(turn.context)
            _add(turn, shared)
            turn.end(ended)


def _add(span: Span, parts: Sequence[Interval]) -> None:
    for part in parts:
        span.part(part)


def _sent(record: Record) -> float:
    """The record's timestamp on the monotonic clock. Clocks differ, so this may be off by anything."""
    return time.monotonic() - (time.time() - record.timestamp_ms / 1000)
