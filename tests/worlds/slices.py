"""A world whose entries are in slices: they and their coordinators take turns in one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.slice import SliceMetrics
from hurnet_stream.ports import NoReply, SavedShelf, SliceMember
from hurnet_stream.responder.generation import LoadedGeneration
from hurnet_stream.responder.responder import Responder
from hurnet_stream.responder.slices.generation import GatheredGeneration
from hurnet_stream.responder.slices.identity import IdentityAlone
from hurnet_stream.responder.slices.worker import SliceWorker
from hurnet_stream.settings.settings import ResponderSettings, Settings, SliceSettings
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.weights_store import MemoryWeightsStore
from tests.worlds.responder import EMBEDDER, World


@dataclass
class Call:
    """`SliceCall` that is answered in the same thread."""

    payload: bytes
    outcome: bytes | NoReply | None = None
    is_awaited: bool = True

    def reply(self, payload: bytes) -> None:
        self.outcome = payload

    def refuse(self, reason: str, failed: bool = False) -> None:
        self.outcome = NoReply(reason, "failed" if failed else "away")


@dataclass
class Door:
    """`SliceDoor` in memory."""

    address: str
    waiting: deque[Call] = field(default_factory=deque)

    def take(self, wait_s: float) -> Call | None:
        return self.waiting.popleft() if self.waiting else None

    def close(self) -> None:
        self.waiting.clear()


@dataclass
class Members:
    """`SliceMembers` in memory."""

    said: dict[str, SliceMember] = field(default_factory=dict)

    def say(self, instance: str, member: SliceMember) -> None:
        self.said[instance] = replace(member, at_ms=member.at_ms + 1)

    def leave(self, instance: str) -> None:
        self.said.pop(instance, None)

    def present(self) -> Mapping[str, SliceMember]:
        return dict(self.said)


class SlicedWorld(World):
    """Slices by their instances, which hold what is in the store, and may be gone or do harm."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.members = Members()
        self.slices: dict[str, SliceWorker] = {}
        self.doors: dict[str, Door] = {}
        self.gone: dict[str, NoReply] = {}
        """By instance: what asking it comes to."""
        self.calls = 0
        self.ask_all: Callable[[Any, float], Any] = self.ask_slices
        """How slices are asked: to be replaced by what goes wrong."""

    def slice(
        self, instance: str, number: int, count: int, shelf: SavedShelf | None = None, **given: Any
    ) -> SliceWorker:
        """Start one, and let it load."""
        chosen = SliceSettings.model_validate({"count": count, "instance": instance, "hold": 10, **given})
        settings = Settings(slices=chosen)
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        metrics = SliceMetrics()
        first = LoadedGeneration(*stores, IdentityAlone(EMBEDDER.identity), None, settings, metrics)
        first.lie_on(shelf, f"slice-{number}-of-{count}")
        door = self.doors[instance] = Door(instance)
        made = SliceWorker(first, door, self.members, number, settings, metrics)
        self.slices[instance] = made
        self.settle()
        return made

    def settle(self) -> None:
        """All slices take in what there is, and say so."""
        for worker in self.slices.values():
            for _ in range(3):
                worker._said_at = float("-inf")
                worker.step()

    def ask_slices(self, calls: Sequence[tuple[str, bytes]], timeout_s: float) -> Sequence[bytes | NoReply]:
        self.calls += 1
        sent = [Call(payload) for _, payload in calls]
        for (address, _), call in zip(calls, sent, strict=True):
            if address in self.gone or address not in self.slices:
                call.outcome = self.gone.get(address, NoReply(f"{address} is gone"))
                continue
            self.doors[address].waiting.append(call)
            for _ in range(5):
                if call.outcome is None:
                    self.slices[address].step()
        return [call.outcome or NoReply("no reply in time") for call in sent]

    def coordinator(self, instance: str = "one", away: str = "wait", **responder: object) -> Responder:
        given = {"poll": 0, "threshold": 0.3, "instance": instance, **responder}
        chosen = ResponderSettings.model_validate(given)
        slices = SliceSettings.model_validate({"count": 2, "away": away})
        settings = Settings(responder=chosen, slices=slices)
        exchange = MemoryExchange(self.kafka, "queries", "responders", instance)
        stores = MemoryEntryStore(self.redis), MemoryWeightsStore(self.redis)
        metrics = ResponderMetrics()
        made = Responder(exchange, *stores, self.embedder, settings, metrics)
        gathered = GatheredGeneration(
            stores, (self.members, Asker(self)), EMBEDDER, exchange, settings, metrics
        )
        return made.asking_slices(gathered)


@dataclass
class Asker:
    """`SliceCalls` in memory."""

    world: SlicedWorld

    def ask(self, calls: Sequence[tuple[str, bytes]], timeout_s: float) -> Sequence[bytes | NoReply]:
        replies: Sequence[bytes | NoReply] = self.world.ask_all(calls, timeout_s)
        return replies

    def close(self) -> None:
        """There is nothing to close."""
