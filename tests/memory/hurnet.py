"""A hurnet in memory, and two ways to it: a courier as Kafka's, and what answers HTTP as a gateway does.

It answers a question with the answer that was taught for the same text, and knows each text at once.
"""

from __future__ import annotations

import json
import queue
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import httpx

from hurnet_schemas import Answer, Feedback, InvalidMessage, Message, Query, Reply, TextEvent
from hurnet_schemas.feedback import SOURCE
from hurnet_stream.ports import CORRELATION_ID, Acknowledged, News, Outgoing, Record, Replied, Undelivered


@dataclass
class MemoryHurnet:
    """Its topics, as lists of key and value. `silent`: no question is answered. `lost`: how many answers are
    lost on their way from now on."""

    topics: dict[str, list[tuple[bytes | None, bytes | None]]] = field(default_factory=dict)
    silent: bool = False
    taught: list[Record] = field(default_factory=list)
    """What corrections have taught: records of `texts`."""

    def write(self, topic: str, key: bytes | None, value: bytes | None) -> int:
        """Returns the offset."""
        records = self.topics.setdefault(topic, [])
        records.append((key, value))
        return len(records) - 1

    def texts(self) -> list[str]:
        return [TextEvent.decode(value).text for _, value in self.topics.get("texts", []) if value]

    def asked(self) -> list[str]:
        return [Query.decode(value).text for _, value in self.topics.get("queries", [])]

    def answer(self, query: Query, offset: int) -> Answer:
        end = len(self.topics.get("texts", []))
        if any(partition or wanted >= end for partition, wanted in query.min_watermarks.items()):
            return Answer(id=f"queries/0/{offset}", outcome="timed-out", reason="not there")
        return self._answer(query, offset)

    def _answer(self, query: Query, offset: int) -> Answer:
        gone: set[bytes] = set()
        for key, value in reversed(self.topics.get("texts", [])):
            if value is None and key is not None:
                gone.add(key)
            elif (
                value is not None
                and key not in gone
                and (event := TextEvent.decode(value)).text == query.text
            ):
                answer = event.answer or event.text
                return Answer(id=f"queries/0/{offset}", outcome="answered", answer=answer)
        return Answer(id=f"queries/0/{offset}", outcome="abstained", reason="nothing like it")

    def correct(self, feedback: Feedback) -> tuple[str, dict[int, int]]:
        """Written and taught at once."""
        source = f"feedback/0/{self.write('feedback', None, feedback.encode())}"
        key = f"correction of {feedback.question}".encode()
        taught = self.write("texts", key, None)
        if feedback.answer:
            taught = self.write(
                "texts", key, TextEvent(text=feedback.question, answer=feedback.answer).encode()
            )
        headers = ((SOURCE, source.encode()),)
        self.taught.append(Record("texts", 0, taught, 0, key, None, headers))
        return source, {0: taught}


class MemoryEffects:
    """Fills `Listener`: reads what corrections teach from now on."""

    def __init__(self, hurnet: MemoryHurnet) -> None:
        self._hurnet = hurnet
        self._seen = len(hurnet.taught)

    def poll(self, timeout_s: float) -> Sequence[Record]:
        new = self._hurnet.taught[self._seen :]
        self._seen += len(new)
        if not new:
            time.sleep(min(timeout_s, 0.01))
        return new

    def close(self) -> None:
        """Nothing to free."""


class MemoryCourierOf:
    """Fills `hurnet_stream.ports.Courier`."""

    def __init__(self, hurnet: MemoryHurnet) -> None:
        self.hurnet = hurnet
        self.refusing: str | None = None
        """Why messages are refused; None if they are not."""
        self.waiting_for: str | None = None
        """The trouble with reading replies."""
        self._news: queue.Queue[News] = queue.Queue()

    def post(self, ticket: str, message: Outgoing) -> None:
        if self.refusing:
            self._news.put(Undelivered(ticket, self.refusing, time.monotonic()))
            return
        offset = self.hurnet.write(message.topic, message.key, message.value)
        self._news.put(Acknowledged(ticket, 0, offset, time.monotonic()))
        if message.topic == "queries" and not self.hurnet.silent:
            answer = self.hurnet.answer(Query.decode(message.value), offset)
            correlation = dict(message.headers)[CORRELATION_ID]
            assert correlation is not None
            self._news.put(
                Replied(correlation.decode(), answer.encode(), time.monotonic(), f"answers/0/{offset}")
            )
        elif message.topic == "feedback":
            self.hurnet.topics["feedback"].pop()
            self.hurnet.correct(Feedback.decode(message.value))

    def receive(self, timeout_s: float) -> Sequence[News]:
        try:
            return [self._news.get(timeout=timeout_s)]
        except queue.Empty:
            return []

    def partitions(self, topic: str) -> int:
        return 1

    def trouble(self) -> str | None:
        return self.waiting_for

    def close(self) -> None:
        """Nothing to free."""


Step = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response | None]


class MemoryGateway:
    """Answers as a gateway does. `next` are what happens to the next requests instead: a response that is
    given, an error that is raised, or a function to call. `lose` is an error that is raised after the next
    request was fulfilled."""

    def __init__(self, hurnet: MemoryHurnet) -> None:
        self.hurnet = hurnet
        self.next: list[Step] = []
        self.lose: Exception | None = None
        self.requests: list[httpx.Request] = []
        self._done: dict[str, httpx.Response] = {}

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.next:
            step = self.next.pop(0)
            if isinstance(step, Exception):
                raise step
            instead = step if isinstance(step, httpx.Response) else step(request)
            if instead is not None:
                return instead
        response = self._once(request)
        if self.lose:
            error, self.lose = self.lose, None
            raise error
        return response

    def _once(self, request: httpx.Request) -> httpx.Response:
        """A request with an `Idempotency-Key` that came before is not fulfilled again."""
        key = request.headers.get("Idempotency-Key")
        if key and key in self._done:
            return self._done[key]
        response = self._fulfil(request)
        if key:
            self._done[key] = response
        return response

    def _fulfil(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/ask":
            return self._ask(Query.decode(request.content))
        if path == "/v1/texts" and request.method == "POST":
            return self._teach(json.loads(request.content)["texts"])
        if path == "/v1/corrections":
            source, watermarks = self.hurnet.correct(Feedback.decode(request.content))
            return httpx.Response(202, json={"feedback": source, "watermarks": watermarks, "taught": True})
        if path == "/v1/texts":
            return self._forget(request.url.params["key"].encode())
        if entry := re.fullmatch(r"/v1/texts/0/(\d+)", path):
            key, _ = self.hurnet.topics["texts"][int(entry[1])]
            return self._forget(key or b"")
        return problem(404, "no such path")

    def _ask(self, query: Query) -> httpx.Response:
        offset = self.hurnet.write("queries", None, query.encode())
        if self.hurnet.silent:
            return problem(504, "no reply within 10 s: does a responder run?")
        answer = self.hurnet.answer(query, offset)
        return httpx.Response(200, content=Reply.of(answer, query.text, f"answers/0/{offset}").encode())

    def _teach(self, texts: list[dict[str, object]]) -> httpx.Response:
        keys = [str(text.pop("key")).encode() if "key" in text else None for text in texts]
        try:
            values = [encoded(TextEvent, text) for text in texts]
        except InvalidMessage as error:
            return problem(422, error.detail, where="texts.0.text")
        offsets = [self.hurnet.write("texts", *record) for record in zip(keys, values, strict=True)]
        return written(offsets)

    def _forget(self, key: bytes) -> httpx.Response:
        return written([self.hurnet.write("texts", key, None)])


def encoded(kind: type[Message], fields: dict[str, object]) -> bytes:
    return kind.decode(json.dumps(fields).encode()).encode()


def written(offsets: Iterable[int]) -> httpx.Response:
    places = list(offsets)
    records = [f"texts/0/{offset}" for offset in places]
    return httpx.Response(202, json={"records": records, "watermarks": {"0": places[-1]}})


def problem(status: int, detail: str, after: str | None = None, **more: object) -> httpx.Response:
    headers = {"Retry-After": after} if after else {}
    fields = {"type": "about:blank", "title": "A title", "status": status, "detail": detail, **more}
    return httpx.Response(status, json=fields, headers=headers)
