"""Slices and coordinators on real servers answer as one responder with everything, and may be killed."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hurnet_schemas import Answer, Query, TextEvent
from hurnet_stream.adapters.kafka.admin.check import ensure_topics
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.core.stored.batch import ShardState
from tests.acceptance.system import PARTITIONS, Running, System, metric, wait_for
from tests.background import again_and_again

ROWS = 240
ANSWERS = 6
DIFFERS = {"query", "seconds", "trace_id"}
"""Of receipts: how long it took, and by whom."""
SLICED = {"HURNET_SLICES_COUNT": "2", "HURNET_RESPONDER_WAIT": "600"}
BY_SCORE = {"HURNET_RESPONDER_ERROR_RATE": "0"}
"""Every question is the text of an entry: its answer is right, and no probability keeps it back."""
IN_TIME_S = 120.0


def text(number: int) -> str:
    """One that is like no other."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return " ".join(digest[first : first + 6] for first in range(0, 30, 6))


def texts(first: int, count: int) -> list[TextEvent]:
    return [TextEvent(text=text(n), answer=f"answer {n % ANSWERS}") for n in range(first, first + count)]


class Sliced:
    """A system of slices, coordinators, and one responder with everything, whose answers go elsewhere."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.elsewhere = f"{system.settings.kafka.answers}-alone"
        kafka = system.settings.kafka.model_copy(update={"answers": self.elsewhere})
        assert all(finding.exists for finding in ensure_topics(kafka, create=True))
        self.alone = {
            "HURNET_KAFKA_ANSWERS": self.elsewhere,
            "HURNET_RESPONDER_GROUP": f"{system.settings.redis.prefix}-alone",
            "HURNET_RESPONDER_INSTANCE": "alone",
        }
        self.sent: list[str] = []
        """The ids of all questions, each with its number behind a colon."""

    def slice(self, number: int, count: int, name: str = "") -> Running:
        return self.system.start(
            "slice",
            HURNET_SLICES_COUNT=str(count),
            HURNET_SLICES_NUMBER=str(number),
            HURNET_SLICES_INSTANCE=name or f"{number}/{count}",
            HURNET_SLICES_HOLD="2",
        )

    def coordinator(self, name: str, **more: str) -> Running:
        chosen = {"HURNET_RESPONDER_INSTANCE": name, **SLICED, **more}
        return self.system.start("responder", **chosen)

    def ask(self, *numbers: int) -> None:
        ids = [f"{len(self.sent) + at}:{number}" for at, number in enumerate(numbers)]
        self.sent += ids
        self.system.ask([Query(id=i, text=text(n)) for i, n in zip(ids, numbers, strict=True)])

    def answers(self, elsewhere: bool = False) -> list[Answer]:
        topic = self.elsewhere if elsewhere else self.system.settings.kafka.answers
        return [Answer.decode(record.value) for record in self.system.read(topic)]

    def wait_answered(self, elsewhere: bool = False) -> list[Answer]:
        """The answers to all questions, each once."""

        def answered() -> list[Answer]:
            found = self.answers(elsewhere)
            return found if len(found) >= len(self.sent) else []

        found: list[Answer] = wait_for(answered, IN_TIME_S, "all answered")
        assert Counter(answer.id for answer in found) == Counter(self.sent)
        return found

    def agree(self, *workers: Running) -> None:
        """Wait until all have the same weights and the same mix, and all texts."""
        ends = {str(p): s.watermark for p, s in self.states().items()}

        def same() -> bool:
            seen = [each.get("/metrics")[1] for each in workers]
            versions = {(version(page, "mix"), version(page, "weights")) for page in seen}
            return len(versions) == 1 and all(watermarks(page) == ends for page in seen)

        wait_for(same, IN_TIME_S, "the same weights, mix and texts everywhere")

    def states(self) -> Mapping[int, ShardState]:
        with closing(RedisEntryStore(connect(self.system.settings.redis))) as store:
            return store.states()

    def assert_equal_answers(self, numbers: Sequence[int], *workers: Running) -> None:
        """Coordinators and the responder with everything answer these questions the same to the last bit."""
        asked = partial(self._answered_by_one_mix, numbers, workers)
        one, other = wait_for(asked, IN_TIME_S, "answers by one and the same mix")
        assert one == other
        assert len(one) == len(numbers)

    def _answered_by_one_mix(
        self, numbers: Sequence[int], workers: Sequence[Running]
    ) -> list[dict[str, Any]] | None:
        """The answers of both; None if somebody has published another mix meanwhile: they may differ then."""
        self.agree(*workers)
        begun = len(self.sent)
        self.ask(*numbers)
        asked = set(self.sent[begun:])
        both = [
            {each.id: comparable(each) for each in self.wait_answered(elsewhere) if each.id in asked}
            for elsewhere in (False, True)
        ]
        mixes = {(each["receipt"].get("mix") or {}).get("version") for one in both for each in one.values()}
        return both if len(mixes) == 1 else None


@pytest.fixture(scope="module")
def sliced(
    kafka_bootstrap: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sliced]:
    name = f"t{Path(tmp_path_factory.getbasetemp()).name.replace('pytest-', '')}slices"
    folder = tmp_path_factory.mktemp("slices")
    with System(kafka_bootstrap, valkey_url, name, folder, **BY_SCORE) as system:
        system.create_topics().teach(texts(0, ROWS))
        made = Sliced(system)
        workers = [system.start("ingest"), system.start("solver"), system.start("responder", **made.alone)]
        for worker in workers:
            worker.wait_ready(IN_TIME_S)
        wait_for(lambda: len(system.texts_in_store()) == ROWS, IN_TIME_S, "texts")
        yield made


def version(page: str, name: str) -> str:
    found = re.findall(rf'^hurnet_{name}_version{{context="default"}} (\S+)$', page, re.MULTILINE)
    return found[0] if found else ""


def watermarks(page: str) -> dict[str, int]:
    found = re.findall(r'^hurnet_watermark_offset{partition="(\d+)"} (\S+)$', page, re.MULTILINE)
    return {partition: int(float(offset)) for partition, offset in found}


def comparable(answer: Answer) -> dict[str, Any]:
    """All of an answer that must be equal."""
    dumped = answer.model_dump(mode="json")
    dumped["receipt"] = {k: v for k, v in (dumped["receipt"] or {}).items() if k not in DIFFERS}
    return dumped


@pytest.mark.timeout(600)  # it was two minutes alone, and four on a busy machine
def test_slices_under_load_are_killed_come_and_go_and_answer_as_one_responder(sliced: Sliced) -> None:
    system, (_, solver, alone) = sliced.system, sliced.system.running

    def has_learned() -> bool:
        page = alone.get("/metrics")[1]
        return bool(version(page, "mix") and version(page, "weights"))

    wait_for(has_learned, IN_TIME_S, "weights and mix")
    solver.kill()  # weights of one version from now on
    slices = [sliced.slice(number, 2) for number in range(2)]
    coordinators = [sliced.coordinator(name) for name in ("a", "b")]
    for worker in (*slices, *coordinators):
        worker.wait_ready(IN_TIME_S)
    sliced.assert_equal_answers(range(0, ROWS, 6), alone, *coordinators)
    for each in coordinators:
        assert metric(each.get("/metrics")[1], "hurnet_scored_queries_total") > 0, "both have answered"

    taught, asked = itertools.count(ROWS, PARTITIONS), itertools.count()

    def load() -> None:
        sliced.ask(*(next(asked) % ROWS for _ in range(PARTITIONS)))
        system.teach(texts(next(taught), PARTITIONS))

    def answers_go_on() -> None:
        begun = len(sliced.answers())
        wait_for(lambda: len(sliced.answers()) > begun + 5, IN_TIME_S, "answers go on")

    with again_and_again(load, 0.2):
        answers_go_on()
        slices[1].kill()
        slices[1] = sliced.slice(1, 2)
        answers_go_on()
        coordinators[0].kill()
        coordinators[0] = sliced.coordinator("a")
        answers_go_on()
        second = sliced.slice(0, 2, "another").wait_ready(IN_TIME_S)
        slices[0].kill()
        answers_go_on()
        more = [sliced.slice(number, 3).wait_ready(IN_TIME_S) for number in range(3)]
        for each in (second, slices[1]):
            each.terminate()
        answers_go_on()
        coordinators[1].kill()
        more[2].kill()
        more[2] = sliced.slice(2, 3)
        answers_go_on()
    answers = sliced.wait_answered()
    right = {id_: f"answer {int(id_.partition(':')[2]) % ANSWERS}" for id_ in sliced.sent}
    assert [answer for answer in answers if answer.answer != right[answer.id]] == []
    assert system.dead_letters() == []
    sliced.assert_equal_answers(range(1, ROWS, 8), alone, coordinators[0])
    alone.terminate()
    assert_partial_answers_say_what_is_missing(sliced)


def assert_partial_answers_say_what_is_missing(sliced: Sliced) -> None:
    """With the slices and coordinators that run by now. If answers may not be partial, questions wait."""
    partial = sliced.coordinator("alone", **sliced.alone, HURNET_SLICES_AWAY="partial").wait_ready(IN_TIME_S)
    assert "all slices" in partial.said()
    asked = len(sliced.sent)
    sliced.system.running[-2].kill()
    sliced.ask(3, 7, 11)
    found = [each for each in sliced.wait_answered(elsewhere=True) if each.id in sliced.sent[asked:]]
    assert [answer.receipt and answer.receipt.missing for answer in found] == 3 * [[2]]
    assert len(sliced.answers()) == asked, "those of the other coordinator wait"
    sliced.slice(2, 3).wait_ready(IN_TIME_S)
    sliced.wait_answered()
    partial.terminate()
