"""An embedder whose work is done by the workers of a Dask cluster.

The texts of a turn are split into tasks, and Dask gives these to its workers:

    turn        t0 t1 t2 t3 t4           HURNET_DASK_TEXTS=2
    tasks       [t0 t1] [t2 t3] [t4]     each with the embedder's name
    replies     C: v0 v1, A: v2 v3, A: v4, with the fingerprint of the embedder that made them
    vectors     v0 v1 v2 v3 v4           in the order of the texts, whoever was first

Nothing is lost or counted twice by that, whatever becomes of the cluster: embedding changes nothing, and
ingest appends what it has in hand once.

- The first worker that answers says what the embedder is. The store compares that with its own fingerprint,
  and here each reply is compared with it. A worker whose embedder is another one is left alone for
  `REFUSED_S`; others do its tasks.
- A task that fails is given to another worker before its texts are blamed: a worker may be sick.
- A worker that dies is Dask's matter: another one gets the task. A text that ends one worker after the other
  is given up by Dask after its `allowed-failures` (3), and then `hurnet_stream.embedding` tries text by text.
- A scheduler that is away, a cluster without workers, and whatever else goes wrong in Dask is waited for
  like a broker that is away: `DaskFailing`. No text is put aside because of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

import numpy as np
import structlog

from hurnet_stream.adapters.embedders.dask_task import Embedded, embedded
from hurnet_stream.core.stored.batch import EmbedderIdentity, Vectors
from hurnet_stream.errors import ConfigurationError, DaskFailing, HurnetError
from hurnet_stream.settings.dask import DaskSettings

log = structlog.get_logger()

CONNECT_S: Final = 10.0
"""Longest wait for the scheduler."""
REFUSED_S: Final = 60.0
"""How long a worker with another embedder is left alone. It may be the next one at that address by then."""


class EmbedderFailed(Exception):
    """What an embedder raised on a worker."""


@dataclass(slots=True, eq=False)
class _Task:
    texts: Sequence[str]
    failed: set[str] = field(default_factory=set)
    """Workers on which the embedder failed."""
    reply: Embedded | None = None

    def take(self, reply: Embedded, known: Set[str]) -> None:
        """A failure counts if it comes from two workers, or if there is no other one to ask."""
        if reply.failure:
            self.failed.add(reply.address)
        if not reply.failure or len(self.failed) > 1 or (known and known <= self.failed):
            self.reply = reply


class DaskPool:
    """The embedder `name` on a Dask cluster. Raises `DaskFailing` as long as nobody can say what it is."""

    def __init__(self, name: str, settings: DaskSettings, connect: Callable[[DaskSettings], Any]) -> None:
        self._name = name
        self._settings = settings
        self._connect = connect
        self._client: Any = None
        self._refused: dict[str, float] = {}
        """By the address of a worker: until when it is left alone."""
        self._expected: EmbedderIdentity | None = None
        (first,) = self._replies([_Task(())], questions=False)
        self.identity = self._expected = _identity_of(first)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows on the grid (len(texts), dimension) int16. Raises `DaskFailing`, and `EmbedderFailed` for what
        the embedder raised."""
        return self._rows(texts, questions=False)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """The same of questions."""
        return self._rows(texts, questions=True)

    def _rows(self, texts: Sequence[str], questions: bool) -> Vectors:
        size = self._settings.texts
        tasks = [_Task(texts[first : first + size]) for first in range(0, len(texts), size)]
        rows = np.zeros((len(texts), self.identity.dimension), np.int16)
        for number, reply in enumerate(self._replies(tasks, questions)):
            if reply.vectors is None:
                raise EmbedderFailed(reply.failure)
            rows[number * size : (number + 1) * size] = reply.vectors
        return rows

    def _replies(self, tasks: Sequence[_Task], questions: bool) -> list[Embedded]:
        """Those to the tasks, in their order."""
        try:
            if self._client is None:
                self._client = self._connect(self._settings)
            return self._asked(tasks, questions, time.monotonic() + self._settings.timeout)
        except HurnetError:
            raise
        except Exception as error:
            if type(error).__name__ == "KilledWorker":
                raise EmbedderFailed(f"one worker of Dask after the other ended: {error}") from error
            # A client that was cut off has cancelled all that it waited for. The next turn makes another one.
            self._hang_up()
            where = self._settings.scheduler
            raise DaskFailing(f"Dask at {where} fails: {type(error).__name__}: {error}") from error

    def _asked(self, tasks: Sequence[_Task], questions: bool, deadline: float) -> list[Embedded]:
        while left := [task for task in tasks if task.reply is None]:
            known = self._known(left)
            asked = [(task, self._submit(task, questions, known)) for task in left]
            for task, future in asked:
                reply = future.result(timeout=max(0.1, deadline - time.monotonic()))
                if self._is_ours(reply, len(task.texts)):
                    task.take(reply, known)
        return [task.reply for task in tasks if task.reply]

    def _submit(self, task: _Task, questions: bool, known: Set[str]) -> Any:
        others = sorted(known - self._refused.keys() - task.failed) or None  # None: any worker
        # A key of its own: Dask must neither keep vectors for later, nor show texts in a key.
        arguments = self._name, list(task.texts), questions
        return self._client.submit(
            embedded, *arguments, key=f"embed-{uuid4().hex}", pure=False, workers=others
        )

    def _known(self, left: Sequence[_Task]) -> Set[str]:
        """The addresses of all workers, or none as long as there is nobody to leave out. Raises `DaskFailing`
        if all of them have another embedder."""
        now = time.monotonic()
        self._refused = {address: until for address, until in self._refused.items() if until > now}
        if not self._refused and not any(task.failed for task in left):
            return frozenset()
        known = self._client.scheduler_info()["workers"].keys()
        if known <= self._refused.keys():
            raise DaskFailing(
                f"no worker of Dask at {self._settings.scheduler} has the embedder {self._name} with the"
                f" fingerprint {self.identity.fingerprint[:12]}: run them on the image of this process"
            )
        return frozenset(known)

    def _is_ours(self, reply: Embedded, texts: int) -> bool:
        """Whether a worker with our embedder made it."""
        if self._expected is None or (reply.identity == self._expected and _fits(reply, texts)):
            return True
        log.error(
            "a worker of Dask is left alone: its embedder is another one, or can't be loaded",
            worker=reply.address,
            expected=self._expected.fingerprint,
            found=reply.identity.fingerprint if reply.identity else reply.failure,
        )
        self._refused[reply.address] = time.monotonic() + REFUSED_S
        return False

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # whatever it says now, it is gone
                client.close(timeout=1)


def _fits(reply: Embedded, texts: int) -> bool:
    """Whether there are as many vectors as texts, on the grid; a failure has none."""
    vectors, identity = reply.vectors, reply.identity
    if vectors is None or identity is None:
        return True
    return vectors.dtype == np.int16 and vectors.shape == (texts, identity.dimension)


def _identity_of(reply: Embedded) -> EmbedderIdentity:
    if reply.identity is None:
        raise ConfigurationError(
            f"a worker of Dask ({reply.address}) can't load the embedder: {reply.failure}"
        )
    return reply.identity


@lru_cache(1)
def pool(name: str, settings: DaskSettings) -> DaskPool:
    """The embedder `name` on the cluster that the settings name: one a process, since a worker that is built
    anew goes on with it."""
    return DaskPool(name, settings, _connected)


def _connected(settings: DaskSettings) -> Any:
    """A client. Raises OSError if the scheduler is away."""
    import distributed

    untyped: Any = distributed
    security = None
    if settings.scheduler.startswith("tls://"):
        security = untyped.Security(
            require_encryption=True,
            tls_ca_file=str(settings.ca_file),
            tls_client_cert=str(settings.cert_file),
            tls_client_key=str(settings.key_file),
        )
    # No other part of the process finds this client by itself, and it asks nobody but the scheduler.
    return untyped.Client(
        settings.scheduler,
        timeout=min(settings.timeout, CONNECT_S),
        security=security,
        set_as_default=False,
        direct_to_workers=False,
    )
