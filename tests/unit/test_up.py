"""`hurnet up`: everything is found where it was the last time, and whoever finds a port taken is told."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from hurnet_stream.command_line import hurnet
from hurnet_stream.commands.up import METRICS_PORTS, WORKERS
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.local import page as local_page
from hurnet_stream.local import server
from hurnet_stream.local import system as local_system
from hurnet_stream.local.folders import locked
from hurnet_stream.local.loopback import HOST, free_ports, port_or_free
from hurnet_stream.local.page import Page, page_of
from hurnet_stream.local.server import how_ended
from hurnet_stream.local.signals import interruptible
from hurnet_stream.local.system import LocalSystem
from hurnet_stream.settings.settings import GatewaySettings, KafkaSettings


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


def test_the_console_is_at_the_port_of_the_settings_or_at_a_free_one_and_that_is_said(taken: int) -> None:
    said: list[str] = []
    (free,) = free_ports(1)
    page = page_of(GatewaySettings(port=free), said.append)
    assert page == Page(f"http://127.0.0.1:{free}", {"HURNET_GATEWAY_PORT": str(free)})
    assert said == []
    other = page_of(GatewaySettings(port=taken), said.append)
    (told,) = said
    assert str(taken) in told
    assert other.address != f"http://127.0.0.1:{taken}"
    assert other.environment["HURNET_GATEWAY_PORT"] == other.address.rpartition(":")[2] in told


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:{}"),  # noqa: S104 (nothing listens there)
        ("::", "http://127.0.0.1:{}"),
        ("::1", "http://[::1]:{}"),
        ("[::1]", "http://[::1]:{}"),
        ("10.0.0.7", "http://10.0.0.7:{}"),
    ],
)
def test_the_address_is_one_that_a_browser_can_open(host: str, address: str) -> None:
    (port,) = free_ports(1)
    settings = GatewaySettings.model_construct(host=host, port=port)
    assert page_of(settings, lambda _: None).address == address.format(port)


def test_without_the_gateway_s_packages_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_page, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"hurnet-stream\[gateway\]"):
        page_of(GatewaySettings(), lambda _: None)


@pytest.mark.parametrize("option", ["--console", "--canary"])
def test_what_asks_the_workers_goes_with_workers(option: str) -> None:
    result = CliRunner().invoke(hurnet, ["up", option])
    assert result.exit_code == 2
    assert f"{option} goes with --workers" in result.output


def test_two_systems_that_start_together_choose_other_ports() -> None:
    (port,) = free_ports(1)
    program = (
        "import sys; from hurnet_stream.local.loopback import port_or_free as p; print(p(int(sys.argv[1])))"
    )
    assert port_or_free(port) == port_or_free(port) == port  # nothing listens yet
    other = subprocess.run([sys.executable, "-c", program, str(port)], capture_output=True, check=True)
    assert int(other.stdout) != port


def test_ctrl_c_while_all_is_being_ended_ends_it_at_once_and_interrupts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended: list[str] = []

    class Slow(Started):
        def wait(self, timeout: float) -> None:
            signal.raise_signal(signal.SIGINT)
            ended.append(f"waited for {self.name}")

        def end_at_once(self) -> None:
            ended.append(f"killed {self.name}")

    monkeypatch.setattr(local_system, "WorkerProcess", Slow)
    said: list[str] = []

    def run() -> None:
        with interruptible(), LocalSystem(tmp_path, said.append, KafkaSettings(), {}) as system:
            system.start_workers(["ingest", "solver"])
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run()
    both = ["killed ingest", "killed solver"]
    assert ended == [*both, "waited for ingest", *both, "waited for solver"]
    assert said[-1] == "ending everything; once more Ctrl-C ends it at once"


@pytest.mark.parametrize(
    ("code", "said"),
    [(0, "ended with code 0"), (2, "ended with code 2"), (137, "was ended by SIGKILL"), (255, "code 255")],
)
def test_how_a_process_has_ended_is_in_words(code: int, said: str) -> None:
    assert said in how_ended(code)


def test_a_folder_that_can_t_be_made_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        LocalSystem(tmp_path / "file", lambda _: None, KafkaSettings(), {}) as system,
        pytest.raises(ConfigurationError, match=r"file/valkey: Not a directory.*--data DIR"),
    ):
        system.start_servers()


def test_a_folder_in_use_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LOCK_S", 0.0)
    with (
        locked(tmp_path / "valkey", 0),
        LocalSystem(tmp_path, lambda _: None, KafkaSettings(), {}) as system,
        pytest.raises(ConfigurationError, match="--data DIR"),
    ):
        system.start_servers()
