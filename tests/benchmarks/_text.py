"""Real text to search in: lines of Debian's package descriptions, in five languages, as grid vectors.

They are fetched once with apt, where there is apt, into the user's cache folder: 630,000 distinct lines. Else
they are lines that read like text in the Python packages that are installed: 170,000.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.local.jars import cache_folder
from tests.benchmarks._report import say

LANGUAGES: Final = ("en", "it", "da", "fr", "de")  # of which there is most
FETCH_SECONDS: Final = 180
EMBEDDED_AT_ONCE: Final = 1 << 14
WORD: Final = re.compile(r"[^\W\d_]{2,}")
PROSE: Final = re.compile(r"\s*[A-Za-z][\w'-]*,?( [\w(),.'-]+){4,}")


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Grid rows, and queries of which the text is not among theirs. Beyond the `distinct` ones rows are
    repeated in the same order, so that the first of equal rows is always among the distinct ones."""

    distinct: Vectors
    queries: Vectors
    rows: int

    @property
    def dimension(self) -> int:
        return int(self.distinct.shape[1])

    def parts(self, size: int) -> Iterator[Vectors]:
        """All rows, so many at a time."""
        for first in range(0, self.rows, size):
            of = np.arange(first, min(first + size, self.rows))
            yield self.distinct[of % len(self.distinct)]

    def __str__(self) -> str:
        tiled = f" ({len(self.distinct):,} distinct, tiled)" if len(self.distinct) < self.rows else ""
        return f"{self.rows:,} rows{tiled}, d = {self.dimension}"


def corpora(embedder: str, rows: Sequence[int], queries: int) -> Iterator[Corpus]:
    """One of each number of rows, all with the same queries; a smaller one's rows begin a larger one's."""
    lines = sentences()
    chosen = np.random.default_rng(0).permutation(len(lines))[: max(rows) + queries].tolist()
    say(f"embedding {len(chosen):,} of {len(lines):,} distinct lines with {embedder}")
    vectors = _embedded(embedder, [lines[i] for i in chosen])
    for n in rows:
        yield Corpus(vectors[queries:][:n], vectors[:queries], n)


def _embedded(embedder: str, lines: Sequence[str]) -> Vectors:
    """Those of the lines that are not zeros."""
    loaded = load(embedder)
    vectors = np.empty((len(lines), loaded.identity.dimension), np.int16)
    for first in range(0, len(lines), EMBEDDED_AT_ONCE):
        part = lines[first : first + EMBEDDED_AT_ONCE]
        vectors[first : first + len(part)] = loaded.embed(part)
    known = vectors.any(axis=1)
    return vectors if known.all() else vectors[known]


@functools.cache
def sentences() -> list[str]:
    """Distinct lines of five words or more."""
    return list(dict.fromkeys(_described()) or dict.fromkeys(_commented()))


def _described() -> Iterator[str]:
    """Lines of package descriptions; none where they can't be had."""
    folder = cache_folder().parent / "package-descriptions"
    if not all(_files(folder, language) for language in LANGUAGES) and shutil.which("apt-get"):
        _fetch(folder)
    for file in (file for language in LANGUAGES for file in _files(folder, language)):
        for line in file.read_text("utf-8", errors="replace").splitlines():
            if line.startswith(" ") and len(WORD.findall(line)) >= 5:
                yield line.strip()


def _files(folder: Path, language: str) -> list[Path]:
    return sorted(folder.glob(f"*Translation-{language}"))


def _fetch(folder: Path) -> None:
    """Package descriptions, which containers' images leave out, beside the system's own lists."""
    say("fetching package descriptions with apt-get")
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "Acquire::Languages": ",".join(LANGUAGES),
        "Acquire::GzipIndexes": "false",
        "Acquire::IndexTargets::deb::Packages::DefaultEnabled": "false",
        "APT::Sandbox::User": "",  # apt's own user has no access to the cache folder
        "Dir::State::Lists": str(folder),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    command = ["apt-get", "update", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    try:
        failed = subprocess.run(command, timeout=FETCH_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        failed = 1
    if failed:
        say("not all of them could be fetched")


def _commented() -> Iterator[str]:
    """Lines that read like text in the Python packages that are installed."""
    say("no package descriptions: reading the installed Python packages")
    for file in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        for line in file.read_text("utf-8", errors="replace").splitlines():
            if PROSE.fullmatch(line):
                yield line.strip()
