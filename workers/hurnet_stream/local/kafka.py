"""A real Apache Kafka on loopback: a node that is broker and controller, alone or in a cluster."""

import base64
import hashlib
import logging
import os
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from typing_extensions import override

from hurnet_stream.local.errors import ServerError
from hurnet_stream.local.folders import locked, scratch
from hurnet_stream.local.jars import KAFKA, cache_folder, class_path, java, lock_text
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.local.server import TAIL_LINES, Server

_log = logging.getLogger(__name__)

JVM = (
    "-Xmx512m",
    # A quick start counts for more than speed later on: simple garbage collection, one level of compilation.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # no files in /tmp
    # Without these two the JVM and the class cache fill the log with warnings that nobody here can act on.
    "--sun-misc-unsafe-memory-access=allow",
    "-Xlog:aot*=error",
    "-Dlog4j2.StatusLogger.level=OFF",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=error",
    # It says if it leaves a transaction open for ever (decision 0353), and little else.
    "-Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction.TransactionMarkerChannelManager=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
# Kafka's own topics, whose replication must be 1 on a lone node: by default they want three brokers.
INTERNAL = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
PREPARE_S = 300.0
"""How long another process may take to prepare the classes."""
# Kafka's own defaults suit large clusters. These make a quick start, and a quick return after a crash.
SETTINGS = {
    "auto.create.topics.enable": "false",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.dedupe.buffer.size": str(4 << 20),
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


@dataclass(frozen=True)
class Seat:
    """A node's place in its cluster: its id, the controller port of each node by id, the cluster's id."""

    node: int
    voters: Mapping[int, int]
    cluster: str


class KafkaServer(Server):
    """One node, which is broker and controller: alone, or on its `seat` in a cluster.

    `settings` are broker settings that are added to ours or replace them. The first start on a machine
    fetches Kafka and prepares its classes for quick starts. That takes some twenty seconds, and `say` is
    called with what is going on.
    """

    name = "Apache Kafka"

    def __init__(
        self,
        data: Path | None = None,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = _log.info,
        timeout: float = 60.0,
        seat: Seat | None = None,
    ) -> None:
        own, controller = free_ports(2)
        self.port = port or own
        self.seat = seat or Seat(1, {1: controller}, random_id())
        super().__init__(data, [self.port, self.seat.voters[self.seat.node]], timeout)
        self._settings = dict(settings or {})
        self._say = say

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    def install(self) -> None:
        """Fetch Kafka and prepare its classes now, and not at the first start on this machine."""
        class_path(self._say)
        self._class_cache()

    @override
    def _prepare(self) -> list[str]:
        jars = class_path(self._say)
        jvm = [str(java()), *JVM, *self._class_cache(), "-cp", ":".join(map(str, jars))]
        self._write_properties(self.data)
        if not (self.data / "log" / "meta.properties").exists():
            self._format(jvm)
        return [*jvm, "kafka.Kafka", "server.properties"]

    @override
    def _ready(self) -> bool:
        try:
            with KafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5_000) as client:
                brokers = client.describe_cluster()["brokers"]
        except KafkaError:
            return False
        return any(broker["broker_id"] == self.seat.node for broker in brokers)

    def _write_properties(self, folder: Path) -> None:
        node, voters = self.seat.node, self.seat.voters
        replicas = min(3, len(voters))
        in_sync = max(1, replicas - 1)
        values = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": ",".join(f"{i}@{HOST}:{port}" for i, port in voters.items()),
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{voters[node]}",
            "log.dirs": "log",  # relative: a path with a comma in it would be two folders to Kafka
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            **{f"{topic}.replication.factor": replicas for topic in INTERNAL},
            **{f"{topic}.min.isr": in_sync for topic in INTERNAL[1:]},
            **SETTINGS,
            **self._settings,
        }
        lines = (f"{name}={_escaped(str(value))}\n" for name, value in values.items())
        (folder / "server.properties").write_text("".join(lines), "ascii")

    def _format(self, jvm: list[str]) -> None:
        """Format in a folder beside and move that into place: if it is cut short, nothing is left behind."""
        with scratch(self.data / "formatting") as folder:
            self._write_properties(folder)
            command = [*jvm, "kafka.tools.StorageTool", "format", f"--cluster-id={self.seat.cluster}"]
            done = subprocess.run(
                [*command, "--config=server.properties"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=self._timeout,
                check=False,
            )
            if done.returncode:
                end = (done.stdout + done.stderr).splitlines()[-TAIL_LINES:]
                raise ServerError("\n".join([f"{self.name} could not format {self.data}:", *end]))
            try:
                (folder / "log").rename(self.data / "log")
            except OSError as error:
                raise ServerError(f"{self.data / 'log'} holds files but isn't Kafka's") from error

    def _class_cache(self) -> list[str]:
        """The JVM's option for Kafka's classes, loaded and linked ahead of time: ready in 1.7 s, not 5."""
        # Another Java, other options or other jars have other classes.
        key = hashlib.sha256(f"{java()}{JVM}{lock_text()}".encode()).hexdigest()[:16]
        cache = cache_folder() / f"classes-{key}.aot"
        owner = owner_of(cache)
        if not (cache.exists() and owner.exists()):
            with locked(cache_folder(), PREPARE_S):
                owner.write_bytes(os.fsencode(java()))
                if not cache.exists():
                    remove_orphans(cache_folder())
                    self._say(f"preparing Apache Kafka {KAFKA} for quick starts, once")
                    _record_classes(cache)
        return [f"-XX:AOTCache={cache}"]


class _Recorder(KafkaServer):
    """A node that leaves the classes it has used beside its data folder when it stops, after some 7 s."""

    @override
    def _class_cache(self) -> list[str]:
        return []

    @override
    def _prepare(self) -> list[str]:
        program, *arguments = super()._prepare()
        return [program, "-XX:AOTCacheOutput=../classes.aot", *arguments]


def owner_of(cache: Path) -> Path:
    """The file that names the Java that the classes in `cache` are for."""
    return cache.with_suffix(".java")


def remove_orphans(folder: Path) -> None:
    """Remove classes whose Java is gone, as it is with its virtual environment: they take 65 MB each. Those
    that name none are older than such names, and are prepared anew if anybody needs them. A node that
    starts meanwhile starts without them."""
    for cache in folder.glob("classes-*.aot"):
        owner = owner_of(cache)
        if not (owner.exists() and Path(os.fsdecode(owner.read_bytes())).exists()):
            cache.unlink(missing_ok=True)
            owner.unlink(missing_ok=True)


def _record_classes(cache: Path) -> None:
    with scratch(cache.parent / "preparing") as folder:
        node = _Recorder(folder / "data", timeout=PREPARE_S)
        node.start().stop()
        recorded = folder / "classes.aot"
        if not recorded.exists():
            raise ServerError(f"{node.name} could not be prepared{node.tail()}")
        recorded.replace(cache)


def random_id() -> str:
    """A new cluster id: 16 random bytes in URL-safe base64, as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _escaped(value: str) -> str:
    """`value` as Java's properties files have it."""
    return "".join(c if " " <= c <= "~" and c != "\\" else f"\\u{ord(c):04x}" for c in value)
