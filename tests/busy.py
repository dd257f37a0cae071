"""A small real system with all that dashboards show: load, a canary, corrections, deletions, garbage."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from hurnet_schemas import Feedback, Query, TextEvent
from hurnet_stream.adapters.kafka.writing.sink import KafkaSink
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.ports import Outgoing
from tests.acceptance.system import PARTITIONS, Running, System
from tests.background import again_and_again

ROLES = ("ingest", "solver", "responder", "feedback", "gateway", "canary")
OFTEN = {
    "HURNET_CANARY_INTERVAL": "1",
    "HURNET_CANARY_DELETION_INTERVAL": "15",
    "HURNET_CANARY_VERIFY_INTERVAL": "20",
}
THINGS = ("order", "invoice", "password", "bike", "helmet", "refund", "account", "lamp", "window", "music")
ACTS = {
    "lost": "I have lost my {}", "find": "where can I find the {}", "change": "I want to change the {}",
    "pay": "how do I pay for the {}", "stop": "please stop the {}", "broken": "the {} is broken, what now",
}  # fmt: skip
AGAIN = {
    "lost": "oh no, I have lost my {}", "find": "tell me where I can find the {}",
    "change": "now I want to change the {}", "pay": "how do I pay for the {} today",
    "stop": "stop the {} please", "broken": "what now, the {} is broken",
}  # fmt: skip
NONSENSE = "do purple triangles taste of wednesday"


def targets(workers: Sequence[Running]) -> dict[str, list[str]]:
    """What Prometheus is to scrape of workers that were ready once, by its jobs."""
    found: dict[str, list[str]] = {}
    for worker in workers:
        found.setdefault(f"hurnet-{worker.name}", []).append(worker.url)
    return found


@contextmanager
def busy(system: System, turn_s: float = 0.2) -> Iterator[list[Running]]:
    """All roles, and a load on them: some texts and questions each turn, and now and then all else."""
    (port,) = free_ports(1)
    settings = {**OFTEN, "HURNET_GATEWAY_PORT": str(port)}
    workers = [system.start(role, **settings) for role in ROLES]
    for worker in workers:
        worker.wait_ready()
    with closing(KafkaSink(system.settings.kafka)) as sink:
        turns = itertools.count()
        with (
            again_and_again(lambda: _send(system, sink, next(turns)), turn_s),
            again_and_again(lambda: _ask(port), turn_s),
        ):
            yield workers


def _ask(port: int) -> None:
    """A question over HTTP. A refusal is a reply, too, and counted by the gateway."""
    question = Query(text=_phrase(AGAIN, 1)[0]).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{HOST}:{port}/v1/ask", question, headers)
    with suppress(OSError):
        urllib.request.urlopen(request, timeout=20).close()


def _send(system: System, sink: KafkaSink, turn: int) -> None:
    kafka = system.settings.kafka
    sink.send([*_texts(kafka.texts, turn), *_questions(kafka.queries, turn)])
    if turn % 10 == 5:
        sink.send([_deletion(kafka.texts, turn), _verdict(kafka.feedback, turn)])
    if turn % 100 == 5:  # less than the share that is an alarm
        sink.send([Outgoing(kafka.texts, b"no text", partition=0)])


def _phrase(phrases: dict[str, str], number: int) -> tuple[str, str]:
    """What is said, and its answer."""
    act = list(ACTS)[number % len(ACTS)]
    thing = THINGS[number // len(ACTS) % len(THINGS)]
    return phrases[act].format(thing), f"{act}-{thing}"


def _texts(topic: str, turn: int) -> Iterator[Outgoing]:
    for number in range(3 * turn, 3 * turn + 3):
        text, answer = _phrase(ACTS, number)
        event = TextEvent(text=f"{text} {'please ' * (number % 3)}{number % 97}", answer=answer)
        yield Outgoing(topic, event.encode(), key=f"text-{number}".encode(), partition=number % PARTITIONS)


def _questions(topic: str, turn: int) -> Iterator[Outgoing]:
    for number in range(2 * turn, 2 * turn + 2):
        text = NONSENSE if number % 9 == 8 else _phrase(AGAIN, 7 * number)[0]
        yield Outgoing(topic, Query(text=text).encode(), headers=(("correlation-id", f"{number}".encode()),))


def _deletion(topic: str, turn: int) -> Outgoing:
    number = 3 * (turn - 5)
    return Outgoing(topic, None, key=f"text-{number}".encode(), partition=number % PARTITIONS)


def _verdict(topic: str, turn: int) -> Outgoing:
    text, answer = _phrase(AGAIN, turn)
    wrong = {"verdict": "wrong", "answer": answer, "given": "other"}
    said = {"verdict": "right", "answer": answer} if turn % 4 else wrong
    return Outgoing(topic, Feedback.model_validate({"question": text, **said}).encode())
