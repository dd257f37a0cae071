"""Requests that are sent again and again, to gateways that are killed, hang, and go on, step by step.

Each try is a thread that stands still before and after each call of a port, until the schedule lets it go on.
So a schedule is a list of choices, and hypothesis finds the short one that breaks a promise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

from hurnet_stream.errors import HurnetError, KafkaFailing, RedisFailing, Superseded
from hurnet_stream.gateway.group_commit import GroupCommit, NotWritten
from hurnet_stream.gateway.idempotency import MARK, Once, OtherRequest, UnderWay, Wanted
from hurnet_stream.ports import Outgoing
from tests.memory.atomic_sink import MemoryAtomicSink
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.request_claims import MemoryRequestClaims

TOPIC = "texts"
KEYS = {"one": 1, "two": 3}
"""The keys of the requests, and how many texts each has."""
STEPPED = ("put", "drop", "fence", "find", "write", "ends")


class Killed(BaseException):
    """The process is gone: nothing of it goes on."""


class Try:
    """One request on its way through one process. `step` lets it go on to its next stand."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.done = False
        self._killed = False
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def step(self) -> None:
        if not self.done:
            self._go.release()
            assert self._stands.acquire(timeout=20)

    def kill(self) -> None:
        self._killed = True
        self.step()
        assert self.done

    def stand(self) -> None:
        self._stands.release()
        self._go.acquire()
        if self._killed:
            raise Killed

    def _run(self, work: Callable[[], Any]) -> None:
        self._go.acquire()
        try:
            if not self._killed:
                self.result = work()
        except (HurnetError, Killed) as error:
            self.result = error
        finally:
            self.done = True
            self._stands.release()


@dataclass
class World:
    """Kafka, Redis and a clock; processes and the tries in them; what tries have told their clients."""

    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    redis: MemoryRedis = field(default_factory=MemoryRedis)
    now_s: float = 0.0
    processes: list[Process] = field(default_factory=list)
    told: dict[str, set[tuple[tuple[int, int], ...]]] = field(default_factory=dict)
    current: Try | None = None
    losing: int = 0
    """So many of the next calls do what they are told, and their replies are lost."""

    def __post_init__(self) -> None:
        self.kafka.create(TOPIC, partitions=2)
        self.processes = [Process(self), Process(self)]

    def tries(self) -> list[Try]:
        return [each for process in self.processes for each in process.tries if not each.done]

    def step(self, which: Try) -> None:
        self.current = which
        which.step()
        self.current = None

    def replace(self, number: int) -> None:
        """Kill -9, and another process in its place."""
        for each in self.processes[number].tries:
            self.current = each
            each.kill()
        self.processes[number] = Process(self)

    def forget_places(self) -> None:
        """The store loses its last write of each claim that says what was written."""
        for key, (claim, at) in self.redis.data.claims.items():
            emptied = claim if not claim.records else type(claim)(claim.owner, claim.request, claim.since)
            self.redis.data.claims[key] = emptied, at

    def written(self, key: str) -> list[tuple[bytes, int, int]]:
        """The committed records of a request."""
        records = [
            r for r in self.kafka.records(TOPIC) if (r.header(MARK) or b"").startswith(f"{key}/".encode())
        ]
        return sorted((r.header(MARK) or b"", r.partition, r.offset) for r in records)


class _Stepped:
    """A port whose calls stand still before and after."""

    def __init__(self, inner: Any, world: World, failure: type[HurnetError]) -> None:
        self._inner, self._world, self._failure = inner, world, failure

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in STEPPED:
            return value

        def call(*arguments: Any) -> Any:
            here = self._world.current
            assert here
            here.stand()
            result = value(*arguments)
            if self._world.losing:
                self._world.losing -= 1
                if name == "write":
                    self._inner._name = ""
                raise self._failure("the reply was lost")
            here.stand()
            return result

        return call


class _Direct:
    """A `GroupCommit` of one request at a time, in the caller's thread."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink

    @property
    def name(self) -> str:
        try:
            self._sink.begin()
        except HurnetError as error:
            raise NotWritten(str(error)) from error
        return str(self._sink.name)

    def submit(self, messages: list[Outgoing], under: str) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(self._sink.write(messages, under))
        except Superseded as error:
            future.set_exception(NotWritten(str(error)))
        except HurnetError as error:
            future.set_exception(error)
        return future


_numbers = count()


class Process:
    """One gateway."""

    def __init__(self, world: World) -> None:
        self._world = world
        sink: Any = _Stepped(MemoryAtomicSink(world.kafka), world, KafkaFailing)
        claims: Any = _Stepped(
            MemoryRequestClaims(world.redis, clock=lambda: world.now_s), world, RedisFailing
        )
        self._group = cast(GroupCommit, _Direct(sink))
        self._once = Once(claims, sink, self._group)
        self.tries: list[Try] = []

    def begin(self, key: str) -> Try:
        """A try, which has not made its first step yet."""
        new = Try(lambda: self._request(key))
        self.tries.append(new)
        return new

    def _request(self, key: str) -> Any:
        wanted = Wanted(key, f"asks {key}", TOPIC, KEYS[key])
        messages = wanted.marked([Outgoing(TOPIC, b"{}", None, (), n % 2) for n in range(KEYS[key])])
        claim = self._once.begin(wanted)
        places = claim.records
        if not places:
            try:
                places = tuple(self._group.submit(messages, claim.owner).result())
            except HurnetError as error:
                self._once.failed(wanted, claim, error)
                raise
            self._once.written(wanted, claim, places)
        self._world.told.setdefault(key, set()).add(places)
        return places


def until_told(world: World, key: str) -> None:
    """The client tries until it has its answer."""
    last: Any = None
    for process in world.processes * 20:
        world.now_s += 10
        last = process.begin(key)
        while not last.done:
            world.step(last)
        if not isinstance(last.result, BaseException):
            return
        assert isinstance(last.result, UnderWay | NotWritten | KafkaFailing | RedisFailing), last.result
        assert not isinstance(last.result, OtherRequest)
    raise AssertionError(f"never answered: {last.result!r}")
