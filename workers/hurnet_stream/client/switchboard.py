"""Many questions and records under way at once over one pair of Kafka connections, each with a future.

    ask(query) ──▶ future, correlation id 7f3a… ──▶ courier ──▶ queries
                                                    courier ◀── answers: 7f3a… ──▶ the future has its reply
    send(message) ──▶ future, ticket 1c02… ──▶ courier ──▶ acknowledged: partition 0, offset 41 ──▶ the future

A future may be cancelled at any time, which forgets it: whoever asked and hung up costs nothing. Whoever
waits chooses how long; what nobody has cancelled fails after `LONGEST_S` with `NoReply`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from hurnet_schemas import Answer, Coordinates, InvalidMessage, Query, Reply
from hurnet_schemas.query import MAX_TIMEOUT_MS
from hurnet_stream.client.errors import NoReply, NotSent
from hurnet_stream.errors import HurnetError, UpgradeNeeded
from hurnet_stream.ports import (
    CORRELATION_ID,
    REPLY_TO,
    Acknowledged,
    Courier,
    Headers,
    News,
    Outgoing,
    Replied,
    TraceContext,
    Undelivered,
    new_trace,
)
from hurnet_stream.settings.settings import KafkaSettings

__all__ = ["NoReply", "NotSent", "Switchboard"]

LISTEN_S: Final = 0.2
LONGEST_S: Final = MAX_TIMEOUT_MS / 1000 + 10
"""Longer than any query may wait for its texts, and the reply a while on its way."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A question under way: its text, since when (monotonic seconds), and who waits for the reply."""

    text: str
    since: float
    future: Future[Reply]


class Switchboard:
    """Sends by a courier, and tells each future what became of its message. Safe for any number of threads.

    Replies are read from the moment on that `trouble` is first None: what is asked before may get none."""

    def __init__(self, courier: Courier, kafka: KafkaSettings, replies: str | None = None) -> None:
        self._courier = courier
        self._queries = kafka.queries
        self._untold_s = 3 * kafka.request_timeout  # couriers tell what became of a message before that
        self._replies = replies or kafka.answers
        self._lock = threading.Lock()
        self._questions: dict[str, _Question] = {}  # the oldest first
        self._untaken: dict[str, float] = {}  # since when, the oldest first; whoever asked may be gone
        self._records: dict[str, Future[Coordinates]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="switchboard", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions wait for their replies."""
        return len(self._questions)

    def untaken_s(self) -> float:
        """For how many seconds Kafka has neither taken nor refused the oldest question that it was sent."""
        with self._lock:
            since = next(iter(self._untaken.values()), None)
        return 0.0 if since is None else time.monotonic() - since

    def trouble(self) -> str | None:
        """Why no replies can be read at the moment; None if they can."""
        return self._courier.trouble()

    def ask(
        self,
        query: Query,
        trace: TraceContext | None = None,
        sign: Callable[[bytes, bytes], Headers] | None = None,
    ) -> Future[Reply]:
        """Send a query, with the headers that `sign` makes of its correlation id and its value. The future
        fails with `NotSent`, `NoReply`, or `UpgradeNeeded` if this hurnet is too old to read the answer."""
        ticket, future = uuid.uuid4().hex, Future[Reply]()
        headers: Headers = (
            (CORRELATION_ID, ticket.encode()),
            (REPLY_TO, self._replies.encode()),
            (trace or new_trace()).header,
        )
        value = query.encode()
        if sign:
            headers += sign(ticket.encode(), value)
        with self._lock:
            self._untaken[ticket] = now = time.monotonic()
            self._questions[ticket] = _Question(query.text, now, future)
        future.add_done_callback(partial(self._forget, self._questions, ticket))
        self._courier.post(ticket, Outgoing(self._queries, value, headers=headers))
        return future

    def send(self, message: Outgoing) -> Future[Coordinates]:
        """Send a record to any topic. The future has its place, or fails with `NotSent`."""
        ticket, future = uuid.uuid4().hex, Future[Coordinates]()
        with self._lock:
            self._records[ticket] = future
        future.add_done_callback(partial(self._forget, self._records, ticket))
        self._courier.post(ticket, message)
        return future

    def close(self) -> None:
        """Every future that still waits fails with `NotSent` or `NoReply`."""
        self._closing.set()
        self._courier.close()
        self._thread.join()
        for question in self._taken(self._questions):
            _fail(question.future, NoReply("this client was closed before the reply came"))
        for future in self._taken(self._records):
            _fail(future, NotSent("this client was closed before Kafka had the record"))

    def _listen(self) -> None:
        while not self._closing.is_set():
            for news in self._courier.receive(LISTEN_S):
                self._hear(news)
            self._give_up()

    def _hear(self, news: News) -> None:
        if isinstance(news, Acknowledged | Undelivered):
            with self._lock:
                self._untaken.pop(news.ticket, None)
        match news:
            case Replied():
                self._replied(news)
            case Acknowledged() if future := self._records.get(news.ticket):
                _settle(future, lambda: Coordinates(partition=news.partition, offset=news.offset))
            case Undelivered():
                self._undelivered(news)

    def _replied(self, reply: Replied) -> None:
        question = self._questions.get(reply.correlation)
        if question is None:  # somebody else's, or one that nobody waits for any more
            return
        with contextlib.suppress(InvalidMessage):  # others may write to this topic, too
            _settle(question.future, partial(_read, reply, question.text))

    def _undelivered(self, news: Undelivered) -> None:
        question, future = self._questions.get(news.ticket), self._records.get(news.ticket)
        for waiting in (question.future if question else None, future):
            if waiting is not None:
                _fail(waiting, NotSent(f"Kafka did not take it: {news.why}"))

    def _give_up(self) -> None:
        """Of the oldest, those that have waited too long."""
        now = time.monotonic()
        before, untold = now - LONGEST_S, now - self._untold_s
        with self._lock:
            for ticket in list(itertools.takewhile(lambda each: self._untaken[each] < untold, self._untaken)):
                del self._untaken[ticket]
            oldest = itertools.takewhile(lambda each: each.since < before, self._questions.values())
            late = list(oldest)
        for question in late:
            _fail(question.future, NoReply(f"no reply within {LONGEST_S:g} s"))

    def _forget(self, waiting: dict[str, Any], ticket: str, _done: Future[Any]) -> None:
        with self._lock:
            waiting.pop(ticket, None)

    def _taken(self, waiting: dict[str, Any]) -> list[Any]:
        with self._lock:
            return list(waiting.values())


def _read(reply: Replied, question: str) -> Reply:
    """The reply with its question. Raises `InvalidMessage` if it is none, and `UpgradeNeeded`."""
    try:
        answer = Answer.decode(reply.value)
    except InvalidMessage as error:
        if error.reason != "unknown-version":
            raise
        raise UpgradeNeeded(
            f"the answer is from a newer hurnet, so upgrade this one ({error.detail})"
        ) from None
    return Reply.of(answer, question, reply.record)


def _settle(future: Future[Any], value: Callable[[], object]) -> None:
    """Give the future its value or the error that making it raised, unless it was cancelled.

    Raises `InvalidMessage` and leaves the future as it is: the right record may still come."""
    try:
        result = value()
    except InvalidMessage:
        raise
    except HurnetError as error:
        _fail(future, error)
        return
    if future.set_running_or_notify_cancel():
        future.set_result(result)


def _fail(future: Future[Any], error: HurnetError) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(error)
