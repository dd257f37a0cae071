"""Everything that requests write to Kafka: once each, many together, and followed to its effect.

    no Idempotency-Key     messages ─▶ group commit ─▶ places
    Idempotency-Key        claim ─▶ messages with a mark ─▶ group commit ─▶ places ─▶ noted in the claim

A request goes on to its end if its client hangs up meanwhile: the next try is told what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from hurnet_schemas.feedback import SOURCE
from hurnet_stream.client.effects import Effects, Watermarks, effects_of
from hurnet_stream.errors import HurnetError, TooLarge, Undeliverable
from hurnet_stream.gateway.group_commit import GroupCommit, NotWritten, Places
from hurnet_stream.gateway.idempotency import Once, OtherRequest, UnderWay, Wanted, of_topic
from hurnet_stream.gateway.problems import Problem, busy
from hurnet_stream.ports import AtomicSink, Claim, EntryStore, Outgoing, Record
from hurnet_stream.settings.redaction import redacted

T = TypeVar("T")

THREADS: Final = 8
"""Calls at once that claim requests, or take them over."""
FIND_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Written:
    """Where the messages of a request are. `claim` is there if it had a key, and `again` if an earlier try
    has written it."""

    places: Places
    claim: Claim | None = None
    again: bool = False

    @property
    def watermarks(self) -> dict[int, int]:
        """The highest offset in each partition."""
        marks: dict[int, int] = {}
        for partition, offset in self.places:
            marks[partition] = max(offset, marks.get(partition, -1))
        return marks


@dataclass(slots=True)
class Writes:
    """What routes write with. `entries` gives the store as it is now; it blocks."""

    group: GroupCommit
    sink: AtomicSink
    once: Once
    effects: Effects
    entries: Callable[[], EntryStore]
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="writes")
    )
    under_way: set[asyncio.Task[Written]] = field(default_factory=set)

    async def write(self, messages: Sequence[Outgoing], wanted: Wanted | None) -> Written:
        """Write the messages together, and once if they are `wanted`.

        Raises `Problem`: 409 if that request is under way, 413 if a message is too large for its topic, 422
        if the topic refuses it otherwise or the key is another request's, 503 if it can't be written now."""
        work = self._once_only(messages, wanted) if wanted else self._at_once(messages)
        task = asyncio.ensure_future(work)
        self.under_way.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except (HurnetError, OSError) as error:
            raise problem_of(error, keyed=wanted is not None) from None

    async def effect(self, source: str, written: Written, topic: str, wait_s: float) -> Watermarks | None:
        """The watermarks of `topic` that hold what the feedback at `source` has taught; None if that did not
        happen in time."""
        if written.again and written.claim and not self.effects.seen(source):
            since = of_topic(written.claim.since, topic)
            with suppress(HurnetError):
                found = await self._blocking(partial(self._found_effect, topic, source, since))
                if found:
                    return found
        future = asyncio.wrap_future(self.effects.of(source))
        try:
            async with asyncio.timeout(wait_s):
                return await future
        except (TimeoutError, HurnetError):
            return None
        finally:
            future.cancel()

    async def follow_effects(self) -> None:
        """From now on no effect is missed. Raises `Problem` (503)."""
        try:
            await self._blocking(self.effects.begin)
        except HurnetError as error:
            raise problem_of(error, keyed=False) from None

    def close(self) -> None:
        """Write what waits, and end."""
        self.group.close()
        self.effects.close()
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def _at_once(self, messages: Sequence[Outgoing]) -> Written:
        return Written(await asyncio.wrap_future(self.group.submit(messages)))

    async def _once_only(self, messages: Sequence[Outgoing], wanted: Wanted) -> Written:
        claim = await self._blocking(partial(self.once.begin, wanted))
        if claim.records:
            return Written(claim.records, claim, again=True)
        try:
            places = await asyncio.wrap_future(self.group.submit(wanted.marked(messages), claim.owner))
        except HurnetError as error:
            await self._blocking(partial(self.once.failed, wanted, claim, error))
            raise
        await self._blocking(partial(self.once.written, wanted, claim, places))
        return Written(places, claim)

    def _found_effect(self, topic: str, source: str, since: dict[int, int]) -> Watermarks | None:
        def made_by_it(record: Record) -> bool:
            return record.header(SOURCE) == source.encode()

        return effects_of(self.sink.find(topic, made_by_it, since, FIND_S).records).get(source)

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, call)

    def _ended(self, task: asyncio.Task[Written]) -> None:
        self.under_way.discard(task)
        if not task.cancelled():
            task.exception()  # its client may be gone, and then nobody else looks at it


def problem_of(error: Exception, *, keyed: bool) -> Problem:
    """What a failed write is over HTTP. `keyed`: it can safely be sent again."""
    why = redacted(str(error))
    match error:
        case UnderWay():
            return busy(409, f"{error}: come back", error.after_s)
        case OtherRequest():
            return Problem(422, f"{error}: take a new one for each request", where="Idempotency-Key")
        case TooLarge():
            return Problem(413, f"nothing was written: {why}")
        case Undeliverable(topics=topics) if not topics:
            return Problem(422, f"nothing was written: {why}")
        case NotWritten() | Undeliverable():
            return busy(503, f"nothing was written: {why}", refused="kafka")
    advice = (
        "send it again with the same key" if keyed else "an Idempotency-Key makes it safe to send it again"
    )
    return busy(503, f"it is not known whether it was written: {why} ({advice})", refused="kafka")
