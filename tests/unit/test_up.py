"""`hurnet up`: the workers' metrics have the same ports each time, and whoever finds one taken is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hurnet_stream.commands.up import METRICS_PORTS, WORKERS
from hurnet_stream.local import system as local_system
from hurnet_stream.local.loopback import HOST, free_ports
from hurnet_stream.local.system import LocalSystem
from hurnet_stream.settings.settings import KafkaSettings


class Started:
    """Stands for a worker process that is ready at once."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path, port: int | None = None) -> None:
        self.name, self.port = name, port

    def ready(self) -> bool:
        return True

    def ask_to_stop(self) -> None: ...

    def wait(self, timeout: float) -> None: ...


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_each_role_has_a_port_of_its_own_for_its_metrics() -> None:
    assert set(WORKERS) < METRICS_PORTS.keys()
    assert len(set(METRICS_PORTS.values())) == len(METRICS_PORTS)


def test_a_taken_port_is_replaced_and_that_is_said(
    taken: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_system, "WorkerProcess", Started)
    said: list[str] = []
    with LocalSystem(tmp_path, said.append, KafkaSettings(), {}) as system:
        (free,) = free_ports(1)
        system.start_workers(["ingest", "solver", "canary"], {"ingest": free, "solver": taken})
        ports = {worker.name: worker.port for worker in system.workers}
    assert ports["ingest"] == free
    assert ports["solver"] not in (None, taken)
    assert ports["canary"] is None
    (told,) = [line for line in said if "taken" in line]
    assert str(taken) in told
    assert "solver" in told
