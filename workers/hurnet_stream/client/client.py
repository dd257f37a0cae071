"""A client for programs without asyncio. It may be used by several threads at once."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from hurnet_schemas import Feedback, Query, Reply
from hurnet_schemas.detail import Detail
from hurnet_schemas.places import Marks
from hurnet_stream.client.async_client import TIMEOUT_S, Asking, AsyncClient
from hurnet_stream.client.loop_thread import LoopThread
from hurnet_stream.client.many import AT_ONCE, in_order_of_threads, several, taught_in_order_of_threads
from hurnet_stream.client.messages import Entry, Teachable
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks
from hurnet_stream.client.transport import Keyed, Transport

if TYPE_CHECKING:
    from hurnet_schemas.filter import Filter


class Client:
    """Asks, teaches, corrects and forgets, over Kafka or HTTP.

        with Client("http://127.0.0.1:8080") as hurnet:
            seen = hurnet.teach("I forgot my password", "Settings, Security")
            print(hurnet.ask("I lost my password", after=seen).answer)

    All of it is as in `AsyncClient`, whose methods say what their arguments mean and what they raise.
    Threads may share it. After `os.fork` the child needs one of its own."""

    def __init__(
        self, address: str | Transport, *, api_key: str | None = None, timeout: float = TIMEOUT_S
    ) -> None:
        self._client = AsyncClient(address, api_key=api_key, timeout=timeout)
        self._thread = LoopThread()

    def ask(
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
        """Ask a question: see `AsyncClient.ask`. Its `answer` is None if its `outcome` is not "answered"."""
        return self._thread.run(
            self._client.ask(
                question,
                context=context,
                top_k=top_k,
                filter=filter,
                neighbours=neighbours,
                detail=detail,
                after=after,
                timeout=timeout,
            )
        )

    def submit(self, question: str | Query, **how: Unpack[Asking]) -> Future[Reply]:
        """Ask a question without waiting: the future has the reply, or raises what `ask` raises. The other
        arguments are those of `ask`. A future that is cancelled is forgotten, and closing cancels all."""
        return self._thread.submit(self._client.ask(question, **how))

    def ask_many(
        self, questions: Iterable[str | Query], *, at_once: int = AT_ONCE, **how: Unpack[Asking]
    ) -> Generator[Reply, None, None]:
        """Ask questions, `at_once` of them at a time; gives the replies in the order of the questions: see
        `AsyncClient.ask_many`. `questions` may be endless, and are taken in the thread that takes the
        replies."""
        return in_order_of_threads(partial(self.submit, **how), several(questions, "questions"), at_once)

    def teach(
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
        """Teach a text, and what to answer when somebody asks it or something like it: see
        `AsyncClient.teach`. `ask(..., after=...)` of what this returns answers with it."""
        return self._thread.run(
            self._client.teach(
                text,
                answer,
                context=context,
                metadata=metadata,
                weight=weight,
                key=key,
                timeout=timeout,
            )
        )

    def teach_many(
        self, texts: Iterable[Teachable], *, context: str | None = None, timeout: float | None = None
    ) -> Watermarks:
        """Teach texts in order, up to 1,000 together: see `AsyncClient.teach_many`. A generator of any length
        takes bounded memory, and runs in the calling thread."""
        send = partial(self._send, timeout)
        return taught_in_order_of_threads(send, texts, {"context": context})

    def _send(self, timeout: float | None, portion: list[Keyed]) -> Watermarks:
        return self._thread.run(self._client.teach_portion(portion, timeout=timeout))

    def correct(
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
        """Say that `answer` is right for a question, or that `given` was wrong, or both: see
        `AsyncClient.correct`. `ask(..., after=corrected.watermarks)` knows it."""
        return self._thread.run(
            self._client.correct(
                question,
                answer,
                given=given,
                retract=retract,
                context=context,
                metadata=metadata,
                wait=wait,
                timeout=timeout,
            )
        )

    def forget(
        self,
        *,
        entry: Entry | None = None,
        key: str | None = None,
        context: str | None = None,
        timeout: float | None = None,
    ) -> Forgotten:
        """Delete an entry, or all entries of a context that came under a key: see `AsyncClient.forget`."""
        return self._thread.run(self._client.forget(entry=entry, key=key, context=context, timeout=timeout))

    def wait(self, watermarks: Marks, *, context: str | None = None, timeout: float | None = None) -> None:
        """Return once answers have seen the texts up to these offsets: see `AsyncClient.wait`."""
        self._thread.run(self._client.wait(watermarks, context=context, timeout=timeout))

    def close(self) -> None:
        """Release every connection. Calls that are under way in other threads raise `Closed`."""
        self._thread.close(self._client.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client).removeprefix("Async")
