"""Several nodes of Apache Kafka as one cluster, for tests that lose one of them."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from hurnet_stream.local.kafka import KafkaServer, Seat, random_id
from hurnet_stream.local.loopback import free_ports

_log = logging.getLogger(__name__)


class KafkaCluster:
    """`size` nodes, all broker and controller; `nodes` may be stopped, killed and restarted singly.

    With three, everything is kept three times and a write waits for two, so that any one node may be lost.
    """

    def __init__(
        self,
        size: int = 3,
        data: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = _log.info,
        timeout: float = 90.0,
    ) -> None:
        folders = [data / f"node-{i}" if data else None for i in range(1, size + 1)]
        ports = free_ports(2 * size)
        voters = dict(enumerate(ports[size:], start=1))
        self._keeps_data = data is not None
        known = (_cluster_id(folder) for folder in folders if folder)
        cluster = next(filter(None, known), None) or random_id()
        self.nodes = [
            KafkaServer(
                folder,
                port=port,
                settings=settings,
                say=say,
                timeout=timeout,
                seat=Seat(node, voters, cluster),
            )
            for node, folder, port in zip(voters, folders, ports[:size], strict=True)
        ]

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes, separated by commas."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> Self:
        """Start all nodes, and return once each of them serves clients and is known to the cluster.

        Raises:
            ServerError: one of them could not be started; then none is left running.
        """
        self.nodes[0].install()
        try:
            self._each(KafkaServer.start)
        except BaseException:
            self._each(KafkaServer.kill)
            raise
        return self

    def stop(self) -> None:
        """Stop the nodes that run, one after the other while they are a majority; the rest are killed.

        A broker that stops asks the controllers for leave, and without a majority of them it would wait for
        minutes. Killing loses nothing: what was acknowledged is with the kernel, and on the nodes that were
        stopped before.
        """
        running = [node for node in self.nodes if node.running]
        for left in range(len(running), 0, -1):
            end = KafkaServer.stop if left > len(self.nodes) // 2 else KafkaServer.kill
            end(running[-left])

    def _each(self, act: Callable[[KafkaServer], object]) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as pool:  # together: none is ready without the others
            list(pool.map(act, self.nodes))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeps_data:
            self.stop()
        self._each(KafkaServer.close)


def _cluster_id(folder: Path) -> str | None:
    """The id of the cluster that this data folder belongs to, if it belongs to one."""
    file = folder / "log" / "meta.properties"
    lines = file.read_text("ascii").splitlines() if file.exists() else []
    return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), None)
