"""Over Kafka, by a switchboard.

The producer is idempotent: it tries again by itself, and writes nothing twice. A question that Kafka did not
take is asked again until its time is up, if Kafka was reached before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

from hurnet_schemas import DEFAULT_CONTEXT, Coordinates, Feedback, Query, Reply
from hurnet_schemas.places import shard_name
from hurnet_stream.adapters.kafka.courier import KafkaCourier
from hurnet_stream.adapters.kafka.reading.apart import end_offsets
from hurnet_stream.adapters.kafka.reading.listening import KafkaListener
from hurnet_stream.client.effects import Effects
from hurnet_stream.client.errors import ClientError, InvalidRequest, NoReply, NotSent, NotThere, Unreachable
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks
from hurnet_stream.client.retrying import Again, Deadline, tried
from hurnet_stream.client.spans import sent
from hurnet_stream.client.switchboard import Switchboard
from hurnet_stream.client.transport import Forget, Keyed
from hurnet_stream.errors import HurnetError
from hurnet_stream.feedback.lessons import PARTITION, correction_key
from hurnet_stream.operations.deletion_requests import Deletable, NotWritable, of_entry, of_key
from hurnet_stream.ports import Courier, Outgoing, Tracer, Work
from hurnet_stream.settings.settings import KafkaSettings
from hurnet_stream.settings.topics import TopicSettings

T = TypeVar("T")

QUESTIONS_MOST: Final = 1_000
PORTIONS_MOST: Final = 4
"""Under way at once; the others wait. The courier refuses what goes far beyond."""
BLOCKING_MOST: Final = 4
LOOK_S: Final = 0.005


class OverKafka:
    """Fills `Transport`. It begins to connect at once, in threads of its own, and never fails by that.

    With a `tracer`, sending a question is a span there. `courier` takes the place of Kafka. `topics` are the
    tables of other topics, which say where deletions may be written."""

    def __init__(
        self,
        kafka: KafkaSettings,
        tracer: Tracer | None = None,
        courier: Courier | None = None,
        topics: Mapping[str, TopicSettings] | None = None,
    ) -> None:
        self._kafka = kafka
        self._deletable = Deletable(kafka.texts, topics or {})
        self._tracer = tracer
        self._switchboard = Switchboard(courier or KafkaCourier(kafka, kafka.answers), kafka)
        self._effects = Effects(lambda: KafkaListener(kafka, kafka.texts, [PARTITION]))
        self._threads = ThreadPoolExecutor(BLOCKING_MOST, thread_name_prefix="hurnet-client-kafka")
        self._questions = asyncio.Semaphore(QUESTIONS_MOST)
        self._portions = asyncio.Semaphore(PORTIONS_MOST)
        self._met = False

    def __repr__(self) -> str:
        return f"OverKafka('kafka://{self._kafka.bootstrap}')"

    async def ask(self, query: Query, timeout_s: float) -> Reply:
        deadline = Deadline(timeout_s)
        try:
            async with asyncio.timeout(timeout_s), self._questions:
                await self._listening()
                return await tried(partial(self._ask_once, query), deadline)
        except TimeoutError:
            raise self._no_reply(timeout_s) from None

    async def teach(self, texts: Sequence[Keyed], timeout_s: float) -> Watermarks:
        messages = [Outgoing(self._kafka.texts, text.event.encode(), _bytes(text.key)) for text in texts]
        async with _acknowledged(timeout_s), self._portions:
            return _last(await self._send(messages))

    async def correct(self, feedback: Feedback, wait_s: float, timeout_s: float) -> Corrected:
        deadline = Deadline(timeout_s)
        if wait_s:
            await self._blocking(self._effects.begin, timeout_s)
        key = correction_key(feedback.context, feedback.question)
        async with _acknowledged(deadline.left_s):
            (place,) = await self._send([Outgoing(self._kafka.feedback, feedback.encode(), key)])
        source = _name(self._kafka.feedback, place)
        effect = await self._effect(source, min(wait_s, deadline.left_s)) if wait_s else Watermarks()
        return Corrected(source, effect, bool(effect))

    async def forget(self, what: Forget, timeout_s: float) -> Forgotten:
        deadline = Deadline(timeout_s)
        topic = self._topic_of(what)
        ends = await self._blocking(partial(end_offsets, self._kafka, topic), timeout_s)
        if what.entry is not None:
            _, partition, offset, _ = what.entry
            if offset >= ends.get(partition, 0):
                raise NotThere(f"{topic} has no record {partition}/{offset}")
            messages = of_entry(topic, partition, offset)
        else:
            messages = of_key(topic, ends, _bytes(what.key) or b"", what.context or DEFAULT_CONTEXT)
        async with _acknowledged(deadline.left_s):
            places = await self._send(messages)
        other = None if topic == self._kafka.texts else topic
        return Forgotten(tuple(_name(topic, place) for place in places), _last(places, other))

    def _topic_of(self, what: Forget) -> str:
        try:
            return self._kafka.texts if what.entry is None else self._deletable.topic_of(what.entry)
        except NotWritable as error:
            raise InvalidRequest(str(error), "entry") from None

    async def close(self) -> None:
        await asyncio.gather(*map(asyncio.to_thread, (self._switchboard.close, self._effects.close)))
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _listening(self) -> None:
        """Return once replies can be read: what is asked before may get none. Raises `Unreachable`."""
        before = self._switchboard.trouble()
        while trouble := self._switchboard.trouble():
            if trouble != before and not self._met:
                raise Unreachable(trouble.removeprefix(f"reading {self._kafka.answers}: "))
            await asyncio.sleep(LOOK_S)
        self._met = True

    async def _ask_once(self, query: Query) -> Reply | Again:
        with sent(self._tracer, Work("send", self._kafka.queries)) as trace:
            future = self._switchboard.ask(query, trace)
        try:
            return await asyncio.wrap_future(future)
        except NotSent as error:
            return Again(error)
        except ClientError:
            raise
        except HurnetError as error:
            raise ClientError(str(error)) from error

    async def _send(self, messages: Sequence[Outgoing]) -> list[Coordinates]:
        """The places of records that are sent in this order. If one fails, others may have been written."""
        futures = [asyncio.wrap_future(self._switchboard.send(message)) for message in messages]
        done = await asyncio.gather(*futures, return_exceptions=True)
        for each in done:
            if isinstance(each, BaseException):
                raise each
        return [each for each in done if isinstance(each, Coordinates)]

    async def _effect(self, feedback: str, wait_s: float) -> Watermarks:
        """What the feedback at these coordinates has taught; empty if that was not seen in time."""
        try:
            async with asyncio.timeout(wait_s):
                return Watermarks((await asyncio.wrap_future(self._effects.of(feedback))).items())
        except (TimeoutError, HurnetError):
            return Watermarks()

    async def _blocking(self, call: Callable[[], T], timeout_s: float) -> T:
        future: Future[T] = self._threads.submit(call)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Unreachable(f"Kafka has not answered within {timeout_s:g} s") from None
        except ClientError:
            raise
        except HurnetError as error:
            raise Unreachable(str(error)) from error

    def _no_reply(self, timeout_s: float) -> ClientError:
        trouble = self._switchboard.trouble()
        if trouble:
            return Unreachable(f"no reply within {timeout_s:g} s: {trouble}")
        return NoReply(
            f"no reply within {timeout_s:g} s: does a responder run (`hurnet status`), and is it ready?"
            " The question stays in Kafka; a responder that reads it later answers that it has timed out"
        )


@asynccontextmanager
async def _acknowledged(timeout_s: float) -> AsyncIterator[None]:
    """A block that ends within `timeout_s` seconds, or raises `NotSent`."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise NotSent(
            f"Kafka has not acknowledged it within {timeout_s:.3g} s; it may have been written"
        ) from None


def _bytes(key: str | None) -> bytes | None:
    return None if key is None else key.encode()


def _name(topic: str, place: Coordinates) -> str:
    return str(place.place._replace(topic=topic))


def _last(places: Sequence[Coordinates], topic: str | None = None) -> Watermarks:
    """The highest offsets of records of a topic; None: that of texts."""
    watermarks = Watermarks()
    for place in places:
        watermarks |= {shard_name(topic, place.partition): place.offset}
    return watermarks
