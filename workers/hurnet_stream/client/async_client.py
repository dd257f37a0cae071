"""A client for asyncio. `Client` is the same for threads, and does everything by this one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, TypeVar, Unpack

from hurnet_schemas import Feedback, Query, Reply
from hurnet_schemas.detail import Detail
from hurnet_schemas.places import Marks
from hurnet_stream.client import messages
from hurnet_stream.client.errors import ClientError, Closed, InvalidRequest, NoReply, NotTaught
from hurnet_stream.client.many import AT_ONCE, EITHER, in_order, several, taught_in_order
from hurnet_stream.client.messages import Entry, Teachable
from hurnet_stream.client.opening import opened
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks
from hurnet_stream.client.retrying import Deadline
from hurnet_stream.client.transport import Keyed, Transport

if TYPE_CHECKING:
    from hurnet_schemas.filter import Filter

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
TIMEOUT_S_MOST: Final = 3_600.0
LOOK_AGAIN_S: Final = 0.1


class Asking(TypedDict, total=False):
    """The arguments of `AsyncClient.ask` but the question."""

    context: str | None
    top_k: int | None
    filter: Filter | Mapping[str, Any] | None
    neighbours: int | None
    detail: Detail | None
    after: Marks | None
    timeout: float | None


class AsyncClient:
    """Asks, teaches, corrects and forgets, over Kafka or HTTP.

        async with AsyncClient("http://127.0.0.1:8080") as hurnet:
            seen = await hurnet.teach("I forgot my password", "Settings, Security")
            print((await hurnet.ask("I lost my password", after=seen)).answer)

    It belongs to one event loop, whose tasks may share it. Over HTTP nothing connects before the first call,
    over Kafka it begins at once, in the background. Every call ends within `timeout` seconds: the call's own,
    or else the client's. A cancelled task leaves nothing behind, but what it wanted to write may be written.

    Args:
        address: http://HOST:PORT or https://HOST of a gateway (needs the extra `client`), or
            kafka://HOST:PORT,HOST:PORT. Over Kafka, HURNET_KAFKA_* says how to log in and what topics are
            called. Or a `Transport`.
        api_key: the key that a gateway wants, as `hurnet keys new` printed it.
        timeout: seconds for a call that names none itself.

    Raises:
        InvalidRequest: the address, the key or the timeout can't be used.
        ConfigurationError: a setting HURNET_* is wrong (Kafka only).
    """

    def __init__(
        self, address: str | Transport, *, api_key: str | None = None, timeout: float = TIMEOUT_S
    ) -> None:
        self._timeout_s = checked_timeout(timeout)
        self._transport = opened(address, api_key)
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    async def ask(
        self,
        question: str | Query,
        *,
        context: str | None = None,
        top_k: int | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
        neighbours: int | None = None,
        detail: Detail | None = None,
        after: Marks | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Ask a question.

        Args:
            question: the text, or a whole `Query`: what that says counts before the arguments here.
            context: the context to ask, "default" if it is not given.
            top_k: how many candidates to return, 1 to 100.
            filter: only entries whose metadata match may answer: {"key": "product", "is": "router"}.
            neighbours: how many of the nearest entries to show, 0 to 50.
            detail: how much the reply shows: "answer" alone; the other candidates with their "scores", too;
                or, if it is not given, their "texts", too.
            after: watermarks that `teach`, `correct` or `forget` gave: the reply has seen what they wrote.
            timeout: seconds.

        Returns:
            The reply. Its `answer` is None if its `outcome` is not "answered"; `reason` then says why.

        Raises:
            InvalidRequest: a field is wrong.
            NoReply: nobody answered in time.
            AccessRefused, NotThere, Busy, Unreachable, NotSent: see `hurnet_stream.client.errors`.
        """
        fields = {"context": context, "top_k": top_k, "filter": filter, "neighbours": neighbours}
        seconds = self._seconds(timeout)
        query = messages.query(question, {**fields, "detail": detail, "min_watermarks": after}, seconds)
        return await self._do(self._transport.ask(query, seconds))

    async def ask_many(
        self,
        questions: Iterable[str | Query] | AsyncIterable[str | Query],
        *,
        at_once: int = AT_ONCE,
        **how: Unpack[Asking],
    ) -> AsyncGenerator[Reply, None]:
        """Ask questions, `at_once` of them at a time; gives the replies in the order of the questions.

        `questions` may be endless: no more than `at_once` are taken whose replies were not given yet. The
        other arguments are those of `ask`, for each question. The first error ends it, and what is under way
        then is forgotten; raises what `ask` raises.
        """

        async def ask(question: str | Query) -> Reply:
            return await self.ask(question, **how)

        async with aclosing(in_order(ask, several(questions, "questions", EITHER), at_once)) as replies:
            async for reply in replies:
                yield reply

    async def teach(
        self,
        text: Teachable,
        answer: str | None = None,
        *,
        context: str | None = None,
        metadata: Mapping[str, str] | None = None,
        weight: int | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> Watermarks:
        """Teach a text, and what to answer when somebody asks it or something like it.

        Args:
            text: the text; or a pair of text and answer, a mapping of fields, or a whole `TextEvent`.
            answer: without one the text is its own answer.
            context: "default" if it is not given.
            metadata: up to 32 strings that answers bring along, and that filters look at.
            weight: 1 to 1,000: it teaches like so many copies.
            key: the record's key: `forget(key=...)` deletes all texts that came under it.
            timeout: seconds.

        Returns:
            Where it was written: `ask(..., after=...)` then answers with it.

        Raises:
            InvalidRequest: a field is wrong, and nothing was written.
            AccessRefused, NotThere, Busy, Unreachable, NotSent, NoReply: see `hurnet_stream.client.errors`.
                After the last two it may have been written.
        """
        fields = {"answer": answer, "context": context, "metadata": metadata, "weight": weight, "key": key}
        return await self.teach_portion([messages.keyed(text, fields)], timeout=timeout)

    async def teach_many(
        self,
        texts: Iterable[Teachable] | AsyncIterable[Teachable],
        *,
        context: str | None = None,
        timeout: float | None = None,
    ) -> Watermarks:
        """Teach texts in order, up to 1,000 together. A generator of any length takes bounded memory, and is
        asked for more only when what it gave was written.

        `context` is for texts that name none, and `timeout` is for each request. Returns the watermarks of
        all.

        Raises:
            InvalidRequest: the first of them is wrong, or one of the first request; nothing was written.
            NotAllTaught: something else went wrong under way: it says how many were written, and its
                `__cause__` is what `teach` raises.
        """
        seconds = self._seconds(timeout)
        return await taught_in_order(
            partial(self.teach_portion, timeout=seconds), texts, {"context": context}
        )

    async def teach_portion(self, portion: Sequence[Keyed], *, timeout: float | None = None) -> Watermarks:
        """Write these texts together. If this raises `InvalidRequest`, none is written."""
        return await self._do(self._transport.teach(portion, self._seconds(timeout)))

    async def correct(
        self,
        question: str | Feedback,
        answer: str | None = None,
        *,
        given: str | None = None,
        retract: bool = False,
        context: str | None = None,
        metadata: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Corrected:
        """Say that `answer` is right for a question, or that `given` was wrong, or both; or that `given` was
        right, if both are the same. What is said later of the same question replaces what was said before.

        Args:
            question: the question as it was asked, or a whole `Feedback`.
            answer: the right answer.
            given: what was answered.
            retract: take back all that was said of the question.
            context: the context that was asked, "default" if it is not given.
            metadata: what the taught pair carries, so that filtered questions find it.
            wait: until the effect can be asked for; else it comes within about a second.
            timeout: seconds.

        Raises:
            InvalidRequest: a field is wrong, and nothing was written.
            NotTaught: it is written, and its effect was not seen in time.
            AccessRefused, NotThere, Busy, Unreachable, NotSent, NoReply: see `hurnet_stream.client.errors`.
        """
        said = messages.feedback(question, answer, given, retract, {"context": context, "metadata": metadata})
        seconds = self._seconds(timeout)
        wait_s = messages.patience_s(seconds) if wait else 0.0
        corrected = await self._do(self._transport.correct(said, wait_s, seconds))
        if wait and not corrected.taught:
            raise NotTaught(
                f"{corrected.feedback} was not taught within {wait_s:g} s: does a feedback worker run"
                " (`hurnet status`)? It stays in Kafka, and is taught once one does",
                corrected.feedback,
            )
        return corrected

    async def forget(
        self,
        *,
        entry: Entry | None = None,
        key: str | None = None,
        context: str | None = None,
        timeout: float | None = None,
    ) -> Forgotten:
        """Delete an entry, or all entries of a context that came under a key, as if they had never been.

        Args:
            entry: the `entry` of a candidate, or its name, such as "2/89" or "tickets/3/41"; or (partition,
                offset) in the topic of texts. All entries of its record are deleted. To topics other than
                that of texts nothing is written unless their table says `writable`.
            key: the key that they were taught with.
            context: the context of the key, "default" if it is not given.
            timeout: seconds.

        Raises:
            InvalidRequest: neither or both of `entry` and `key` are given, or they can't be such; or the
                topic of the entry is not to be written to.
            NotThere: no record was ever written at `entry`; over HTTP also if no entry came of it.
            AccessRefused, Busy, Unreachable, NotSent, NoReply: see `hurnet_stream.client.errors`.
        """
        what = messages.forget(entry, key, context)
        return await self._do(self._transport.forget(what, self._seconds(timeout)))

    async def wait(
        self, watermarks: Marks, *, context: str | None = None, timeout: float | None = None
    ) -> None:
        """Return once answers have seen the texts up to these offsets.

        `context` is the one that is asked about it: a key may have a right to no other than its own.

        Raises:
            NoReply: they were not seen in time, or there is nothing at these offsets.
            InvalidRequest, AccessRefused, NotThere, Busy, Unreachable, NotSent: as `ask`.
        """
        deadline = Deadline(self._seconds(timeout))
        unseen: NoReply | None = None
        while watermarks:
            query = messages.waiting(watermarks, context, deadline.left_s)
            try:
                reply = await self._do(self._transport.ask(query, deadline.left_s))
            except NoReply:
                if unseen:  # it says more: the last look may have had a moment only
                    raise unseen from None
                raise
            if reply.outcome == "rejected":
                raise InvalidRequest(reply.reason or "rejected", "watermarks")
            if reply.outcome != "timed-out":
                return
            unseen = NoReply(f"not seen within {deadline.timeout_s:g} s: {reply.reason}")
            if deadline.left_s <= LOOK_AGAIN_S:
                raise unseen
            await asyncio.sleep(LOOK_AGAIN_S)

    async def close(self) -> None:
        """Release every connection. Calls that are under way raise `Closed`."""
        if self._closed:
            return
        self._closed = True
        if self._loop is asyncio.get_running_loop():
            for doing in (under_way := list(self._under_way)):
                doing.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport!r})"

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout_s if timeout is None else checked_timeout(timeout)

    async def _do(self, call: Coroutine[Any, Any, T]) -> T:
        """What a call of the transport returns. If the client is closed meanwhile, that is its error."""
        self._loop = self._loop or asyncio.get_running_loop()
        if self._closed or self._loop is not asyncio.get_running_loop():
            call.close()
            raise (
                Closed("the client is closed")
                if self._closed
                else ClientError("this client belongs to another event loop: make one for each")
            )
        doing = asyncio.create_task(call)  # so that closing can end it
        self._under_way.add(doing)
        doing.add_done_callback(self._under_way.discard)
        try:
            return await doing
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # Not this task was cancelled, but what it waits for.
            if self._closed and task is not None and not task.cancelling():
                raise Closed("the client was closed while this call was under way") from None
            raise


def checked_timeout(seconds: float) -> float:
    """Raises `InvalidRequest` if it is no number of seconds that one can wait."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidRequest("it is a number of seconds", "timeout")
    if not 0 < seconds <= TIMEOUT_S_MOST:
        raise InvalidRequest(f"seconds are above 0 and at most {TIMEOUT_S_MOST:,.0f}", "timeout")
    return float(seconds)
