"""The native kernels: built where there is a compiler, and done without where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hurnet_stream.core import native
from hurnet_stream.core.native import LIBRARY, CpuFeature
from hurnet_stream.core.native.build import build

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return copy(LIBRARY.parent, tmp_path)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and their library, which takes ten seconds: tests that change them take a copy."""
    folder = copy(LIBRARY.parent, tmp_path_factory.mktemp("compiled"))
    assert build(folder) is None
    return folder


@pytest.fixture
def built(compiled: Path, tmp_path: Path) -> Path:
    """A copy of the sources and of their library."""
    (tmp_path / LIBRARY.name).write_bytes((compiled / LIBRARY.name).read_bytes())
    return copy(compiled, tmp_path)


def copy(folder: Path, into: Path) -> Path:
    for source in native.sources(folder):
        (into / source.name).write_bytes(source.read_bytes())
    return into


@needs_compiler
def test_what_is_built_loads_and_knows_the_cpu(compiled: Path) -> None:
    loaded = native._load(compiled / LIBRARY.name)
    assert loaded is not None
    found = CpuFeature(loaded.hurnet_cpu_features())
    assert CpuFeature.AVX512 in found or CpuFeature.VNNI not in found
    assert sorted(file.suffix for file in compiled.iterdir() if file.suffix not in (".c", ".h")) == [".so"]


@needs_compiler
def test_a_library_of_other_sources_is_not_used(built: Path) -> None:
    (built / "cpu.c").write_text((built / "cpu.c").read_text() + "\n/* newer */\n")
    assert native._load(built / LIBRARY.name) is None


def test_without_a_compiler_there_is_a_reason_and_no_library(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(sources))
    monkeypatch.delenv("CC", raising=False)
    assert "clang" in (build(sources) or "")
    assert native._load(sources / LIBRARY.name) is None


@needs_compiler
def test_sources_that_do_not_compile_leave_the_old_library(built: Path) -> None:
    before = (built / LIBRARY.name).read_bytes()
    for source in built.glob("*.c"):
        source.write_text("int broken(")
    assert "failed" in (build(built) or "")
    assert (built / LIBRARY.name).read_bytes() == before


def test_a_damaged_library_is_not_used(sources: Path) -> None:
    (sources / LIBRARY.name).write_bytes(b"\x7fELF no more")
    assert native._load(sources / LIBRARY.name) is None


def test_disabled_is_as_if_there_were_none() -> None:
    with native.disabled():
        assert native.library() is None
        assert native.features() == CpuFeature(0)
