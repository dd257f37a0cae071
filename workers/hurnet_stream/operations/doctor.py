"""Where the path from a question to its answer is broken: a walk along it, with one probe for each edge.

    client ─▶ queries ─▶ responder ─▶ store ◀─ ingest ◀─ texts ◀─ client
      ▲                     │
      └────── answers ◀─────┘

Two probes go off together: a question, and a text that a second question insists on. What comes back says
which edges hold. What does not come back is told apart by the consumer groups, if we may see them
(diagnosis.py). Nothing but the topics and the groups is asked, so every client may make the walk. Each wait
has a deadline.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from hurnet_schemas import Answer, InvalidMessage, Query, TextEvent
from hurnet_stream.errors import HurnetError
from hurnet_stream.operations.diagnosis import Check, Evidence, Group, Probe, Report, checks_of, concluded
from hurnet_stream.ports import (
    CORRELATION_ID,
    Acknowledged,
    Courier,
    News,
    Outgoing,
    Replied,
    Undelivered,
    new_trace,
)
from hurnet_stream.records import CONTEXT
from hurnet_stream.settings.settings import KafkaSettings

KEY: Final = b"hurnet-doctor"
Groups = Callable[[], Mapping[str, Group]]
"""The groups of ingest and responder, by role. Raises `HurnetError` if they can't be seen."""


class Doctor:
    """One walk. `timeout_s` is how long each wait may take."""

    def __init__(
        self,
        courier: Courier,
        kafka: KafkaSettings,
        context: str,
        groups: Groups,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._courier = courier
        self._kafka = kafka
        self._context = context
        self._groups = groups
        self._timeout_s = timeout_s
        self._clock = clock
        self._probes: dict[str, Probe] = {}
        self._trace = new_trace()
        self._text = f"hurnet doctor {uuid.uuid4().hex}"

    def examine(self) -> Report:
        """Walk. Takes three waits at most, and a look at the groups if something is broken."""
        if unreachable := self._reach():
            return concluded((unreachable,))
        evidence = Evidence(self._ask({}), self._send_text())
        self._wait(lambda: _settled(evidence.question) and (evidence.text.kept or evidence.text.refused))
        if kept := evidence.text.kept:
            evidence.insisting = self._ask({kept.partition: kept.offset})
            probes = evidence.question, evidence.insisting
            self._wait(lambda: all(map(_settled, probes)))
            self._clean_up(kept.partition)
        checks = checks_of(evidence)
        if any(check.well is False for check in checks):
            self._look_at_groups(evidence)
            checks = checks_of(evidence)
        return concluded(checks, evidence)

    def _reach(self) -> Check | None:
        """None once replies can be read and the topics are known; else why not."""
        self._wait(lambda: self._courier.trouble() is None and self._known(self._kafka.queries))
        trouble = self._courier.trouble()
        if trouble is None:
            return None
        known = self._known(self._kafka.queries) or self._known(self._kafka.texts)
        return Check("answers" if known else "kafka", False, trouble)

    def _known(self, topic: str) -> bool:
        return self._courier.partitions(topic) > 0

    def _ask(self, watermarks: Mapping[int, int]) -> Probe:
        wait_ms = max(1, round(self._timeout_s * 800))  # less than we wait, so that its reply can come
        query = Query(
            text=self._text, context=self._context, min_watermarks=dict(watermarks), timeout_ms=wait_ms
        )
        name = uuid.uuid4().hex
        headers = ((CORRELATION_ID, name.encode()), self._trace.header)
        return self._post(name, Outgoing(self._kafka.queries, query.encode(), None, headers))

    def _send_text(self) -> Probe:
        event = TextEvent(text=self._text, context=self._context)
        message = Outgoing(self._kafka.texts, event.encode(), KEY, (self._trace.header,))
        return self._post(uuid.uuid4().hex, message)

    def _clean_up(self, partition: int) -> None:
        """Delete the text again, and wait until Kafka has the tombstone."""
        header = ((CONTEXT, self._context.encode()),)
        probe = self._post(uuid.uuid4().hex, Outgoing(self._kafka.texts, None, KEY, header, partition))
        self._wait(lambda: probe.kept or probe.refused)

    def _post(self, name: str, message: Outgoing) -> Probe:
        probe = self._probes[name] = Probe(self._clock())
        self._courier.post(name, message)
        return probe

    def _wait(self, enough: Callable[[], object]) -> None:
        """Hear what comes until there is enough of it, or time is up."""
        deadline = self._clock() + self._timeout_s
        while not enough() and (left := deadline - self._clock()) > 0:
            for news in self._courier.receive(min(left, 0.1)):
                self._hear(news)

    def _hear(self, news: News) -> None:
        name = news.correlation if isinstance(news, Replied) else news.ticket
        if (probe := self._probes.get(name)) is None:
            return
        if isinstance(news, Acknowledged):
            probe.kept = news
        elif isinstance(news, Undelivered):
            probe.refused = news.why
        elif probe.reply is None:
            probe.reply, probe.replied = _read(news.value), news.at

    def _look_at_groups(self, evidence: Evidence) -> None:
        """Until ingest has passed the text, or time is up."""
        deadline = self._clock() + self._timeout_s
        while True:
            try:
                evidence.groups, evidence.groups_unseen = self._groups(), ""
            except HurnetError as error:
                evidence.groups_unseen = str(error)
                return
            waits = evidence.passed_by_ingest() is False and evidence.members("ingest")
            if not waits or self._clock() >= deadline:
                return
            self._courier.receive(0.2)


def _settled(probe: Probe) -> bool:
    return probe.reply is not None or bool(probe.refused)


def _read(value: bytes | None) -> Answer:
    try:
        return Answer.decode(value)
    except InvalidMessage as error:
        return Answer(id="", outcome="unreadable", reason=str(error))
