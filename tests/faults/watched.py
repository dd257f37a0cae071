"""A system under the eyes of a real Prometheus with the real rules, thirty times as fast.

A fault is put into the system, and the watcher says when each alert of its kind is pending, when it fires,
and when it is gone after the mend:

    with Watched(...) as watched:
        with watched.shows("responder killed", "HurnetRoleNotReady/down"):
            responder.kill()              # until the end of the block: pending, then firing
        ...                               # the mend
        watched.gone()                    # and the alert goes out

Some alerts look at hours: six of them are twelve minutes even then. For these a second Prometheus runs three
hundred times as fast, in which the short windows of the others are too short to mean anything. A third one is
slower, for an alert that counts what a responder does once in half a minute.
"""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.errors import TransientError
from hurnet_stream.local import ValkeyServer
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import PARTITIONS, Running, System
from tests.prometheus import RULES, Alert, Prometheus, faster

FACTOR = 30
OTHER_FACTORS = {
    **dict.fromkeys(("HurnetAnswersSlowBurn", "HurnetFreshnessSlowBurn", "HurnetLatencyBurn"), 300),
    **dict.fromkeys(("HurnetTextsLost", "HurnetAnsweredTwice"), 300),
    "HurnetAnswersRolledBack": 6,
}
LATE = frozenset({"HurnetFreshnessFastBurn", "HurnetFreshnessSlowBurn", "HurnetLatencyBurn"})
"""What rightly fires on a machine that is too busy: texts and answers are late."""
ROLES = ("ingest", "solver", "responder", "gateway", "canary")
QUICK = {
    "HURNET_CANARY_INTERVAL": "0.25",
    "HURNET_CANARY_TIMEOUT": "6",
    "HURNET_CANARY_VERIFY_INTERVAL": "12",
    "HURNET_LIFECYCLE_RETRY_MOST": "0.5",
    "HURNET_RESPONDER_TRANSACTION_DEADLINE": "1",
    "HURNET_GATEWAY_TIMEOUT": "1",
}
"""Probes as often as the rules are fast: every 0.25 s at thirty times is every 7.5 s."""
JSON = {"Content-Type": "application/json"}
LIMIT_S = 240.0
POLL_S = 0.25


@dataclass(slots=True)
class Row:
    """A line of the table: an alert, its fault, and seconds since the fault or the mend."""

    alert: str
    fault: str
    pending_s: float | None = None
    firing_s: float | None = None
    gone_s: float | None = None

    def __str__(self) -> str:
        shown = [f"{s:.0f}" if s is not None else "-" for s in (self.pending_s, self.firing_s, self.gone_s)]
        return f"| {self.alert} | {self.fault} | {' | '.join(shown)} |"


@dataclass(slots=True)
class Teacher:
    """Teaches three pairs three times a second: a store in which nothing happens shows nothing."""

    system: System
    ended: threading.Event = field(default_factory=threading.Event)
    sink: KafkaSink = field(init=False)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.sink = KafkaSink(self.system.settings.kafka)
        self.thread = threading.Thread(target=self._teach)
        self.thread.start()

    def _teach(self) -> None:
        number = 0
        topic = self.system.settings.kafka.texts
        while not self.ended.wait(0.33):
            texts = [
                TextEvent(text=f"statement {number + p}", answer=f"answer {p}") for p in range(PARTITIONS)
            ]
            try:
                self.sink.send([Outgoing(topic, text.encode(), partition=p) for p, text in enumerate(texts)])
            except TransientError:
                continue
            number += PARTITIONS
        self.sink.close()

    def close(self) -> None:
        self.ended.set()
        self.thread.join()


@contextmanager
def asking(port: int) -> Iterator[None]:
    """In the block, four clients ask over HTTP, one question after the other."""
    ended = threading.Event()

    def ask() -> None:
        question = json.dumps({"text": "statement 1"}).encode()
        while not ended.wait(0.2):
            request = urllib.request.Request(f"http://{HOST}:{port}/v1/ask", question, JSON)
            with suppress(OSError):  # an error is a reply, too, and counted by the gateway
                urllib.request.urlopen(request, timeout=10).close()

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        ended.set()
        for client in clients:
            client.join()


class Watched:
    """The system of one test module: workers on ports that they keep, a teacher, and Prometheus."""

    def __init__(self, kafka: str, valkey: ValkeyServer, name: str, folder: Path) -> None:
        self.valkey = valkey
        self.system = System(kafka, valkey.url, name, folder, **QUICK)
        self.workers: dict[str, Running] = {}
        *ports, self.http = free_ports(len(ROLES) + 1)
        self._ports = dict(zip(ROLES, ports, strict=True))
        rules = RULES.read_text("utf-8")
        self._by_factor = {f: Prometheus(faster(rules, f)) for f in {FACTOR, *OTHER_FACTORS.values()}}
        self._fast = self._by_factor[FACTOR]
        self._open: list[Row] = []
        self._mend_began = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as opened:  # what was opened is closed, also if the rest can't be
            opened.enter_context(self.system).create_topics()
            for role in ROLES:
                self.start(role)
            for worker in self.workers.values():
                worker.wait_ready()
            opened.callback(Teacher(self.system).close)
            targets = {f"hurnet-{role}": [f"http://{HOST}:{port}"] for role, port in self._ports.items()}
            for prometheus in self._by_factor.values():
                prometheus.scrape(targets)
                opened.enter_context(prometheus)
            self._fast.wait_scraped()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def start(self, role: str, poisoned: str = "", **settings: str) -> Running:
        """Start a worker of this role at the address that Prometheus knows. A `poisoned` one can't stand a
        text (see tests/acceptance/poisoned.py)."""
        settings = {
            "HURNET_METRICS_PORT": str(self._ports[role]),
            "HURNET_GATEWAY_PORT": str(self.http),
            **settings,
        }
        if poisoned:
            self.workers[role] = self.system.start_poisoned(role, poisoned, **settings)
        else:
            self.workers[role] = self.system.start(role, **settings)
        return self.workers[role]

    def restart(self, role: str, poisoned: str = "", **settings: str) -> Running:
        """End it if it runs, and start it anew."""
        if self.workers[role].process.poll() is None:
            self.workers[role].kill()
        return self.start(role, poisoned, **settings).wait_ready()

    @contextmanager
    def paused(self, role: str) -> Iterator[None]:
        """A worker that hangs: it exists, and does nothing at all."""
        process = self.workers[role].process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def firing(self) -> set[str]:
        """The alerts that fire now, each as NAME or NAME/CAUSE, and without those of other factors."""
        return {_key(alert) for alert in self._alerts().values() if alert.state == "firing"}

    def unhealthy_rules(self) -> list[str]:
        """Rules that could not be evaluated."""
        return [rule for prometheus in self._by_factor.values() for rule in prometheus.unhealthy_rules()]

    def wait_quiet(self) -> None:
        """Return once no alert is pending or firing, but for those of other factors and those of `LATE`."""

        left_out = OTHER_FACTORS.keys() | LATE

        def quiet() -> bool:
            return not [key for key in self._alerts() if key.partition("/")[0] not in left_out]

        self._fast.wait_for(quiet, LIMIT_S, "no alert any more")

    @contextmanager
    def shows(self, fault: str, *alerts: str) -> Iterator[None]:
        """The fault is put in at the beginning of the block. At its end, all these alerts (NAME or
        NAME/CAUSE) have come to fire; other ones may as well. Then comes the mend, and `gone`."""
        self._fast.wait_for(lambda: not self._alerts().keys() & set(alerts), LIMIT_S, f"{alerts} are over")
        self._open = [Row(alert, fault) for alert in alerts]
        begun = time.monotonic()
        yield
        self._watch(lambda row, alert: self._note(row, alert, time.monotonic() - begun), "firing")
        self._mend_began = time.monotonic()

    def gone(self) -> None:
        """The fault is mended: wait until the alerts are gone, and print their lines of the table."""

        def note(row: Row, alert: Alert | None) -> bool:
            if alert is None and row.gone_s is None:
                row.gone_s = time.monotonic() - self._mend_began
            return row.gone_s is not None

        self._watch(note, "gone")
        for row in self._open:
            print(row)

    def _note(self, row: Row, alert: Alert | None, seconds: float) -> bool:
        if alert is not None and row.firing_s is None:
            assert "<" not in str(alert.annotations), alert.annotations  # what a template that failed leaves
            if row.pending_s is None:
                row.pending_s = seconds
            if alert.state == "firing":
                row.firing_s = seconds
        return row.firing_s is not None

    def _watch(self, note: Callable[[Row, Alert | None], bool], what: str) -> None:
        """Look at all alerts again and again, until each of those that are waited for is noted."""

        def done() -> bool:
            alerts = self._alerts()
            return all([note(row, alerts.get(row.alert)) for row in self._open])

        try:
            self._fast.wait_for(done, LIMIT_S, what)
        except AssertionError as error:
            raise AssertionError(f"{self._open}: {error}") from None

    def _alerts(self) -> Mapping[str, Alert]:
        """What is pending or firing, each by the Prometheus of its factor."""
        found = [
            alert
            for factor, prometheus in self._by_factor.items()
            for alert in prometheus.alerts()
            if OTHER_FACTORS.get(alert.name, FACTOR) == factor
        ]
        return {_key(alert): alert for alert in sorted(found, key=lambda alert: alert.state, reverse=True)}


def _key(alert: Alert) -> str:
    cause = alert.labels.get("cause")
    return f"{alert.name}/{cause}" if cause else alert.name
