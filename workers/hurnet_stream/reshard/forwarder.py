"""The forwarder: each record of the old topic goes to the new one, once, as long as somebody writes to the
old one.

    Kafka `texts` ─ poll ─▶ lanes ─ what became of them in the old store ─▶ portions ─▶ Kafka `texts-7`,
                                                                        with the offsets, in one transaction

What is read and what is written become visible together or not at all, so each text is forwarded once,
wherever a crash or a rebalance makes a member read again. A record waits until the ingest of the old topic
has taken it in: what that has rejected, or deleted since, is not forwarded (stretch.py). All else is done by
the ingest of the new topic, which fills a store of its own as any ingest does.

After each transaction it notes how far it is, and which offsets of the new topic that takes: responders ask
for it when somebody wants to see an offset of the old topic (responder/forwarded.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from hurnet_stream.core.offsets import parse_offsets, spelled
from hurnet_stream.core.stored.batch import NOTHING
from hurnet_stream.errors import ConfigurationError, HurnetError, Undeliverable
from hurnet_stream.metrics.reshard import ReshardMetrics
from hurnet_stream.ports import (
    FORWARDED,
    Committed,
    EntryStore,
    ForwardingExchange,
    ForwardNotes,
    History,
    Polled,
    Record,
)
from hurnet_stream.records import EXPIRE
from hurnet_stream.reshard.forwarding import Forwarding, Portion
from hurnet_stream.reshard.lane import Lane
from hurnet_stream.reshard.lasts import last_offsets
from hurnet_stream.reshard.moved import Moved
from hurnet_stream.reshard.routing import Route
from hurnet_stream.reshard.stretch import Stretches
from hurnet_stream.runtime.progress import Progress
from hurnet_stream.settings.settings import Settings

log = structlog.get_logger()

NOTE_S = 5.0
"""How often it notes again what has not changed, for a store that has lost it."""


@dataclass(frozen=True, slots=True)
class Between:
    """What a forwarder stands between: the store that is filled from the old topic, the one that is filled
    from the new topic, what is noted beside them, the history of the new topic, and the way there."""

    source: EntryStore
    target: EntryStore
    notes: ForwardNotes
    history: History
    route: Route


class Forwarder:
    """The worker: `step` is one turn."""

    name = "reshard"

    def __init__(
        self,
        exchange: ForwardingExchange,
        between: Between,
        settings: Settings,
        metrics: ReshardMetrics,
        from_store: bool = False,
    ) -> None:
        self._exchange = exchange
        self._source, self._target = between.source, between.target
        self._notes, self._history, self._route = between.notes, between.history, between.route
        self._settings = settings.reshard
        self._metrics = metrics
        self.beat: Callable[[], None] = lambda: None
        """Called in a long turn now and then, as a sign that it gets on."""
        self._moved = Moved(self._history, self._route, self._go_on)
        self._stretches = Stretches(self._source, self._notes)
        self._forwarding = Forwarding(self._route, self._moved, from_store)
        self._progress = Progress(settings.metrics)
        self._lanes: dict[int, Lane] = {}
        self._noted: dict[int, int] = {}
        self._noted_at = self._heard_at = time.monotonic()
        self.caught_up = False
        """Whether all that the old topic held at the last look is in the new one."""

    @property
    def silent_s(self) -> float:
        """For how long the old topic has brought nothing."""
        return time.monotonic() - self._heard_at if self.caught_up else 0.0

    def step(self) -> None:
        moved = 0
        try:
            with self._metrics.stage("poll"):
                self._poll()
            moved = self._forward()
            self._pass()
            self._note()
        except HurnetError:
            # What was polled may not have come to its lane: all of it is read again.
            self._exchange.rewind()
            self._lanes.clear()
            raise
        finally:
            self._observe(moved)

    def unready(self) -> list[str]:
        return self._progress.unready()

    def standing(self) -> str:
        return "forwarding" if self.caught_up else f"forwarding: {self._left():,} records are left"

    def drain(self) -> None:
        """Nothing is in hand between turns."""

    def close(self) -> None:
        self._exchange.close()
        self._history.close()
        self._source.close()
        self._target.close()

    def _go_on(self) -> None:
        self.beat()

    def _poll(self) -> None:
        # A partition whose records wait for the old store brings no more of them.
        full = frozenset(p for p, lane in self._lanes.items() if len(lane.queue) >= self._settings.batch)
        self._exchange.pause(full)
        waits = any(lane.queue for lane in self._lanes.values())
        polled = self._exchange.poll(
            self._settings.poll / 5 if waits else self._settings.poll, self._settings.batch
        )
        self._share(polled)
        for record in polled.records:
            if record.partition in self._lanes:
                self._lanes[record.partition].add(record)
        if polled.records:
            self._metrics.records.labels(self._route.origin).inc(len(polled.records))
        if any(_is_news(record) for record in polled.records):
            self._heard_at = time.monotonic()

    def _share(self, polled: Polled) -> None:
        """Take up what this member was given, and let go of what it lost."""
        owned = self._exchange.assignment()
        for partition in (polled.assigned | polled.revoked) | (self._lanes.keys() - owned):
            self._lanes.pop(partition, None)
        self._resume(owned - self._lanes.keys())

    def _resume(self, partitions: frozenset[int]) -> None:
        if not partitions:
            return
        committed = self._exchange.progress(partitions)
        held, states = self._exchange.offset_ranges(partitions), self._source.states()
        noted = self._target.progress(FORWARDED)
        for partition in sorted(partitions):
            floor = states[partition].floor if partition in states else NOTHING
            lane = Lane.resumed(committed[partition], held[partition], floor)
            note = noted.get(partition, Committed(0))
            lane.needs = self._lasts(lane) if note.offset != lane.next else parse_offsets(note.note)
            self._notes.follow(partition, lane.next - 1)
            self._moved.begin(partition, lane.next)
            self._noted.pop(partition, None)
            self._lanes[partition] = lane

    def _lasts(self, lane: Lane) -> dict[int, int]:
        """What a reader must have seen, if it was not noted: all that the new topic holds."""
        return last_offsets(self._history) if lane.next else {}

    def _forward(self) -> int:
        """Forward what the old store has taken in. Returns how many records are done."""
        done = 0
        if not any(lane.due(lane.first - 1) is not None or lane.queue for lane in self._lanes.values()):
            return done
        with self._metrics.stage("look"):
            states = self._source.states()
        for partition in list(self._lanes):
            state = states.get(partition)
            done += self._forward_lane(partition, state.watermark if state else NOTHING)
            self.beat()
            if partition not in self._lanes:
                break  # a delivery was rolled back, and all lanes with it
        return done

    def _forward_lane(self, partition: int, watermark: int) -> int:
        lane = self._lanes.get(partition)
        if lane is None or (upto := lane.due(watermark)) is None:
            return 0
        with self._metrics.stage("look"):
            stretch = self._stretches.of(partition, lane.next - 1, upto, lane.floor)
        if stretch is None:
            return 0
        begun = lane.next
        for portion in self._forwarding.portions(partition, stretch, lane.records(stretch.upto)):
            if not self._deliver(portion, lane):
                return 0
            self.beat()
        return lane.next - begun

    def _pass(self) -> None:
        """Behind the last record there may be markers of transactions, which nobody is given: they are
        done."""
        for partition, position in self._exchange.positions().items():
            lane = self._lanes.get(partition)
            behind = lane and not lane.queue and lane.first <= lane.next < position
            if lane and behind and not self._deliver(Portion(partition, position), lane):
                return

    def _deliver(self, portion: Portion, lane: Lane) -> bool:
        try:
            delivered = self._sent(portion, lane)
        except Undeliverable as error:
            self._lanes.clear()
            self._put_aside(portion, error)
            return False
        if not delivered:
            self._lanes.clear()
            self._metrics.transactions_aborted.labels(self._exchange.rolled_back_by()).inc()
            log.warning(
                "a delivery was rolled back, and its records are read again", partition=portion.partition
            )
            return False
        self._delivered(portion, lane)
        return True

    def _sent(self, portion: Portion, lane: Lane) -> bool:
        next_offsets, notes = {portion.partition: portion.next}, {portion.partition: str(lane.floor)}
        with self._metrics.stage("deliver"):
            return self._exchange.deliver(portion.messages, next_offsets, notes)

    def _delivered(self, portion: Portion, lane: Lane) -> None:
        self._forwarding.accepted()
        written = self._exchange.written()
        if len(written) == len(portion.messages):
            for offset, message, place in zip(portion.origins, portion.messages, written, strict=True):
                if message.value is not None:
                    self._moved.add(portion.partition, offset, place)
            lane.seen(written)
        else:  # the broker's answer was lost, and the next producer found it committed
            self._moved.forget(portion.partition, portion.next)
            lane.seen(list(last_offsets(self._history).items()))
        lane.done(portion.next)
        texts = sum(message.value is not None for message in portion.messages)
        self._metrics.forwarded.labels("text").inc(texts)
        self._metrics.forwarded.labels("deletion").inc(len(portion.messages) - texts)

    def _put_aside(self, portion: Portion, error: Undeliverable) -> None:
        """Note which text the new topic refuses, if that is known. Raises `ConfigurationError` if all are."""
        if error.topics:
            raise ConfigurationError(f"texts can't be forwarded: {error}") from error
        suspects = error.suspects if len(portion.messages) > 1 else {0}
        if len(suspects) != 1:
            self._forwarding.in_doubt()
            return
        refused = {portion.origins[each]: str(error) for each in suspects}
        self._forwarding.refused(portion.partition, refused)
        self._notes.leave_out(portion.partition, refused)
        log.warning("the new topic refuses a text", partition=portion.partition, reason=str(error))

    def _note(self) -> None:
        """How far it is, for those who wait for offsets of the old topic."""
        again = time.monotonic() - self._noted_at > NOTE_S
        moved = {p: lane for p, lane in self._lanes.items() if again or self._noted.get(p) != lane.next}
        if not moved:
            return
        self._target.remember_progress(
            FORWARDED, {p: Committed(lane.next, spelled(lane.needs)) for p, lane in moved.items()}
        )
        for partition, lane in moved.items():
            self._notes.follow(partition, lane.next - 1)
            self._noted[partition] = lane.next
        self._noted_at = time.monotonic()
        self._metrics.left_out.set(self._notes.left_out())

    def _left(self) -> int:
        waiting = {p: len(lane.queue) for p, lane in self._lanes.items()}
        return sum(self._lag(waiting).values())

    def _lag(self, waiting: Mapping[int, int]) -> dict[int, int]:
        return {p: unread + waiting.get(p, 0) for p, unread in self._exchange.lag().items()}

    def _observe(self, moved: int) -> None:
        waiting = {p: len(lane.queue) for p, lane in self._lanes.items()}
        assigned, held, lag = self._exchange.assignment(), self._exchange.held_back(), self._lag(waiting)
        self._metrics.show_reading(self._route.origin, self._exchange, lag)
        left = sum(lag.values())
        self.caught_up = not left and lag.keys() == assigned and bool(assigned) and not any(waiting.values())
        self._metrics.left.set(left)
        self._metrics.caught_up.set(self.caught_up)
        self._progress.turn(has_share=self._exchange.has_share(), behind=left, moved=moved)
        self._progress.partitions(assigned, lag, held, assigned if moved else ())


def _is_news(record: Record) -> bool:
    """Whether somebody still writes to the old topic: ingest itself deletes there what becomes too old."""
    return record.header(EXPIRE) is None
