"""An exchange that answers each query with its own coordinates: who was answered, and how often?"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

from kafka.admin import KafkaAdminClient

from hurnet_stream.adapters.kafka import TransactionalExchange
from hurnet_stream.adapters.kafka.reading.source import KafkaSource
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.errors import TransientError
from hurnet_stream.ports import Exchange, Outgoing
from hurnet_stream.settings.settings import KafkaSettings, ResponderSettings

PARTITIONS = 3
SECONDS = 120.0  # only ends what hangs: a broker killed twice on a busy machine takes a minute


def create(bootstrap: str, *topics: str) -> None:
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.create_topics({t: {"num_partitions": PARTITIONS} for t in topics}, wait_for_metadata=True)


def echo(settings: KafkaSettings, queries: str) -> Exchange:
    responder = ResponderSettings(group=f"g-{queries}", instance="one")
    return TransactionalExchange(settings, queries, responder)


def serve_once(exchange: Exchange, answers: str) -> int:
    """Answer each query that is there with its own coordinates; returns how many answers were delivered."""
    records = exchange.poll(0.1, 50).records
    if not records:
        return 0
    replies = [Outgoing(answers, b"%d:%d" % (r.partition, r.offset)) for r in records]
    done = exchange.deliver(replies, {r.partition: r.offset + 1 for r in records})
    return len(records) if done else 0


def read_all(settings: KafkaSettings, topic: str, count: int) -> list[tuple[int, int, bytes]]:
    """(partition, offset, value) of all committed records: at least `count`, and any that come soon after."""
    found: list[tuple[int, int, bytes]] = []
    deadline = time.monotonic() + SECONDS
    with closing(KafkaSource(settings, topic, f"reader-{time.monotonic_ns()}")) as source:
        while len(found) < count or not read_to_the_end(source):
            assert time.monotonic() < deadline, (
                f"{len(found)} of {count} records in {topic}, lag {source.lag()}"
            )
            polled = source.poll(0.3, 5_000)
            found += [(r.partition, r.offset, r.value or b"") for r in polled.records]
    return found


def read_to_the_end(source: KafkaSource) -> bool:
    """Whether nothing is left. The lag of a partition is unknown until something was fetched from it."""
    lag = source.lag()
    return bool(lag) and lag.keys() == source.assignment() and not any(lag.values())


class Traffic:
    """Queries that keep coming, sent again until they are acknowledged, and an exchange that answers them."""

    def __init__(self, settings: KafkaSettings, queries: str, answers: str) -> None:
        self.settings = settings
        self.queries = queries
        self.answers = answers
        self.answered = 0
        self.longest_gap = 0.0
        self.failure: BaseException | None = None
        self._stop_sending = threading.Event()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,)) for run in (self._send, self._serve)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        self.wait_for(50)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_sending.set()
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS)

    def wait_for(self, more: int) -> None:
        """Returns once `more` further queries are answered."""
        goal = self.answered + more
        deadline = time.monotonic() + SECONDS
        while self.answered < goal:
            assert self.failure is None, self.failure
            assert time.monotonic() < deadline, f"{self.answered} answered, {goal} wanted"
            time.sleep(0.02)

    def check(self) -> int:
        """Stop sending, let everything be answered, and count: each query exactly once."""
        self._stop_sending.set()
        self._threads[0].join(SECONDS)
        asked = Counter(b"%d:%d" % (p, o) for p, o, _ in read_all(self.settings, self.queries, 1))
        answers = Counter(value for _, _, value in read_all(self.settings, self.answers, len(asked)))
        assert self.failure is None, self.failure
        assert answers == asked
        return len(asked)

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self.failure = error

    def _send(self) -> None:
        sink: KafkaSink | None = None
        while not self._stop_sending.is_set():
            try:
                sink = sink or KafkaSink(self.settings)
                sink.send([Outgoing(self.queries, b"?", partition=p) for p in range(PARTITIONS)])
            except TransientError:
                time.sleep(0.2)
            time.sleep(0.02)
        if sink:
            sink.close()

    def _serve(self) -> None:
        with closing(echo(self.settings, self.queries)) as exchange:
            last = time.monotonic()
            while not self._stop.is_set():
                try:
                    done = serve_once(exchange, self.answers)
                except TransientError:
                    time.sleep(0.2)
                    continue
                if done:
                    now = time.monotonic()
                    if self.answered:
                        self.longest_gap = max(self.longest_gap, now - last)
                    self.answered, last = self.answered + done, now


def settled(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap=bootstrap, session_timeout=6)
