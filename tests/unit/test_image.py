"""The image: what goes into it is known to the byte, and nobody in it is root. (No engine builds it here.)"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
LAST_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {path.stem: path.read_text() for path in (ROOT / "deploy/requirements").glob("*.txt")}
PINS: dict[str, Requirement] = {
    canonicalize_name(pin.name): pin
    for pin in map(Requirement, (ROOT / "constraints.txt").read_text().splitlines())
}


def _locked(name: str) -> dict[str, Requirement]:
    """The packages of one lock, by name."""
    lines = re.findall(r"^(\S[^\\\n]*?) ?\\?$", LOCKS[name], re.MULTILINE)
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_of_exact_versions_with_hashes_and_of_no_place(name: str) -> None:
    blocks = re.findall(r"^\S.*(?:\n .*)*", LOCKS[name], re.MULTILINE)
    assert len(blocks) == len(_locked(name)) > 0
    for block in blocks:
        assert re.fullmatch(
            r"[\w.-]+==[\w.]+(?: ; [^\\\n]+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\\n|$))+", block
        ), block


@pytest.mark.parametrize("name", [name for name in LOCKS if name != "build"])
def test_the_image_runs_the_versions_that_are_tested(name: str) -> None:
    for package, pin in _locked(name).items():
        assert pin.specifier == PINS[package].specifier, package


def test_a_lock_holds_all_that_is_wanted() -> None:
    base = _locked("base")
    extras = PROJECT["project"]["optional-dependencies"]
    assert {canonicalize_name(Requirement(each).name) for each in PROJECT["project"]["dependencies"]} <= set(
        base
    )
    for extra in set(LOCKS) - {"base", "build"}:
        wanted = {canonicalize_name(Requirement(each).name) for each in extras[extra]}
        assert wanted <= set(base) | set(_locked(extra))
        assert not set(base) & set(_locked(extra)), "each once: pip takes two locks together"
    (backend,) = map(Requirement, PROJECT["build-system"]["requires"])
    (version,) = _locked("build")[backend.name].specifier
    assert backend.specifier.contains(version.version)


def test_every_extra_of_a_running_worker_can_be_had() -> None:
    not_for_workers = {"local", "dev", "bench", "simd", "client"}
    extras = set(PROJECT["project"]["optional-dependencies"]) - not_for_workers
    assert set(LOCKS) - {"base", "build"} == extras


def test_no_cuda_unless_it_is_wanted() -> None:
    assert not [name for name in _locked("base") if name.startswith(("torch", "nvidia", "triton"))]
    assert re.search(r"^ARG EXTRAS=gateway$", DOCKERFILE, re.MULTILINE)


def test_all_stages_stand_on_one_image_that_is_pinned_by_digest() -> None:
    (base,) = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert re.fullmatch(r"python:3\.13\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)


def test_nothing_is_installed_without_a_hash() -> None:
    commands = re.findall(r"pip (?:--python \S+ )?(install|wheel) (.*)", DOCKERFILE)
    assert len(commands) == 4
    for _, options in commands:
        assert "--require-hashes" in options or {"--no-deps", "--no-index"} <= set(options.split())
    assert "PIP_ONLY_BINARY=:all:" in DOCKERFILE, (
        "else a package could run its own code while it is installed"
    )


def test_what_is_shipped_has_kernels_no_compiler_no_pip_and_no_root() -> None:
    assert "assert library()" in DOCKERFILE
    assert "gcc" not in LAST_STAGE
    assert "pip" not in LAST_STAGE
    assert "venv --without-pip /opt/hurnet" in DOCKERFILE
    assert re.search(r"^USER [1-9]\d*$", LAST_STAGE, re.MULTILINE)
    assert 'ENTRYPOINT ["hurnet"]' in LAST_STAGE


def test_the_build_sees_all_that_it_copies_and_nothing_else() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for path in " ".join(copied).split():
        assert any(entry == path or entry.startswith(f"{path}/") for entry in allowed), path
