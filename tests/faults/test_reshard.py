"""Another number of partitions under load: 3 to 7, and 7 to 2. Forwarder, ingest and responder are killed,
texts are replaced and deleted meanwhile, and nobody waits, is answered twice, or misses a text."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.kafka.admin.reshaped import create_beside
from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect_to
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.errors import TransientError
from hurnet_stream.ports import Outgoing
from hurnet_stream.records import CONTEXT, DROP, FORGET
from tests.acceptance.system import Running, System, wait_for
from tests.background import again_and_again
from tests.worlds.generations import held


class Topic(NamedTuple):
    """A topic of texts, and the number of the generation that is filled from it."""

    name: str
    partitions: int
    number: int


class Writer:
    """A producer of a topic: texts with keys and without, which are replaced and deleted."""

    sent = itertools.count()

    def __init__(self, system: System, topic: Topic) -> None:
        self.system = system
        self.topic = topic.name
        self.partitions = topic.partitions

    def texts(self, count: int, context: str = "default") -> list[Outgoing]:
        numbers = list(itertools.islice(self.sent, count))
        return [
            Outgoing(
                self.topic,
                TextEvent(text=f"text number {n}", answer=f"answer {n % 5}", context=context).encode(),
                f"key {n % 40}".encode() if n % 2 else None,
            )
            for n in numbers
        ]

    def send(self, *messages: Outgoing) -> Sequence[tuple[int, int]]:
        with self.system.sink() as sink:
            return sink.send(messages)

    def everything(self) -> None:
        """Texts and deletions of every kind, some of them of texts that were sent just now."""
        key = f"key {2 * (next(self.sent) % 20) + 1}".encode()
        everywhere = range(self.partitions)
        self.send(*self.texts(10), *self.texts(4, "gone"), Outgoing(self.topic, b"nonsense", partition=0))
        self.send(*(Outgoing(self.topic, None, key, ((CONTEXT, b"default"),), p) for p in everywhere))
        self.send(
            *(Outgoing(self.topic, None, b"forget", ((FORGET, b"%d" % (7 + p)),), p) for p in everywhere)
        )
        self.send(*(Outgoing(self.topic, None, b"drop", ((DROP, b"gone"),), p) for p in everywhere))
        self.send(*self.texts(3, "gone"), *self.texts(6))


@contextmanager
def asked(system: System) -> Iterator[list[str]]:
    """A question every 50 ms; gives the ids of those that were sent."""
    sent: list[str] = []

    def ask() -> None:
        name = f"q{len(sent)}"
        system.ask([Query(id=name, text=f"text number {len(sent) % 50}")])
        sent.append(name)

    with again_and_again(ask, 0.05):
        yield sent


def store(system: System, number: int) -> RedisEntryStore:
    return RedisEntryStore(connect_to(system.settings.redis, number))


def said(system: System, number: int) -> Counter[tuple[str, str, str | None]]:
    """What a generation holds, wherever it stands."""
    with closing(store(system, number)) as opened:
        return Counter((e.context, e.text, e.answer) for e, _ in held(opened).values())


def learned(system: System, number: int) -> str:
    """The digest of the solver's statistics."""
    connection = connect_to(system.settings.redis, number)
    with closing(connection), suppress(TransientError):  # the solver may save another one meanwhile
        return RedisWeightsStore(connection).load_checkpoint(128).statistics["default"].digest()
    return ""


def clean(system: System, number: int) -> str:
    """Those of a run that never failed, over what the generation holds."""
    made = Statistics(128)
    with closing(store(system, number)) as opened:
        rows = [(e, v) for e, v in held(opened).values() if e.context == "default"]
    for entry, vector in rows:
        made.add(np.frombuffer(vector, np.int16)[None], [entry.answer or ""])
    return made.digest()


def step(system: System, *options: str, **settings: str) -> dict[str, object]:
    done = system.run("reshard", *options, "--json", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def forwarder(system: System, new: Topic, silence_s: float = 3_600) -> Running:
    options = ("--partitions", str(new.partitions), "--topic", new.name)
    return system.start("reshard", *options, HURNET_RESHARD_SILENCE=str(silence_s))


def killed_under_load(system: System, writer: Writer, new: Topic, kills: int) -> Running:
    """The forwarder is killed again and again while texts come and go; the last one lives."""
    for kill in range(kills):
        running = forwarder(system, new)
        wait_for(partial(getattr, running, "url"), what="a forwarder")
        time.sleep(0.7 * kill)  # some of them before they have begun, some in the middle
        writer.everything()
        running.kill()
    return forwarder(system, new).wait_ready()


def answers(system: System, sent: list[str]) -> list[tuple[Answer, int]]:
    """All answers, and when they were given, in ms since 1970."""
    so_far = len(sent)  # more may come all the time
    wait_for(lambda: len(system.read(system.settings.kafka.answers)) >= so_far, what="answers")
    records = system.read(system.settings.kafka.answers)
    return [(Answer.decode(record.value), record.timestamp) for record in records]


def longest_gap_s(given: list[tuple[Answer, int]], since_ms: float, until_ms: float) -> float:
    times = sorted(at for _, at in given if since_ms <= at <= until_ms)
    return max(b - a for a, b in itertools.pairwise([since_ms, *times, until_ms])) / 1000


def resharded(system: System, old: Topic, new: Topic, sent: list[str], kills: int) -> Running:
    """From one topic to the other, with everything killed in the middle. Returns the forwarder."""
    writer = Writer(system, old)
    moved = {"HURNET_KAFKA_TEXTS": new.name}
    running = killed_under_load(system, writer, new, kills)
    filling = system.start("ingest", **moved)
    system.start("solver", **moved)
    wait_for(lambda: places(system, new.number), what="the first texts")
    filling.kill()
    system.start("ingest", **moved).wait_ready()
    writer.everything()
    began_ms = 1000 * time.time()
    assert step(system, "--cut-over", "--wait", "200")["serving"] == new.name
    cut_at = len(sent)
    wait_for(lambda: len(sent) > cut_at + 20)
    gap_s = longest_gap_s(answers(system, sent), began_ms, 1000 * time.time())
    print(f"the longest time without an answer around the cut was {gap_s:.2f} s")
    reads_its_own_writes(system, writer, sent)
    assert step(system, "--back", "--wait", "200")["serving"] == old.name
    assert step(system, "--cut-over", "--wait", "200")["serving"] == new.name
    running.kill()
    writer.everything()
    return forwarder(system, new, silence_s=3)


def answer_to(system: System, name: str) -> Answer | None:
    return next((answer for answer, _ in answers(system, []) if answer.id == name), None)


def reads_its_own_writes(system: System, writer: Writer, sent: list[str]) -> None:
    """Whoever has written to the old topic can wait for its offsets, while the new one answers."""
    for number in itertools.islice(writer.sent, 3):
        event = TextEvent(text=f"the zebra {number} crosses", answer=f"own {number}")
        ((partition, offset),) = writer.send(Outgoing(writer.topic, event.encode()))
        name = f"own {number}"
        sent.append(name)
        system.ask([Query(id=name, text=event.text, min_watermarks={partition: offset})])
        began = time.monotonic()
        given = wait_for(partial(answer_to, system, name), what="an answer")
        print(f"own writes were read after {time.monotonic() - began:.2f} s")
        assert (given.outcome, given.answer) == ("answered", name), given


def same(system: System, one: int, other: int) -> None:
    """Both generations hold the same texts, each once, wherever they stand, and the solver has learned
    them."""

    def are_same() -> bool:
        digests = {clean(system, one), clean(system, other), learned(system, other)}
        return said(system, one) == said(system, other) and len(digests) == 1

    wait_for(are_same, what="the same texts in both, and their statistics")
    assert all(count == 1 for count in said(system, one).values()), "no text twice"


def places(system: System, number: int) -> list[tuple[int, int]]:
    with closing(store(system, number)) as opened:
        return list(held(opened)) if opened.identity() else []


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("before", "after", "kills"), [(3, 7, 2), (7, 2, 1)])
def test_another_number_of_partitions_without_a_pause(
    system: System, before: int, after: int, kills: int
) -> None:
    name = system.settings.kafka.texts
    system.variables["HURNET_RESPONDER_WAIT"] = "600"  # a busy machine
    old, new = Topic(f"{name}-{before}", before, 0), Topic(f"{name}-{after}", after, 1)
    create_beside(system.settings.kafka, old.name, before)
    system.variables["HURNET_KAFKA_TEXTS"] = old.name
    writer = Writer(system, old)
    writer.send(*writer.texts(300), *writer.texts(20, "gone"))
    writer.everything()
    old_ones = [system.start(role).wait_ready() for role in ("ingest", "solver", "responder")]
    with asked(system) as sent:
        running = resharded(system, old, new, sent, kills)
        old_ones[2].kill()  # the responder
        system.variables["HURNET_KAFKA_TEXTS"] = new.name
        system.start("responder").wait_ready()
        same(system, old.number, new.number)
        assert running.wait_end() == 0, "nobody writes to the old topic any more"
        Writer(system, new).everything()
        for each in old_ones[:2]:
            each.terminate()
        assert system.run("reshard", "--drop", old.name, "--anyway").returncode == 0
    counted = Counter(answer.id for answer, _ in answers(system, sent))
    assert counted == Counter(sent), "each question once"
