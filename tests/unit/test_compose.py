"""The compose file as Compose itself reads it, and what its images are."""

from __future__ import annotations

from pathlib import Path

import yaml

from hurnet_stream.command_line import hurnet
from tests.tools import run

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose.yaml"
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
WITHOUT_DIGEST = {"kafka", "kafka-exporter"}
"""Images whose digests could not be looked up (docs/deployment.md)."""


def test_compose_reads_it_whole(tmp_path: Path) -> None:
    read = run("compose-go", "-format", "json", str(COMPOSE))
    assert read.returncode == 0, read.stderr
    model = yaml.safe_load(read.stdout)
    assert set(model["services"]) == set(SERVICES)
    assert all(service["networks"] for service in model["services"].values())


def test_compose_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    odd = tmp_path / "compose.yaml"
    odd.write_text(COMPOSE.read_text().replace("    mem_limit: 2g\n", "    memory_limit: 2g\n", 1))
    read = run("compose-go", str(odd))
    assert read.returncode != 0
    assert "memory_limit" in read.stderr + read.stdout


def test_foreign_images_are_pinned_by_digest_where_one_is_known() -> None:
    foreign = {
        name: each["image"] for name, each in SERVICES.items() if not each["image"].startswith("hurnet")
    }
    assert {name for name, image in foreign.items() if "@sha256:" not in image} == WITHOUT_DIGEST


def test_services_run_commands_that_exist() -> None:
    ours = {name: each["command"] for name, each in SERVICES.items() if each["image"].startswith("hurnet")}
    assert {command[0] for command in ours.values()} <= set(hurnet.commands)
    assert {name for name, command in ours.items() if command[0] != name} == set()
