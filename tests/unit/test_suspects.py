"""Records that end the process which handles them. A death is an exception that nobody catches, after which
the worker is never spoken to again; its group hears no more of it, and a new one is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_schemas import Answer, DeadLetter, Query, TextEvent
from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Batch, Deletion, EmbedderIdentity, Entry, Vectors
from hurnet_stream.errors import ConfigurationError, RedisFailing, TransientError
from hurnet_stream.ingest.ingest import Ingest
from hurnet_stream.metrics.ingest import IngestMetrics
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.ports import Appended, Outgoing, Record, Refused, Unfinished
from hurnet_stream.records import parse_record
from hurnet_stream.responder.responder import Responder
from hurnet_stream.settings.settings import IngestSettings, ResponderSettings, Settings
from hurnet_stream.suspects import NOTED_DEATHS, PROBE
from tests.memory.entry_store import MemoryEntryStore
from tests.memory.exchange import MemoryExchange
from tests.memory.kafka import MemoryKafka
from tests.memory.redis import MemoryRedis
from tests.memory.sink import MemorySink
from tests.memory.source import MemorySource
from tests.memory.weights_store import MemoryWeightsStore

PARTITIONS = 2
BATCH = 4


def never(_name: str) -> None:
    """Nothing happens before any call."""


class Death(BaseException):
    """Nobody catches it."""


class Deadly:
    """Dies of texts that hold one of `poisons`."""

    def __init__(self, *poisons: str) -> None:
        self.poisons = poisons
        self.identity: EmbedderIdentity = HashedText(32).identity
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        if any(poison in text for text in texts for poison in self.poisons):
            raise Death
        return HashedText(32).embed(texts)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)


class Store(MemoryEntryStore):
    """Counts its calls of the guard, and does `before` one of these and of the appends."""

    def __init__(self, redis: MemoryRedis, before: Callable[[str], None]) -> None:
        super().__init__(redis)
        self._before = before

    def enter(self, role: str, owner: str, partitions: frozenset[int]) -> Mapping[int, str]:
        self._before("enter")
        return super().enter(role, owner, partitions)

    def leave(self, role: str, owner: str, partitions: frozenset[int]) -> None:
        self._before("leave")
        super().leave(role, owner, partitions)

    def attempt(self, role: str, owner: str, partition: int, record: str) -> int:
        self._before("attempt")
        return super().attempt(role, owner, partition, record)

    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        self._before("append")
        result = super().append(batch, expected)
        self._before("appended")
        return result


class Turns(Protocol):
    def step(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class World:
    embedder: Deadly = field(default_factory=lambda: Deadly("poison"))
    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    redis: MemoryRedis = field(default_factory=MemoryRedis)
    calls: Counter[str] = field(default_factory=Counter)
    before: Callable[[str], None] = never

    def __post_init__(self) -> None:
        for topic in ("texts", "queries", "answers", "dead-letters"):
            self.kafka.create(topic, partitions=PARTITIONS)

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        self.before(name)

    def ingest(self) -> Ingest:
        chosen = Settings(ingest=IngestSettings(poll=0, batch=BATCH))
        self.member = MemorySource(self.kafka, "texts", "ingest")
        store = Store(self.redis, self._called)
        return Ingest(self.member, store, MemorySink(self.kafka), self.embedder, chosen, IngestMetrics())

    def responder(self) -> Responder:
        chosen = Settings(responder=ResponderSettings(poll=0, batch=BATCH, instance="one"))
        self.member = MemoryExchange(self.kafka, "queries", "responders", "one")
        stores = Store(self.redis, self._called), MemoryWeightsStore(self.redis)
        return Responder(self.member, *stores, self.embedder, chosen, ResponderMetrics())

    def lives(self, build: Callable[[], Turns], most: int, turns: int = 45) -> int:
        """Worker after worker until one lives through its turns and ends in order; returns how many died."""
        for deaths in range(most + 1):
            try:
                worker = build()
                steps(worker, turns)
                worker.close()
                return deaths
            except Death:
                self.member.close()
        raise AssertionError(f"more than {most} died")

    def teach(self, *texts: str, partition: int = 0) -> None:
        events = [TextEvent(text=text).encode() for text in texts]
        self.kafka.append([Outgoing("texts", event, partition=partition) for event in events])

    def ask(self, *texts: str, partition: int = 0) -> None:
        queries = [Query(text=text, id=text).encode() for text in texts]
        self.kafka.append([Outgoing("queries", query, b"key", (), partition) for query in queries])

    def texts(self) -> list[str]:
        batches = MemoryEntryStore(self.redis).tail({}, 10_000).batches
        return [entry.text for batch in batches for entry in batch.entries]

    def letters(self) -> list[tuple[str, int, int]]:
        letters = [DeadLetter.decode(record.value) for record in self.kafka.records("dead-letters")]
        return sorted((letter.reason, letter.partition, letter.offset) for letter in letters)

    def answers(self) -> dict[str, str]:
        answers = [Answer.decode(record.value) for record in self.kafka.records("answers")]
        assert len({answer.id for answer in answers}) == len(answers)
        return {
            answer.id: f"{answer.outcome} {(answer.reason or '').partition(':')[0]}" for answer in answers
        }


def dies_at(*fatal: int) -> Callable[[str], None]:
    """At the calls of the store with these numbers."""
    calls = iter(range(10**9))

    def before(_name: str) -> None:
        if next(calls) in fatal:
            raise Death

    return before


def numbered(first: int, end: int) -> list[str]:
    return [f"text number {i}" for i in range(first, end)]


def test_a_text_that_ends_the_worker_is_put_aside_and_all_others_come_in() -> None:
    world = World()
    world.teach(*numbered(0, 6), "poison", *numbered(6, 20))
    world.teach(*numbered(20, 30), partition=1)
    assert world.lives(world.ingest, NOTED_DEATHS + 1) == NOTED_DEATHS + 1
    assert sorted(world.texts()) == sorted(numbered(0, 30))
    assert world.letters() == [("ends-the-worker", 0, 6)]
    world.teach(*numbered(30, 40))
    assert world.lives(world.ingest, 0) == 0
    assert sorted(world.texts()) == sorted(numbered(0, 40))


def test_a_query_that_ends_the_worker_is_rejected_and_all_others_are_answered() -> None:
    world = World()
    world.teach("a text")
    world.lives(world.ingest, 0)
    world.ask("one", "two", "poison", "three")
    world.ask("four", "five", partition=1)
    assert world.lives(world.responder, NOTED_DEATHS + 1) == NOTED_DEATHS + 1
    answers = world.answers()
    assert answers.keys() == {"one", "two", "three", "four", "five", "poison"}
    assert [id for id, said in answers.items() if said == "rejected ends-the-worker"] == ["poison"]
    assert world.letters() == [("ends-the-worker", 0, 2)]
    assert world.lives(world.responder, 0) == 0
    assert len(world.answers()) == 6


def test_a_rejection_that_can_not_be_delivered_at_once_is_not_forgotten() -> None:
    world = World()
    world.lives(world.ingest, 0)
    world.ask("one", "two", "poison")
    for _ in range(NOTED_DEATHS + 1):
        with pytest.raises(Death):
            steps(world.responder(), 9)
        world.member.close()
    world.kafka.fail(deliveries=5)
    assert world.lives(world.responder, 0) == 0
    assert world.letters() == [("ends-the-worker", 0, 2)]
    assert world.answers().keys() == {"one", "two", "poison"}


def test_queries_handled_one_by_one_are_delivered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Deadly())
    world.lives(world.ingest, 0)
    steps(world.responder(), 3)
    world.member.close()
    world.ask("one", "two", "three")
    delivered: list[int] = []
    deliver = MemoryExchange.deliver

    def counted(exchange: MemoryExchange, messages: Sequence[Outgoing], *done: Any) -> bool:
        delivered.append(len(messages))
        return deliver(exchange, messages, *done)

    monkeypatch.setattr(MemoryExchange, "deliver", counted)
    assert world.lives(world.responder, 0) == 0
    assert world.calls["attempt"] == 3
    assert delivered == [3]


def test_several_in_both_partitions() -> None:
    world = World()
    for partition in range(PARTITIONS):
        world.teach("poison 1", "poison 2", *numbered(0, 9), "poison 3", partition=partition)
    world.lives(world.ingest, 6 * (NOTED_DEATHS + 1))
    assert sorted(world.texts()) == sorted(2 * numbered(0, 9))
    assert world.letters() == [("ends-the-worker", p, offset) for p in (0, 1) for offset in (0, 1, 11)]


def test_normal_work_costs_a_call_per_assignment_and_no_more() -> None:
    world = World()
    for partition in range(PARTITIONS):
        world.teach(*numbered(0, 40), partition=partition)
    world.lives(world.ingest, 0)
    assert world.calls["append"] >= 20
    assert (world.calls["enter"], world.calls["attempt"], world.calls["leave"]) == (1, 0, 1)
    assert all(PROBE not in texts for texts in world.embedder.calls)


def test_after_a_death_only_what_was_in_hand_is_handled_one_by_one() -> None:
    world = World()
    world.teach(*numbered(0, 20))
    worker = world.ingest()
    world.before = dies_at(2)  # after the partitions were entered and one batch appended
    with pytest.raises(Death):
        steps(worker, 9)
    world.member.close()
    world.before, world.embedder.calls = never, []
    assert world.lives(world.ingest, 0) == 0
    assert world.calls["attempt"] == BATCH
    sizes = [len(texts) for texts in world.embedder.calls if texts]
    assert sizes[: BATCH + 1] == [1] * (BATCH + 1)  # ours, then theirs
    assert set(sizes[BATCH + 1 : -1]) == {BATCH}
    assert sorted(world.texts()) == sorted(numbered(0, 20))
    assert world.letters() == []


def test_what_came_after_the_death_is_not_suspected() -> None:
    world = World()
    world.teach(*numbered(0, 3))
    worker = world.ingest()
    steps(worker, 5)
    world.member.close()  # it dies idle
    successor = world.ingest()
    steps(successor, 5)
    world.teach(*numbered(3, 10))
    steps(successor, 5)
    assert world.calls["attempt"] == 0
    assert sorted(world.texts()) == sorted(numbered(0, 10))


def test_who_ends_in_order_before_it_is_through_leaves_that_to_the_next() -> None:
    world = World()
    world.teach(*numbered(0, 3), "poison", *numbered(3, 9))
    with pytest.raises(Death):
        steps(world.ingest(), 9)
    world.member.close()
    careful = world.ingest()
    steps(careful, 3)
    assert world.texts() == numbered(0, 2)
    careful.close()
    assert world.lives(world.ingest, NOTED_DEATHS) == NOTED_DEATHS
    assert world.letters() == [("ends-the-worker", 0, 3)]
    tried = world.calls["attempt"]
    world.teach(*numbered(9, 20))
    assert world.lives(world.ingest, 0) == 0
    assert world.calls["attempt"] == tried
    assert world.texts() == numbered(0, 20)


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
def test_two_members_between_which_partitions_move(turns: int) -> None:
    world = World()
    for partition in range(PARTITIONS):
        world.teach(*numbered(0, 5), "poison", *numbered(5, 12), partition=partition)
    members = [(world.ingest(), world.member) for _ in range(2)]
    deaths = 0
    for turn in range(200):
        worker, member = members[turn % 2]
        try:
            steps(worker, turns)
        except Death:
            member.close()
            members[turn % 2] = world.ingest(), world.member
            deaths += 1
    assert deaths <= PARTITIONS * (NOTED_DEATHS + 1)
    assert sorted(world.texts()) == sorted(2 * numbered(0, 12))
    assert world.letters() == [("ends-the-worker", p, 5) for p in range(PARTITIONS)]


def test_an_embedder_that_dies_of_every_text_costs_no_record() -> None:
    world = World(Deadly(""))
    world.teach("a text", "another")
    with pytest.raises(AssertionError, match="more than 12 died"):
        world.lives(world.ingest, 12)
    world.embedder.poisons = ()
    assert world.lives(world.ingest, 0) == 0
    assert world.texts() == ["a text", "another"]
    assert world.letters() == []


def test_a_store_that_is_away_and_processes_killed_meanwhile_blame_nobody() -> None:
    """Each is killed in its first turn, in which a record was in hand, and its append failed."""
    world = World(Deadly())
    world.teach("a text", "another")
    for _ in range(3 * NOTED_DEATHS):
        worker = world.ingest()
        world.before = fails("append")
        failed = steps(worker, 8)
        assert failed >= 3
        world.member.close()
        world.before = never
    assert world.calls["attempt"] >= 3 * NOTED_DEATHS - 1
    assert world.lives(world.ingest, 0) == 0
    assert world.texts() == ["a text", "another"]
    assert world.letters() == []


def steps(worker: Turns, turns: int) -> int:
    """How many of them failed for a reason that passes."""
    failed = 0
    for _ in range(turns):
        try:
            worker.step()
        except TransientError:
            failed += 1
    return failed


def fails(*names: str) -> Callable[[str], None]:
    def before(name: str) -> None:
        if name in names:
            raise RedisFailing("away")

    return before


def test_a_group_whose_brokers_are_away_blames_no_query() -> None:
    world = World(Deadly())
    world.lives(world.ingest, 0)
    world.ask("one", "two")
    for _ in range(3 * NOTED_DEATHS):
        responder = world.responder()
        world.kafka.fail(deliveries=9)
        steps(responder, 6)
        world.member.close()
        world.kafka.fail(deliveries=0)
    assert world.calls["attempt"] >= 3 * NOTED_DEATHS - 1
    world.lives(world.responder, 0)
    assert world.answers().keys() == {"one", "two"}
    assert world.letters() == []


@pytest.mark.parametrize("error", [RedisFailing("full"), ConfigurationError("no right")])
def test_a_store_that_takes_no_marks_stops_nobody(error: Exception) -> None:
    def before(name: str) -> None:
        if name in ("enter", "leave", "attempt"):
            raise error

    world = World(Deadly(), before=before)
    world.teach(*numbered(0, 9))
    world.ask("one", "two")
    assert world.lives(world.ingest, 0) == 0
    assert world.lives(world.responder, 0) == 0
    assert world.texts() == numbered(0, 9)
    assert world.answers().keys() == {"one", "two"}


def test_a_bug_that_ends_the_worker_counts_as_a_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop closes such a worker."""

    def faulty(record: Record) -> Entry | Deletion:
        assert b"poison" not in (record.value or b"")
        return parse_record(record)

    monkeypatch.setattr("hurnet_stream.records.parse_record", faulty)
    world = World()
    world.teach("a", "poison", "b")
    for _ in range(NOTED_DEATHS + 1):
        worker = world.ingest()
        with pytest.raises(AssertionError):
            steps(worker, 20)
        worker.close()
    assert world.lives(world.ingest, 0) == 0
    assert world.texts() == ["a", "b"]
    assert world.letters() == [("ends-the-worker", 0, 1)]


def test_a_bug_in_what_appends_blames_no_record() -> None:
    world = World(Deadly(), before=dies_at(1))
    world.teach("a", "b")
    with pytest.raises(Death):
        steps(world.ingest(), 9)
    world.member.close()
    for _ in range(3 * NOTED_DEATHS):
        world.before = bug
        worker = world.ingest()
        with pytest.raises(ZeroDivisionError):
            steps(worker, 9)
        world.before = never
        worker.close()
    assert world.calls["attempt"] == 3 * NOTED_DEATHS
    assert world.lives(world.ingest, 0) == 0
    assert world.texts() == ["a", "b"]
    assert world.letters() == []


def bug(name: str) -> None:
    if name == "append":
        raise ZeroDivisionError


kills = st.lists(st.integers(0, 60), max_size=NOTED_DEATHS - 1)
poisoned = st.lists(st.booleans(), min_size=1, max_size=14)


@settings(max_examples=60, deadline=None)
@given(kills, st.lists(poisoned, min_size=PARTITIONS, max_size=PARTITIONS))
def test_texts_wherever_processes_are_killed(fatal: list[int], sent: list[list[bool]]) -> None:
    """Only what is poisonous is put aside, and all else comes in once."""
    world = World(before=dies_at(*fatal))
    for partition, kinds in enumerate(sent):
        world.teach(*(texts_of(partition, kinds)), partition=partition)
    bad = sum(map(sum, sent))
    world.lives(world.ingest, bad * (NOTED_DEATHS + 1) + len(fatal))
    every = [text for partition, kinds in enumerate(sent) for text in texts_of(partition, kinds)]
    assert sorted(world.texts()) == sorted(text for text in every if "poison" not in text)
    wanted = {("ends-the-worker", p, o) for p, kinds in enumerate(sent) for o, k in enumerate(kinds) if k}
    assert set(world.letters()) == wanted
    assert len(world.letters()) <= len(wanted) + len(fatal)  # a kill between the letter and its append


@settings(max_examples=40, deadline=None)
@given(kills, st.lists(poisoned, min_size=PARTITIONS, max_size=PARTITIONS))
def test_queries_wherever_processes_are_killed(fatal: list[int], sent: list[list[bool]]) -> None:
    world = World()
    world.lives(world.ingest, 0)
    world.before = dies_at(*fatal)
    for partition, kinds in enumerate(sent):
        world.ask(*texts_of(partition, kinds), partition=partition)
    bad = sum(map(sum, sent))
    world.lives(world.responder, bad * (NOTED_DEATHS + 1) + len(fatal))
    every = [text for partition, kinds in enumerate(sent) for text in texts_of(partition, kinds)]
    rejected = {id for id, said in world.answers().items() if said == "rejected ends-the-worker"}
    assert rejected == {text for text in every if "poison" in text}
    assert world.answers().keys() == set(every)
    assert len(world.letters()) == len(rejected)


def texts_of(partition: int, kinds: list[bool]) -> list[str]:
    return [f"{'poison' if bad else 'good'} {partition} {i}" for i, bad in enumerate(kinds)]
