"""Another number of partitions under load: 3 to 7, then 7 to 2. Forwarder, ingest and responder are killed,
texts are replaced and deleted meanwhile, and nobody waits, is answered twice, or misses a text."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import numpy as np

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.redis import RedisEntryStore, RedisWeightsStore, connect_to
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.errors import TransientError
from hurnet_stream.ports import Outgoing
from hurnet_stream.records import CONTEXT, DROP, FORGET
from tests.acceptance.system import Running, System, wait_for
from tests.background import again_and_again
from tests.worlds.generations import held

KILLS = 3


class Writer:
    """A producer of the old topic, or of the new one: texts with keys and without, replaced and deleted."""

    def __init__(self, system: System, topic: str, partitions: int) -> None:
        self.system = system
        self.topic = topic
        self.partitions = partitions
        self.sent = itertools.count()

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

    def send(self, *messages: Outgoing) -> None:
        with self.system.sink() as sink:
            sink.send(messages)

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


def forwarder(system: System, partitions: int, topic: str) -> Running:
    return system.start("reshard", "--partitions", str(partitions), "--topic", topic)


def killed_under_load(system: System, writer: Writer, partitions: int, topic: str) -> Running:
    """The forwarder is killed again and again while texts come and go; the last one lives."""
    for kill in range(KILLS):
        running = forwarder(system, partitions, topic)
        time.sleep(2.5 + 0.4 * kill)  # some of them before they have begun, some in the middle
        writer.everything()
        running.kill()
    return forwarder(system, partitions, topic).wait_ready(90)


def answered_once(system: System, sent: list[str]) -> list[Answer]:
    wait_for(lambda: len(system.read(system.settings.kafka.answers)) >= len(sent), 60, "answers")
    records = system.read(system.settings.kafka.answers)
    answers = [Answer.decode(record.value) for record in records]
    assert Counter(answer.id for answer in answers) == Counter(sent), "each question once"
    return answers


def test_more_partitions_then_fewer_without_a_pause(system: System) -> None:
    old = system.settings.kafka.texts
    new = f"{old}-7"
    writer = Writer(system, old, 3)
    writer.send(*writer.texts(300), *writer.texts(20, "gone"))
    writer.everything()
    _, _, responder = [system.start(name).wait_ready() for name in ("ingest", "solver", "responder")]
    with asked(system) as sent:
        running = killed_under_load(system, writer, 7, new)
        moved = {"HURNET_KAFKA_TEXTS": new}
        filling = system.start("ingest", **moved)
        system.start("solver", **moved)
        time.sleep(2.0)
        filling.kill()
        filling = system.start("ingest", **moved).wait_ready()
        writer.everything()
        assert step(system, "--cut-over")["serving"] == new
        writer.everything()
        step(system, "--back", "--anyway")
        step(system, "--cut-over")
        running.kill()
        writer.everything()
        responder.kill()
        running = forwarder(system, 7, new)
        system.start("responder", **moved).wait_ready()
        begun = len(sent)
        wait_for(lambda: len(sent) > begun + 20, 60)
    answered_once(system, sent)
    same(system, 0, 1)
    wait_for(lambda: learned(system, 1) == clean(system, 1) == clean(system, 0), 60, "statistics")
    assert [p for p in range(7) if any(at[0] == p for at in places(system, 1))] == list(range(7))


def same(system: System, one: int, other: int) -> None:
    """Both generations hold the same texts, wherever they stand."""
    wait_for(lambda: said(system, one) == said(system, other), 60, "the same texts in both")
    assert all(count == 1 for count in said(system, one).values()), "no text twice"


def places(system: System, number: int) -> list[tuple[int, int]]:
    with closing(store(system, number)) as opened:
        return list(held(opened))
