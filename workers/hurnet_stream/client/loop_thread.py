"""An event loop in a thread of its own, which any thread may give work to."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from hurnet_stream.client.errors import ClientError, Closed
from hurnet_stream.client.many import result

T = TypeVar("T")

END_S: Final = 5.0
"""How long closing waits for the thread, which is a daemon."""


class LoopThread:
    """Runs coroutines. Threads may call it at any time, also while it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="hurnet-client", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work`; cancelling the future cancels it. Raises `Closed`."""
        problem = self._problem()
        if problem is None:
            with self._closing:
                if not self._closed:
                    return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise problem or Closed("the client is closed")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. If the waiting is interrupted, as by Ctrl-C, the work is cancelled."""
        if threading.current_thread() is self._thread:
            work.close()
            raise ClientError(
                "a callback of a future can't wait for the same client: its thread would stand still"
            )
        return result(self.submit(work))

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Do this at last, cancel what is under way, and end. Only the first call does it."""
        with self._closing:
            first, self._closed = not self._closed, True
        if first and self._process == os.getpid():
            asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
            if threading.current_thread() is not self._thread:  # as in a callback of a future
                self._thread.join(END_S)
        else:
            last.close()

    async def _end(self, last: Coroutine[Any, Any, None]) -> None:
        try:
            await asyncio.wait_for(last, END_S)
        finally:
            if under_way := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in under_way:
                    task.cancel()
                await asyncio.wait(under_way, timeout=END_S)
            self._loop.stop()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _problem(self) -> ClientError | None:
        if self._process != os.getpid():
            return Closed("this process was forked from the one that made the client: make one here, too")
        return None
