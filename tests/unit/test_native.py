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
    for source in native.sources(LIBRARY.parent):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    return tmp_path


@needs_compiler
def test_what_is_built_loads_and_knows_the_cpu(sources: Path) -> None:
    assert build(sources) is None
    loaded = native._load(sources / LIBRARY.name)
    assert loaded is not None
    found = CpuFeature(loaded.hurnet_cpu_features())
    assert CpuFeature.AVX512 in found or CpuFeature.VNNI not in found
    assert sorted(file.suffix for file in sources.iterdir() if file.suffix not in (".c", ".h")) == [".so"]


@needs_compiler
def test_a_library_of_other_sources_is_not_used(sources: Path) -> None:
    assert build(sources) is None
    (sources / "cpu.c").write_text((sources / "cpu.c").read_text() + "\n/* newer */\n")
    assert native._load(sources / LIBRARY.name) is None


def test_without_a_compiler_there_is_a_reason_and_no_library(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(sources))
    monkeypatch.delenv("CC", raising=False)
    assert "clang" in (build(sources) or "")
    assert native._load(sources / LIBRARY.name) is None


@needs_compiler
def test_sources_that_do_not_compile_leave_the_old_library(sources: Path) -> None:
    assert build(sources) is None
    before = (sources / LIBRARY.name).read_bytes()
    (sources / "cpu.c").write_text("int broken(")
    assert "failed" in (build(sources) or "")
    assert (sources / LIBRARY.name).read_bytes() == before


def test_a_damaged_library_is_not_used(sources: Path) -> None:
    (sources / LIBRARY.name).write_bytes(b"\x7fELF no more")
    assert native._load(sources / LIBRARY.name) is None


def test_disabled_is_as_if_there_were_none() -> None:
    with native.disabled():
        assert native.library() is None
        assert native.features() == CpuFeature(0)
