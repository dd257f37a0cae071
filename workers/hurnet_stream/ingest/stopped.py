"""Topics that are not read for now, because something is wrong with them that is not wrong with the others.

A topic beside that of texts may have been made anew, have lost records to its retention, or need a registry
that is away. Then ingest goes on with the others, says what is wrong, and looks again every `AGAIN_S`:

    topic tickets was made anew      its shards are paused, the worker is not ready and says why
    topic texts, topic faq           go on
    ten seconds later                placed again: still the same, or it goes on where it stood

What is wrong with the topic of texts ends the worker: corrections and deletions come by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import structlog

from hurnet_stream.core.places import number_of

log = structlog.get_logger()

AGAIN_S = 10.0
"""How long such a topic is left alone before it is tried again."""


class StoppedTopics:
    """By the number of a topic: why it is not read, and until when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._why: dict[int, str] = {}
        self._until: dict[int, float] = {}
        self._unread: set[int] = set()

    def stop(self, number: int, why: str, unread: bool = False) -> None:
        """Leave a topic alone for a while. `unread`: its records can't be read, so that it is well again only
        once some were."""
        if self._why.get(number) != why:
            log.error("a topic is not read for now, the others are", why=why)
        self._why[number], self._until[number] = why, self._clock() + AGAIN_S
        self._unread = self._unread | {number} if unread else self._unread - {number}

    def go_on(self, shards: Iterable[int], read: bool = False) -> None:
        """The topics of these shards have been placed again, or even `read`."""
        if not self._why:
            return
        for number in set(map(number_of, shards)) & self._why.keys():
            if read or number not in self._unread:
                log.info("a topic is read again", why_it_was_not=self._why.pop(number))
                del self._until[number]
                self._unread.discard(number)

    def left_alone(self, shards: Iterable[int]) -> frozenset[int]:
        """Those of the shards that must not be tried now."""
        now = self._clock()
        return frozenset(shard for shard in shards if self._until.get(number_of(shard), now) > now)

    def unready(self) -> list[str]:
        """Why topics are not read."""
        return list(self._why.values())
