"""Each role runs with exactly the rights of operations/rights.py, and says which one it lacks.

A Kafka with TLS, SCRAM and an authorizer, and a Redis with TLS and users, are started once. Workers run in
threads of this process: there are some hundred cases, and a process takes seconds to start.
"""

from __future__ import annotations

import secrets
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from hurnet_schemas import Feedback, Query, TextEvent
from hurnet_stream import Client
from hurnet_stream.adapters.kafka.client.connection import connect as connected
from hurnet_stream.adapters.redis import RedisEntryStore, connect
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.operations.rights import KafkaRight, kafka_rights, redis_users
from hurnet_stream.ports import Outgoing
from hurnet_stream.settings.settings import Settings
from tests.acceptance.system import System, metric, wait_for
from tests.faults.in_thread import DEADLINE_S, InThread, come_to, logged_to
from tests.secured import Authority, SecuredKafka, SecuredRedis, secured_kafka, secured_redis

PREFIX = "rights"


class Stage:
    """Servers, users with their rights, and a store with something in it."""

    def __init__(self, kafka: SecuredKafka, store: SecuredRedis, folder: Path) -> None:
        self.kafka, self.store = kafka, store
        self.lines: list[str] = []
        own = {
            "HURNET_SOLVE_LEASE": "1",
            "HURNET_RESPONDER_WAIT": "60",
            "HURNET_GATEWAY_TIMEOUT": "60",
            "HURNET_SOLVE_CHECKPOINT_INTERVAL": "0.2",
            "HURNET_CANARY_INTERVAL": "0.2",
            "HURNET_CANARY_VERIFY_INTERVAL": "0",
        }
        self.admin = System(kafka.inner, store.server.url, PREFIX, folder, **own).create_topics()
        self.rights = kafka_rights(self.admin.settings)
        self.users = redis_users(self.admin.settings.redis)
        for role, rights in self.rights.items():
            kafka.set_password(role, f"kafka-{role}")
            kafka.allow(role, rights)
        for role in self.users:
            self.grant(role)

    def grant(self, role: str, without: str = "") -> None:
        rules = [rule for rule in self.users[role].rules() if rule != without]
        self.store.set_user(role, f"redis-{role}", rules)

    def settings(self, role: str) -> Settings:
        variables = dict(self.admin.variables)
        if role in self.rights:
            variables |= self.kafka.variables(role)
        store_user = "reader" if role == "canary" else role
        if store_user in self.users:
            variables |= self.store.variables(store_user, f"redis-{store_user}")
        return System("", "", PREFIX, Path(), **variables).settings

    @contextmanager
    def running(self, role: str) -> Iterator[InThread]:
        worker = InThread(role, self.settings(role), self.lines).start()
        try:
            yield worker
        finally:
            worker.stop()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("rights")
    authority = Authority(folder)
    with secured_kafka(authority) as kafka, secured_redis(authority) as store:
        stage = Stage(kafka, store, folder)
        with stage.running("solver") as solver:
            assert learn(stage, solver), solver.said
        yield stage


@pytest.fixture(autouse=True)
def _kept_lines(stage: Stage) -> Iterator[None]:
    stage.lines.clear()
    with logged_to(stage.lines):
        yield


Job = Callable[[Stage, "InThread"], bool]
"""Gives a role something to do; whether it was done, or the worker has ended before."""


def take_in(stage: Stage, worker: InThread) -> bool:
    """A text under a key, alone in its context, one in another, a record that must be put aside, and
    deletions."""
    word = secrets.token_hex(4)
    topics, key = stage.admin.settings.kafka, word.encode()
    event = TextEvent(text=f"what is {word}", answer=f"it is {word}")
    other = TextEvent(text=f"and {word}", context=f"c{word[:1]}")
    forgotten = TextEvent(text=f"forgotten {word}")
    gone = TextEvent(text=f"gone {word}", context=f"gone-{word}")
    letters = len(stage.admin.dead_letters())
    with stage.admin.sink() as sink:
        ((_, offset),) = sink.send([Outgoing(topics.texts, forgotten.encode(), partition=0)])
        sink.send(
            [
                Outgoing(topics.texts, event.encode(), partition=0),
                Outgoing(topics.texts, gone.encode(), key=key, partition=1),
                Outgoing(topics.texts, other.encode(), partition=1),
                Outgoing(topics.texts, None, key=key, partition=1),
                Outgoing(topics.texts, None, key=b"-", headers=(("forget", b"%d" % offset),), partition=0),
                Outgoing(topics.texts, b"no text", partition=1),
            ]
        )

    def done() -> bool:
        return event.text in stage.admin.texts_in_store() and len(stage.admin.dead_letters()) > letters

    return come_to(worker, done, "taken in")


def learn(stage: Stage, worker: InThread) -> bool:
    """Solver: takes the role, folds, publishes, saves, and erases what ingest has deleted meanwhile."""
    with stage.running("ingest") as helper:
        assert take_in(stage, helper), helper.said
    store = RedisEntryStore(connect(stage.admin.settings.redis))

    def done() -> bool:
        covered = {p: state.watermark for p, state in stage.admin.checkpoint().shards.items()}
        ingested = {p: state.watermark for p, state in store.states().items()}
        return covered == ingested and not any(store.pending_erasures().values())

    try:
        return come_to(worker, done, "learned and erased")
    finally:
        store.close()


def answer(stage: Stage, worker: InThread) -> bool:
    query = Query(text="what is it")
    topics = stage.admin.settings.kafka
    before = len(stage.admin.answers())
    with stage.admin.sink() as sink:
        sink.send([Outgoing(topics.queries, query.encode())])
    return come_to(worker, lambda: len(stage.admin.answers()) > before, "answered")


def correct(stage: Stage, worker: InThread) -> bool:
    topics, word = stage.admin.settings.kafka, secrets.token_hex(4)
    before, letters = len(stage.admin.read(topics.texts)), len(stage.admin.dead_letters())
    said = Feedback(question=f"who is {word}", verdict="wrong", answer="nobody")
    with stage.admin.sink() as sink:
        sink.send([Outgoing(topics.feedback, said.encode()), Outgoing(topics.feedback, b"no feedback")])

    def done() -> bool:
        return len(stage.admin.read(topics.texts)) > before and len(stage.admin.dead_letters()) > letters

    return come_to(worker, done, "taught")


JOBS: dict[str, Job] = {"ingest": take_in, "solver": learn, "responder": answer, "feedback": correct}


@pytest.mark.parametrize("role", JOBS)
def test_a_role_does_its_job_with_its_rights(stage: Stage, role: str) -> None:
    with stage.running(role) as worker:
        assert JOBS[role](stage, worker), worker.said
    assert not [line for line in worker.lines if "right" in line], worker.lines


SETTINGS = System("", "", PREFIX, Path()).settings
KAFKA_CASES = [
    pytest.param(role, right, id=f"{role}: {right}")
    for role, rights in kafka_rights(SETTINGS).items()
    if role in JOBS
    for right in rights
]


@pytest.mark.parametrize(("role", "right"), KAFKA_CASES)
def test_without_a_right_on_kafka_a_role_names_it(stage: Stage, role: str, right: KafkaRight) -> None:
    stage.kafka.take_away(role, [right])
    try:
        with stage.running(role) as worker:
            done = JOBS[role](stage, worker)
    finally:
        stage.kafka.allow(role, [right])
    assert right.operation in worker.said, worker.said
    assert right.name in worker.said
    assert done == right.optional, worker.said
    if not right.optional:
        assert isinstance(worker.error, ConfigurationError)


@pytest.mark.parametrize(
    ("role", "right"),
    [pytest.param(*case.values, id=case.id) for case in KAFKA_CASES if not case.values[1].optional],  # type: ignore[union-attr]
)
def test_a_running_worker_names_a_right_on_kafka_that_is_taken_away(
    stage: Stage, role: str, right: KafkaRight
) -> None:
    try:
        with stage.running(role) as worker:
            assert JOBS[role](stage, worker), worker.said
            stage.kafka.take_away(role, [right])
            done = JOBS[role](stage, worker)
            if done and (role, right.name) == ("responder", "rights-dead"):
                return  # no question has ended a process: it was not used
            wait_for(lambda: worker.error, DEADLINE_S, "ended")  # what was in hand may still be done
    finally:
        stage.kafka.allow(role, [right])
    assert isinstance(worker.error, ConfigurationError)
    assert right.operation in worker.said, worker.said
    assert right.name.removesuffix("/") in worker.said


USERS = redis_users(SETTINGS.redis)
REDIS_CASES = [
    pytest.param(role, rule, id=f"{role}: {rule}")
    for role, user in USERS.items()
    if role in JOBS
    for rule in (*(f"+{command}" for command in (*user.commands, *user.optional)), *user.keys)
]


@pytest.mark.parametrize(("role", "rule"), REDIS_CASES)
def test_without_a_right_on_redis_a_role_names_it(stage: Stage, role: str, rule: str) -> None:
    stage.grant(role, without=rule)
    try:
        with stage.running(role) as worker:
            if optional := rule.removeprefix("+") in USERS[role].optional:
                wait_for(lambda: "started" in worker.lines, DEADLINE_S)
            else:
                worker.thread.join(DEADLINE_S)
    finally:
        stage.grant(role)
    if optional:
        assert "does not tell its" in worker.said
        return
    assert isinstance(worker.error, ConfigurationError), worker.said
    named = rule.removeprefix("+").partition("~")[2] or rule.removeprefix("+")
    assert named.replace("*", "x") in str(worker.error)
    assert "hurnet rights --redis" in str(worker.error)


IN_THE_MIDDLE = [
    *(("ingest", f"+{command}") for command in ("hdel", "hincrby", "hset", "hsetnx", "xadd", "zadd", "zrem")),
    *(("ingest", f"~{PREFIX}:{{shard-*"), ("ingest", f"~{PREFIX}:contexts")),
    *(("solver", f"+{command}") for command in ("hdel", "hset", "multi", "srem", "xdel", "zadd")),
    ("solver", f"~{PREFIX}:{{solver}}:*"),
]


@pytest.mark.parametrize(("role", "rule"), IN_THE_MIDDLE)
def test_a_right_on_redis_that_is_taken_away_leaves_nothing_half_done(
    stage: Stage, role: str, rule: str
) -> None:
    """Redis does not take back what a script has done before it was refused a command."""
    with ExitStack() as stack:
        worker = stack.enter_context(stage.running(role))
        assert JOBS[role](stage, worker), worker.said
        stage.grant(role, without=rule)
        try:
            assert not JOBS[role](stage, worker), "it was not used"
        finally:
            stage.grant(role)
        assert isinstance(worker.error, ConfigurationError)
        assert rule.startswith("~") or f"'{rule[1:]}'" in str(worker.error)
        again = stack.enter_context(stage.running(role))
        assert JOBS[role](stage, again), again.said
    assert Counter(stage.admin.texts_in_store()).most_common(1)[0][1] == 1, "a text is there twice"


@pytest.mark.timeout(600)
def test_operators_and_clients_do_their_jobs_with_their_rights(stage: Stage) -> None:
    def run(user: str, *command: str, store: str = "", **more: Any) -> str:
        variables = stage.kafka.variables(user)
        if store:
            variables |= stage.store.variables(store, f"redis-{store}")
        done = stage.admin.run(*command, **more, **variables)
        assert done.returncode == more.pop("code", 0), done.stderr
        assert "right" not in done.stderr
        return done.stdout

    run("operator", "topics")
    run("operator", "topics", "--create")
    seen = run("producer", "produce", stdin="a text to find\n").split("watermarks ")[1].strip()
    run("producer", "produce", __file__, "--format", "lines", "--context", "files", "--skip-invalid")
    with stage.running("ingest"), stage.running("solver"), stage.running("responder"):
        question = ("a text to find", "--after", seen, "--timeout", "60")
        assert "a text to find" in run("client", "ask", *question)
        assert "default" in run("operator", "status", store="reader")
        assert "default" in run("operator", "contexts", store="reader")
        run("operator", "weights", store="reader")
        run("operator", "forget", "--entry", "0/1", "--wait", "100", store="operator")
        run("operator", "verify", store="reader")
        run("operator", "unanswered")
        run("operator", "dead-letters")


def test_a_canary_probes_with_its_rights(stage: Stage) -> None:
    with stage.running("ingest"), stage.running("responder"), stage.running("canary") as canary:

        def found() -> bool:
            page = canary.metrics.exposition().decode()
            return metric(page, 'hurnet_canary_probes_total{outcome="ok"}') > 0

        assert come_to(canary, found, "answered as the canary wants it")


def test_a_gateway_teaches_corrects_and_forgets_with_its_rights(stage: Stage) -> None:
    variables = stage.kafka.variables("gateway") | stage.store.variables("gateway", "redis-gateway")
    (port,) = free_ports(1)
    running = stage.admin.start("gateway", HURNET_GATEWAY_PORT=str(port), **variables).wait_ready()
    try:
        with (
            stage.running("ingest"),
            stage.running("solver"),
            stage.running("responder"),
            stage.running("feedback"),
            Client(f"http://{HOST}:{port}", timeout=DEADLINE_S) as client,
        ):
            seen = client.teach("what is a gateway", "a door", key="door")
            assert client.ask("what is a gateway", after=seen).answer == "a door"
            seen = client.correct("what is a gateway", "a gate").watermarks
            assert client.ask("what is a gateway", after=seen).answer == "a gate"
            client.wait(client.forget(key="door").watermarks)
            for path in ("status", "contexts", "dead-letters", "contexts/default/entries"):
                page = f"http://{HOST}:{port}/v1/{path}"
                with urllib.request.urlopen(page, timeout=DEADLINE_S) as response:
                    assert response.status == 200
        assert not [line for line in running.said().splitlines() if " right" in line]
    finally:
        running.terminate()


RATE = 20_000
"""Bytes a second."""


def test_a_client_over_its_quota_waits_and_others_are_answered(stage: Stage) -> None:
    stage.kafka.limit("client", producer_byte_rate=RATE)
    queries = stage.admin.settings.kafka.queries
    # One batch, so that it waits with nothing in hand: a producer of kafka-python that has something spins.
    kafka = stage.settings("client").kafka
    client = connected(KafkaProducer, kafka, acks="all", batch_size=1 << 20, linger_ms=200)
    with stage.running("responder") as worker:
        assert answer(stage, worker), worker.said  # it has started
        for batches in (25, 35, 45):  # others are to be answered within the pause, however slow this machine
            for sent in [client.send(queries, b"x" * RATE, partition=0) for _ in range(batches)]:
                sent.get(DEADLINE_S)
            assert answer(stage, worker), worker.said
            late = client.send(queries, b"x")
            try:
                late.get(0.5)
            except KafkaTimeoutError:  # when the others have been answered, it still waits
                break
        else:
            pytest.fail("it did not wait")
        late.get(DEADLINE_S)
    client.close()
