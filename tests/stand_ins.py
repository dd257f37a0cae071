"""Servers as production has them: a proxy whose target moves, a Sentinel, a broker that wants a password."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from typing_extensions import override

from hurnet_stream.local import KafkaServer, ValkeyServer
from hurnet_stream.local.kafka import Seat, random_id
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.local.server import Server


def _loopbacks() -> list[str]:
    """The loopback addresses of this machine. Some containers have no IPv6."""
    with contextlib.suppress(OSError):
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return [HOST, "::1"]
    return [HOST]


LOOPBACKS = _loopbacks()


class Forwarder:
    """A TCP proxy that stands for a virtual address: when `target` changes, new connections go there, and the
    old ones stay where they are."""

    def __init__(self, target: int, host: str = HOST) -> None:
        self.target = target
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def used(self) -> bool:
        return bool(self._open)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection((HOST, self.target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._open += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_copy, args=pair, daemon=True).start()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            _end(connection)
        self._thread.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            sink.sendall(part)
    _end(source)
    _end(sink)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class SentinelServer(Server):
    """A Sentinel that watches `primary` by the name `store`. If `quorum` of its kind miss the primary, they
    promote a replica within seconds."""

    name = "sentinel"

    def __init__(self, primary: ValkeyServer, password: str = "", quorum: int = 1) -> None:
        self.port = free_ports(1)[0]
        super().__init__(None, [self.port], 30.0)
        self._primary = primary
        self.password = password
        self._quorum = quorum

    @property
    def url(self) -> str:
        return f"sentinel+redis://{HOST}:{self.port}/store/0"

    @override
    def _prepare(self) -> list[str]:
        lines = [
            *(f"bind {HOST}", f"port {self.port}", "dir ."),
            f"sentinel monitor store {HOST} {self._primary.port} {self._quorum}",
            "sentinel down-after-milliseconds store 3000",  # ten times that, and a cut off replica is no good
            "sentinel failover-timeout store 2000",
            *([f"requirepass {self.password}"] if self.password else []),
        ]
        (self.data / "sentinel.conf").write_text("\n".join(lines) + "\n")
        return [str(self._primary.binary), "sentinel.conf", "--sentinel"]

    @override
    def _ready(self) -> bool:
        try:
            with self.admin() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def admin(self) -> Any:
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(HOST, self.port, password=self.password or None, socket_timeout=2, retry=retry)

    def knows_a_replica(self) -> bool:
        with self.admin() as client:
            return bool(client.sentinel_slaves("store"))


def admin(server: ValkeyServer) -> Any:
    return redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))


def is_synced(replica: ValkeyServer) -> bool:
    with admin(replica) as client:
        return bool(client.info("replication").get("master_link_status") == "up")


@contextlib.contextmanager
def password_broker(rules: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """A broker with two listeners, and with `rules` among its settings: the address of the one that asks
    nothing, and a client's settings for the one that wants a password."""
    inner, outer, controller = free_ports(3)
    listeners = {"PLAINTEXT": inner, "SASL_PLAINTEXT": outer, "CONTROLLER": controller}
    users = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_me="right";'
    settings = {
        "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items()),
        "listener.security.protocol.map": ",".join(
            f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in listeners
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": users,
        **rules,
    }
    seat = Seat(1, {1: controller}, random_id())
    with KafkaServer(port=inner, settings=settings, seat=seat):
        yield (
            f"{HOST}:{inner}",
            {
                "bootstrap": f"{HOST}:{outer}",
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "username": "me",
                "password": "right",
            },
        )
