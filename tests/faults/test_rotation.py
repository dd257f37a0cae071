"""Passwords, tokens and certificates change under running workers, which go on or say what they wait for."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from kafka.admin import ConfigResource

from hurnet_schemas import TextEvent
from hurnet_stream.operations.rights import kafka_rights
from hurnet_stream.settings.settings import KafkaSettings, Settings
from tests.acceptance.system import System, wait_for
from tests.faults.in_thread import DEADLINE_S, InThread, come_to, logged_to
from tests.secured import Authority, SecuredKafka, SecuredRedis, secured_kafka, secured_redis

PREFIX = "rotation"
SESSION_S = 3.0
"""A connection to this broker must log in again so often."""
RULES = {
    "listener.name.sasl_ssl.connections.max.reauth.ms": str(round(SESSION_S * 1000)),
    "listener.name.sasl_ssl.ssl.allow.dn.changes": "true",
    "listener.name.sasl_ssl.ssl.allow.san.changes": "true",
}
KEYSTORE = "listener.name.sasl_ssl.ssl.keystore.location"


class Stage:
    """Servers, and the files that a worker finds its secrets in."""

    def __init__(self, kafka: SecuredKafka, store: SecuredRedis, folder: Path) -> None:
        self.kafka, self.store = kafka, store
        self.admin = System(kafka.inner, store.server.url, PREFIX, folder).create_topics()
        self.files = {name: folder / name for name in ("kafka", "redis", "token")}
        self.lines: list[str] = []
        for user in ("worker", "token-worker"):
            kafka.allow(user, kafka_rights(self.admin.settings)["ingest"])
        self.change("kafka", "first")
        self.change("redis", "first")

    def change(self, server: str, password: str, in_file: bool = True) -> None:
        if server == "kafka":
            self.kafka.set_password("worker", password)
        else:
            self.store.set_user("worker", password, ["~*", "+@all"])
        if in_file:
            self.files[server].write_text(f"{password}\n")

    def settings(self, **more: str) -> Settings:
        variables = {
            **self.admin.variables,
            **self.kafka.variables("worker"),
            **self.store.variables("worker", ""),
            "HURNET_KAFKA_PASSWORD_FILE": str(self.files["kafka"]),
            "HURNET_REDIS_PASSWORD_FILE": str(self.files["redis"]),
            **more,
        }
        del variables["HURNET_KAFKA_PASSWORD"], variables["HURNET_REDIS_PASSWORD"]
        return System("", "", PREFIX, Path(), **variables).settings

    @contextmanager
    def running(self, **more: str) -> Iterator[InThread]:
        self.lines.clear()
        worker = InThread("ingest", self.settings(**more), self.lines).start()
        try:
            assert self.takes_in(worker), worker.said
            yield worker
        finally:
            worker.stop()

    def takes_in(self, worker: InThread) -> bool:
        text = f"text {secrets.token_hex(4)}"
        self.admin.teach([TextEvent(text=text)])
        return come_to(worker, lambda: text in self.admin.texts_in_store(), "taken in")

    def cut_off(self) -> None:
        """End the worker's connections to Redis, as a failover would."""
        with self.store.administrator() as client:
            client.execute_command("CLIENT", "KILL", "USER", "worker")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("rotation")
    authority = Authority(folder)
    with secured_kafka(authority, RULES) as kafka, secured_redis(authority) as store:
        yield Stage(kafka, store, folder)


@pytest.fixture(autouse=True)
def _kept_lines(stage: Stage) -> Iterator[None]:
    with logged_to(stage.lines):
        yield


def unready(worker: InThread) -> str:
    return "; ".join(worker.loop.unready())


@contextmanager
def nobody_reads_passwords(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Until the end of the block, so that for the worker broker and file change at one moment."""
    ended, current = threading.Event(), KafkaSettings.current

    def later(settings: KafkaSettings, name: str) -> str | None:
        ended.wait(DEADLINE_S)
        return current(settings, name)

    with monkeypatch.context() as patched:
        patched.setattr(KafkaSettings, "current", later)
        time.sleep(0.5)  # a log-in with the old one comes to its end
        try:
            yield
        finally:
            ended.set()


def test_a_password_of_kafka_that_is_changed_with_its_file_is_not_noticed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage.running() as worker:
        with nobody_reads_passwords(monkeypatch):
            stage.change("kafka", "second")
        time.sleep(2 * SESSION_S)  # each connection has logged in again
        assert stage.takes_in(worker), worker.said
    assert not [line for line in stage.lines if "refused" in line]


def test_a_password_of_kafka_whose_file_comes_late_is_waited_for(stage: Stage) -> None:
    with stage.running() as worker:
        stage.change("kafka", "third", in_file=False)
        wait_for(lambda: "Authentication failed" in unready(worker), DEADLINE_S, "refused")
        assert any("a password or certificate was changed" in line for line in stage.lines), stage.lines
        stage.files["kafka"].write_text("third")
        assert stage.takes_in(worker), worker.said
        wait_for(lambda: not unready(worker), DEADLINE_S, "ready again")


@pytest.mark.parametrize("late", [False, True])
def test_a_password_of_redis_that_is_changed(stage: Stage, late: bool) -> None:
    with stage.running() as worker:
        stage.change("redis", f"changed-{late}", in_file=not late)
        stage.cut_off()
        if late:
            wait_for(lambda: "refuses the one it got" in unready(worker), DEADLINE_S, "refused")
            stage.files["redis"].write_text(f"changed-{late}")
        assert stage.takes_in(worker), worker.said


def test_open_connections_to_redis_go_on_with_an_old_password_and_a_warning_says_so(stage: Stage) -> None:
    with stage.running() as worker:
        stage.change("redis", "unknown", in_file=False)
        wait_for(lambda: any("refuses new connections" in line for line in stage.lines), DEADLINE_S)
        assert stage.takes_in(worker), worker.said
        assert not unready(worker)
    stage.change("redis", "known")


def test_a_certificate_of_redis_that_has_expired_is_named_and_a_new_one_taken(stage: Stage) -> None:
    authority = stage.store.authority

    def show(name: str, expires: timedelta) -> None:
        certificate, key = authority.issue(name, expires)
        with stage.store.administrator() as client:
            client.config_set("tls-cert-file", str(certificate), "tls-key-file", str(key))

    with stage.running() as worker:
        show("expired", timedelta(seconds=-10))
        stage.cut_off()
        wait_for(lambda: "certificate has expired" in unready(worker), DEADLINE_S, "named")
        show("renewed", timedelta(days=1))
        assert stage.takes_in(worker), worker.said


def test_a_certificate_of_our_own_is_renewed_in_its_file(stage: Stage) -> None:
    certificate, key = stage.store.authority.issue("worker")
    files = {"HURNET_REDIS_CERT_FILE": str(certificate), "HURNET_REDIS_KEY_FILE": str(key)}
    with stage.store.administrator() as client:
        client.config_set("tls-auth-clients", "yes")
    try:
        with stage.running(**files) as worker:
            stage.store.authority.issue("worker", timedelta(seconds=-10))
            stage.cut_off()
            wait_for(lambda: "refuses our certificate" in unready(worker), DEADLINE_S, "refused")
            stage.store.authority.issue("worker")
            assert stage.takes_in(worker), worker.said
    finally:
        with stage.store.administrator() as client:
            client.config_set("tls-auth-clients", "no")


def test_a_certificate_of_kafka_that_has_expired_is_named_and_a_new_one_taken(stage: Stage) -> None:
    def show(expires: timedelta) -> None:
        """Kafka reads the file again if its path is set again, which an administrator can do."""
        bundle = stage.kafka.authority.bundle(f"kafka-{secrets.token_hex(4)}", expires)
        with stage.kafka.administrator() as admin:
            resource = ConfigResource("broker", "1", configs={KEYSTORE: str(bundle)})
            admin.alter_configs([resource], raise_on_unknown=False)

    with stage.running() as worker:
        show(timedelta(seconds=-10))
        stage.change("kafka", "fourth", in_file=False)  # ends its connections, when they log in again
        wait_for(lambda: "certificate has expired" in unready(worker), DEADLINE_S, "named")
        stage.files["kafka"].write_text("fourth")
        show(timedelta(days=1))
        assert stage.takes_in(worker), worker.said


def token(user: str, seconds: float) -> str:
    """An unsigned token, which the tests' broker believes."""

    def part(values: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()

    now = time.time()
    return f"{part({'alg': 'none'})}.{part({'sub': user, 'iat': now, 'exp': now + seconds})}."


@contextmanager
def renewed(file: Path, make: Callable[[], str], every_s: float) -> Iterator[None]:
    """What a sidecar does that keeps a token fresh."""
    done = threading.Event()

    def keep() -> None:
        while not done.is_set():
            new = file.with_suffix(".new")
            new.write_text(make())
            new.replace(file)
            done.wait(every_s)

    file.write_text(make())
    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_tokens_are_renewed_for_as_long_as_a_worker_runs(stage: Stage) -> None:
    file = stage.files["token"]
    oauth = {"HURNET_KAFKA_SASL_MECHANISM": "OAUTHBEARER", "HURNET_KAFKA_TOKEN_FILE": str(file)}
    with renewed(file, lambda: token("token-worker", 10), every_s=1), stage.running(**oauth) as worker:
        time.sleep(21)  # more than two lives of a token
        assert stage.takes_in(worker), worker.said
    with renewed(file, lambda: token("token-worker", -60), every_s=1):
        ended = InThread("ingest", stage.settings(**oauth), stage.lines).start()
        ended.thread.join(DEADLINE_S)
        assert "refuses us" in ended.said
