"""Many questions at once, and many texts in order, for both kinds of clients.

Questions under way, if three may be at once, each reply given in its turn:

    taken      1 2 3        4 is taken once the reply to 1 was given
    replied      2          waits for 1

Texts go in portions, one after the other, so that they are written in their order, and so that it is known
how many are written if something goes wrong.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from hurnet_schemas.places import Marks
from hurnet_stream.client.errors import ClientError, Closed, InvalidRequest, NotAllTaught
from hurnet_stream.client.messages import Portions, Teachable
from hurnet_stream.client.results import Watermarks
from hurnet_stream.client.transport import Keyed

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 64
AT_ONCE_MOST: Final = 1_000
EITHER: Final = (Iterable, AsyncIterable)


def checked(at_once: object) -> int:
    """Raises `InvalidRequest` if not so many may be under way at once."""
    if not isinstance(at_once, int) or not 1 <= at_once <= AT_ONCE_MOST:
        raise InvalidRequest(f"1 to {AT_ONCE_MOST:,} questions may be under way at once", "at_once")
    return at_once


async def in_order(
    do: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], at_once: int
) -> AsyncGenerator[R, None]:
    """What `do` returns of each item, in order, `at_once` at a time. The first error ends it."""
    room = asyncio.Semaphore(checked(at_once))
    begun = asyncio.Queue[asyncio.Future[R] | None]()

    async def begin() -> None:
        async for item in each(items):
            await room.acquire()
            begun.put_nowait(asyncio.ensure_future(do(item)))

    beginning = asyncio.create_task(begin())
    beginning.add_done_callback(lambda _: begun.put_nowait(None))
    current: asyncio.Future[R] | None = None
    try:
        while current := await begun.get():
            yield await current
            room.release()
        await beginning  # raises what `items` has raised
    finally:
        beginning.cancel()
        left = [task for task in (current, *_drained(begun)) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(beginning, *left, return_exceptions=True)


def _drained(queue: asyncio.Queue[T]) -> Iterator[T]:
    while not queue.empty():
        yield queue.get_nowait()


def in_order_of_threads(
    begin: Callable[[T], Future[R]], items: Iterable[T], at_once: int
) -> Generator[R, None, None]:
    """The same for threads. `items` are taken in the thread that takes the results."""
    begun, room = deque[Future[R]](), checked(at_once)
    try:
        for item in items:
            begun.append(begin(item))
            while begun and (len(begun) == room or begun[0].done()):
                yield result(begun[0])
                begun.popleft()
        while begun:
            yield result(begun[0])
            begun.popleft()
    finally:
        for future in begun:
            future.cancel()


def result(future: Future[T]) -> T:
    """The result of a future of a call. Raises `Closed` if it was cancelled."""
    try:
        return future.result()
    except concurrent.futures.CancelledError:
        raise Closed("the client was closed while this call was under way") from None
    except BaseException:
        future.cancel()
        raise


def several(items: T, where: str, kinds: Any = Iterable) -> T:
    """Raises `InvalidRequest` unless it is one of these kinds, and if it is one text or message, whose
    characters or fields would be taken for several."""
    if isinstance(items, str | bytes | Mapping | BaseModel):
        raise InvalidRequest("it is one, and several are wanted: put it into a list", where)
    if not isinstance(items, kinds):
        raise InvalidRequest(f"several are wanted, as in a list, and it is {type(items).__name__}", where)
    return items


async def each(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of either kind."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class Teaching:
    """Texts on their way, a portion at a time, and how far that has come."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._portions = Portions(fields)
        self.taught = 0
        self.watermarks = Watermarks()

    def add(self, text: Teachable) -> list[Keyed]:
        """Take a text; returns what is to be sent now, if anything is. Raises as `teach_many`."""
        try:
            return self._portions.add(text)
        except InvalidRequest as error:
            if self.taught:
                raise NotAllTaught(error, self.taught, 0, self.watermarks) from error
            raise

    @property
    def rest(self) -> list[Keyed]:
        """What is to be sent after the last text."""
        return self._portions.rest

    def written(self, portion: list[Keyed], watermarks: Marks) -> None:
        """A portion is written."""
        self.taught += len(portion)
        self.watermarks |= watermarks

    def failed(self, portion: list[Keyed], error: ClientError) -> ClientError:
        """The error to raise if sending a portion has failed by this one."""
        if not isinstance(error, InvalidRequest):
            return NotAllTaught(error, self.taught, len(portion), self.watermarks)
        where = re.sub(r"^texts\.(\d{1,6})", self._number_of_all, error.where)
        refused = InvalidRequest(error.why, where, error.problem)
        return NotAllTaught(refused, self.taught, 0, self.watermarks) if self.taught else refused

    def _number_of_all(self, found: re.Match[str]) -> str:
        """A gateway counts within the portion."""
        return f"texts.{int(found[1]) + self.taught}"


async def taught_in_order(
    send: Callable[[list[Keyed]], Awaitable[Watermarks]],
    texts: Iterable[Teachable] | AsyncIterable[Teachable],
    fields: Mapping[str, Any],
) -> Watermarks:
    """Send the texts in portions."""
    teaching = Teaching(fields)
    several(texts, "texts", EITHER)

    async def sent(portion: list[Keyed]) -> None:
        try:
            teaching.written(portion, await send(portion))
        except ClientError as error:
            raise teaching.failed(portion, error) from error

    async for text in each(texts):
        if portion := teaching.add(text):
            await sent(portion)
    if teaching.rest:
        await sent(teaching.rest)
    return teaching.watermarks


def taught_in_order_of_threads(
    send: Callable[[list[Keyed]], Watermarks], texts: Iterable[Teachable], fields: Mapping[str, Any]
) -> Watermarks:
    """The same for threads. `texts` are taken in the thread that called."""
    teaching = Teaching(fields)
    several(texts, "texts")

    def sent(portion: list[Keyed]) -> None:
        try:
            teaching.written(portion, send(portion))
        except ClientError as error:
            raise teaching.failed(portion, error) from error

    for text in texts:
        if portion := teaching.add(text):
            sent(portion)
    if teaching.rest:
        sent(teaching.rest)
    return teaching.watermarks
