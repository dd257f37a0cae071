"""Which generation answers: looked up once a turn, so that a switch falls between two turns.

    P:generations says     this responder holds        answers by
    serving 0              0                           0
    serving 0              0, and 1 is being loaded    0
    serving 1              0, and 1 is being loaded    0: it goes on, and /readyz and a metric say so
    serving 1              0 and 1                     1, from this turn on
    serving 1, 0 is gone   1                           1

Queries, their order and the transaction of their answers know nothing of generations. So there is no pause,
and no query is answered twice, whenever the switch comes. A generation is opened, and its embedder loaded, in
a thread of its own, since that may take minutes. Its entries come into memory between answers, a small piece
in each turn. One that can't be loaded is tried again later, and stops nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from hurnet_stream.core.shelf import DamagedShelf
from hurnet_stream.core.stored.generations import Generation, Generations
from hurnet_stream.errors import HurnetError, StoreReplaced, TransientError
from hurnet_stream.metrics.holding import HoldingMetrics
from hurnet_stream.ports import Committed, GenerationsStore, ResponderPresence
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.shelving import Shelving

log = structlog.get_logger()

SAY_S = 5.0
"""How often it says which generations it holds."""
RETRY_S = 10.0
"""After a generation could not be loaded."""

Load = Callable[[Generation, HoldingMetrics], LoadedGeneration]


class Serving:
    """The generation that answers, and the one that stands by."""

    def __init__(self, current: LoadedGeneration, metrics: HoldingMetrics) -> None:
        self.current = current
        self.standby: LoadedGeneration | None = None
        self._metrics = metrics
        self._known: GenerationsStore | None = None
        self._load: Load | None = None
        self._presence: ResponderPresence | None = None
        self._instance = ""
        self._loading: threading.Thread | None = None
        self._loaded: list[LoadedGeneration] = []  # what the thread has made
        self._try_at = self._said_at = float("-inf")
        self._wanted: Generation | None = None

    def by(
        self, known: GenerationsStore, load: Load, presence: ResponderPresence | None, instance: str
    ) -> None:
        """Look up in `known` which generations there are, and `load` the others."""
        self._known, self._load = known, load
        self._presence, self._instance = presence, instance

    @property
    def waiting_for(self) -> str:
        """The name of the generation that is to answer and is not loaded yet; "" if the right one answers."""
        return self._wanted.name if self._wanted else ""

    def look(self) -> None:
        """Once a turn: switch, begin to load, or let go."""
        if self._known is None:
            return
        known = self._known.read()
        self._adopt()
        if known:
            self._let_go_of_what_is_gone(known)
            self._switch(known)
            self._begin_loading(known)
        self._say()

    def follow(self, queries_wait: bool) -> int:
        """Take some of the standby's entries in. Returns how much is still to come. If its store fails, it
        is let go of; nothing else is."""
        standby = self.standby
        if standby is None:
            return 0
        try:
            standby.refresh()
            standby.following.follow_in_passing(queries_wait)
        except TransientError as error:
            log.warning("the generation that stands by can't be followed", error=str(error))
            return 0
        except HurnetError as error:
            self._give_up(standby, str(error))
            return 0
        return standby.following.behind

    def rehearse(self, queries_wait: bool) -> None:
        """A short step of a rehearsal of each, if it is time for one."""
        self.current.rehearsing.step(queries_wait)
        standby = self.standby
        if standby is None or not standby.following.caught_up:
            return
        try:
            standby.rehearsing.step(queries_wait)
        except HurnetError as error:
            log.warning("the generation that stands by can't be rehearsed", error=str(error))

    def save(self) -> None:
        """Save what is in memory of each, if it is time."""
        for each in self._held():
            each.save()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn of the worker. If it fails for longer than a moment, what is in memory is not saved any
        more: it may be of a store that is no more. Raises `StoreReplaced`, which has the worker begin anew,
        if files of the index are damaged."""
        try:
            yield
        except DamagedShelf as error:
            for shelving in self._shelvings():
                shelving.damaged()
            raise StoreReplaced(
                f"files of the index are damaged: all is read from the store again: {error}"
            ) from error
        except TransientError:
            raise
        except HurnetError:
            for shelving in self._shelvings():
                shelving.distrust()
            raise

    def _held(self) -> list[LoadedGeneration]:
        return [each for each in (self.current, self.standby) if each]

    def _shelvings(self) -> list[Shelving]:
        return [each.shelving for each in self._held() if each.shelving]

    def close(self) -> None:
        """Let go of both."""
        if self._loading:
            self._loading.join()
            self._adopt()
        for each in self._held():
            each.close()

    def leave(self) -> None:
        """This responder ends: nobody has to wait for it."""
        try:
            if self._presence:
                self._presence.leave(self._instance)
        except HurnetError as error:
            log.warning("could not say that this responder ends", error=str(error))

    def _adopt(self) -> None:
        if self._loaded and not (self._loading and self._loading.is_alive()):
            self.standby, self._loading = self._loaded.pop(), None
            log.info("a second generation is loaded beside the one that answers", embedder=self.standby.name)

    def _let_go_of_what_is_gone(self, known: Generations) -> None:
        standby = self.standby
        if standby and known.of(standby.number) is None:
            self._give_up(standby, "it was dropped", again_s=0.0)
            if standby.shelving:
                standby.shelving.shelf.remove()

    def _switch(self, known: Generations) -> None:
        if known.serving == self.current.number:
            self._wanted = None
            return
        standby = self.standby
        if standby and standby.number == known.serving and standby.following.caught_up:
            self.current, self.standby = standby, self.current
            self._show()
            self._wanted = None
            log.info("another generation answers from now on", embedder=self.current.name)
        elif self._wanted is None:
            self._wanted = known.of(known.serving)
            log.warning(
                "another generation is to answer, and is not loaded yet: the one that is loaded goes on",
                embedder=self.waiting_for,
            )
        self._metrics.generation_awaited.set(self._wanted is not None)

    def _show(self) -> None:
        """The metrics show what answers now."""
        self._metrics.no_contexts()
        if self.standby:
            self.standby.shown_by(type(self._metrics)())
        self.current.shown_by(self._metrics)
        identity = self.current.embedder.identity
        self._metrics.describe(embedder=identity.name, fingerprint=identity.fingerprint)

    def _begin_loading(self, known: Generations) -> None:
        other = known.other(self.current.number)
        if other is None or self.standby or self._loading or time.monotonic() < self._try_at:
            return
        log.info("loading a second generation", embedder=other.name)
        self._loading = threading.Thread(target=self._load_it, args=[other], name="generation", daemon=True)
        self._loading.start()

    def _load_it(self, generation: Generation) -> None:
        """In a thread of its own."""
        try:
            if self._load:
                self._loaded.append(self._load(generation, type(self._metrics)()))
                return
        except HurnetError as error:
            log.warning(
                "a second generation can't be loaded, and is tried again",
                embedder=generation.name,
                error=str(error),
            )
        except Exception:
            log.exception("loading a generation failed: this is a bug, please report it", private=True)
        self._try_at = time.monotonic() + RETRY_S
        self._loading = None

    def _give_up(self, standby: LoadedGeneration, why: str, again_s: float | None = None) -> None:
        log.warning("the generation that stood by is let go of", embedder=standby.name, reason=why)
        if standby.shelving:
            standby.shelving.distrust()
        pause_s = RETRY_S if again_s is None else again_s
        self.standby, self._try_at = None, time.monotonic() + pause_s
        try:
            standby.close()
        except HurnetError as error:
            log.warning("could not close cleanly", error=str(error))

    def _say(self) -> None:
        if self._presence is None or time.monotonic() - self._said_at < SAY_S:
            return
        held = [each for each in (self.current, self.standby) if each and each.following.caught_up]
        self._said_at = time.monotonic()
        try:
            self._presence.say(self._instance, [each.number for each in held], self.current.number)
        except TransientError:
            raise
        except HurnetError as error:
            log.warning("could not say which generations this responder holds", error=str(error))


class ServingNotes:
    """`GroupProgress` and `PartitionMarks`: notes are kept in the store of the generation that answers."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def remember_progress(self, group: str, committed: Mapping[int, Committed]) -> None:
        self._serving.current.store.remember_progress(group, committed)

    def progress(self, group: str) -> Mapping[int, Committed]:
        return self._serving.current.store.progress(group)

    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        return self._serving.current.store.enter(role, owner, partitions)

    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        self._serving.current.store.leave(role, owner, partitions)

    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        return self._serving.current.store.attempt(role, owner, partition, record)
