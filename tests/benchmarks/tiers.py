"""A responder's index with vectors and texts in files, against all in memory: memory, questions, start.

Texts are six words by Zipf's law; a vector is the sum of random ones of its words and of one of its own; and
twenty rows share an answer. Questions go through the whole rule (search, lexical search, local solve, words),
one at a time, by turns to both. "anonymous" is what the process can't give back, "mapped" what the system
takes back if it needs memory. The start is that of another process, which maps what was saved: it is ready
when all but the vectors was read and checked. These are checked as they are read. "still" is how long nothing
could be taken in while the index was saved, "longest step" how long that held a turn up.

    --rows 10000000 --alone     10 GB of files and 8 GB of memory: without a peer in memory, and not saved
    systemd-run --scope -p MemoryMax=8G ...     with a limit, of which pages of files are a part, too
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from hurnet_stream.adapters.shelf import FolderShelf
from hurnet_stream.core.grid import snap
from hurnet_stream.core.rule.halves import undivided
from hurnet_stream.core.stored.batch import Batch, EmbedderIdentity, Entry, Vectors
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.shelving import PAUSE, Shelving
from tests.benchmarks._report import Report, main, milliseconds, quantile, say

CONTEXT: Final = "c"
BATCH_ROWS: Final = 1 << 13
WORDS: Final = 50_000
TEXT_WORDS: Final = 6
OWN_PARTS: Final = 20_000
OWN_SHARE: Final = 8.0
"""How large the part of a text's vector is that it shares with no word: as that of a rare word."""
SHARED: Final = 20
"""Rows of an answer."""
ROUND_QUESTIONS: Final = 40
OPTIONS: Final = argparse.Namespace(rows=1_000_000, dimension=512, folder=None, alone=False, start=None)


class Rows:
    """The same rows whenever they are asked for: a text's vector is the sum of its words', the frequent ones
    counting less, and of a part of its own."""

    def __init__(self, dimension: int) -> None:
        random = np.random.default_rng(1)
        rarity = np.log(2 + np.arange(WORDS, dtype=np.float32))[:, None]
        self._words = random.standard_normal((WORDS, dimension), np.float32) * rarity
        self._own = random.standard_normal((OWN_PARTS, dimension), np.float32) * OWN_SHARE

    def batches(self, rows: int) -> Iterator[Batch]:
        for first in range(0, rows, BATCH_ROWS):
            random, n = np.random.default_rng(first + 7), min(BATCH_ROWS, rows - first)
            texts, vectors = self.drawn(random, n)
            entries = [
                Entry(first + i, 0, CONTEXT, f"{text} r{first + i}", f"answer {(first + i) // SHARED}")
                for i, text in enumerate(texts)
            ]
            yield Batch(0, first + n - 1, entries, vectors)

    def drawn(self, random: np.random.Generator, n: int) -> tuple[list[str], Vectors]:
        """n texts and their vectors (n, d)."""
        words = (random.zipf(1.2, (n, TEXT_WORDS)) - 1) % WORDS
        vectors = self._own[random.integers(0, OWN_PARTS, n)]
        for column in words.T:
            vectors += self._words[column]
        texts = [" ".join(f"w{word}" for word in row) for row in words.tolist()]
        return texts, snap(vectors.astype(np.float64))


def measure(rounds: int) -> Report:
    if OPTIONS.start:
        return _start(Path(OPTIONS.start), OPTIONS.dimension)
    report = Report()
    with tempfile.TemporaryDirectory(dir=OPTIONS.folder) as folder:
        _measure(report, Path(folder), rounds)
    report.table(
        "Figures", ["figure", ">"], [(name, f"{value:,.4g}") for name, value in report.figures.items()]
    )
    return report


def _measure(report: Report, folder: Path, rounds: int) -> None:
    rows, dimension, made = OPTIONS.rows, OPTIONS.dimension, Rows(OPTIONS.dimension)
    shelf = FolderShelf(folder / "shelf")
    shelved, before = LoadedContexts(undivided(dimension)), _memory()
    shelved.lie_on(shelf)
    say(f"filling {rows:,} rows of {dimension} dimensions, with files")
    report.figures["fill_rows_s"] = _fill(shelved, made, rows)
    _weigh(report, shelved, before, rows)
    others = {"files": shelved}
    if not OPTIONS.alone:
        say("filling the same in memory")
        others["memory"] = LoadedContexts(undivided(dimension))
        report.figures["fill_in_memory_rows_s"] = _fill(others["memory"], made, rows)
    _questions(report, others, made, rounds)
    after = _memory()
    report.figures |= {"anonymous_gb": after[0] / 1e9, "mapped_gb": after[1] / 1e9}
    report.figures["largest_resident_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    if OPTIONS.alone:
        shelf.close()
        return
    others.clear()
    _save(report, shelved, shelf, made)
    starts = [_started(folder / "shelf", dimension) for _ in range(max(3, rounds))]
    report.figures |= {f"start_{name}": min(start[name] for start in starts) for name in starts[0]}


def _fill(memory: LoadedContexts, made: Rows, rows: int) -> float:
    """Rows a second of CPU time, without what making them takes."""
    spent = 0.0
    for batch in made.batches(rows):
        began = time.process_time()
        memory.append(batch)
        spent += time.process_time() - began
        if (batch.watermark + 1) % (1 << 20) == 0:
            say(f"  {batch.watermark + 1:,}: anonymous {_memory()[0] / 1e9:.2f} GB")
    return rows / spent


def _weigh(report: Report, memory: LoadedContexts, before: Sequence[int], rows: int) -> None:
    index = memory.index(CONTEXT)
    parts = {
        "blocks (planes, columns)": index._blocks.nbytes,
        "postings and terms": index._lexicon.nbytes,
        "answers and links": index._teaching.nbytes,
        "texts in memory": index._arena.nbytes,
        "metadata": index._attributes.nbytes,
    }
    held = _memory()[0] - before[0]
    parts["not counted (room to grow, allocator)"] = held - sum(parts.values())
    lines = [(name, f"{size / rows:,.1f}", f"{size / 1e9:.3f}") for name, size in parts.items()]
    report.table(
        "In memory, with files",
        ["part", ">bytes a row", ">GB"],
        [*lines, ("anonymous", f"{held / rows:,.1f}", f"{held / 1e9:.3f}")],
    )
    report.figures["anonymous_bytes_a_row"] = held / rows


def _questions(report: Report, others: dict[str, LoadedContexts], made: Rows, rounds: int) -> None:
    random = np.random.default_rng(3)
    wall: dict[str, list[float]] = {name: [] for name in others}
    cpu: dict[str, list[float]] = {name: [] for name in others}
    faults = _major_faults()
    for round_ in range(rounds + 1):  # the first one warms up
        say(f"questions: round {round_} of {rounds}, {_major_faults() - faults:,} pages read from the disk")
        faults = _major_faults() if round_ < 2 else faults
        for text, vector in zip(*made.drawn(random, ROUND_QUESTIONS), strict=True):
            said = []
            for name, memory in others.items():
                context = memory.context(CONTEXT)
                began, began_cpu = time.perf_counter(), time.process_time()
                ranking = next(iter(context.ranked([text], context.nearest(vector[None]))))
                if round_:
                    wall[name].append(time.perf_counter() - began)
                    cpu[name].append(time.process_time() - began_cpu)
                said.append(str(ranking.top(5)))
            if len(set(said)) > 1:
                sys.exit(f"they differ: {said}")
    report.figures["major_faults_a_question"] = (_major_faults() - faults) / (rounds * ROUND_QUESTIONS)
    lines = []
    for name, times in wall.items():
        quantiles = {q: quantile(times, q / 100) for q in (50, 90, 99)}
        report.figures |= {f"{name}_p{q}_ms": 1000 * value for q, value in quantiles.items()}
        report.figures[f"{name}_cpu_p50_ms"] = 1000 * quantile(cpu[name], 0.5)
        report.figures[f"{name}_cpu_p99_ms"] = 1000 * quantile(cpu[name], 0.99)
        lines.append((name, *map(milliseconds, quantiles.values()), milliseconds(quantile(cpu[name], 0.5))))
    report.table("A question, in ms", ["rows in", ">p50", ">p90", ">p99", ">CPU p50"], lines)


def _save(report: Report, memory: LoadedContexts, shelf: FolderShelf, made: Rows) -> None:
    keeping = Shelving(memory, shelf, EmbedderIdentity("bench", "bench", OPTIONS.dimension), 0.0)
    for name in ("save", "save_again"):
        say(name)
        keeping._known, keeping._pause_s = {}, 0.0
        memory._saved.clear()
        report.figures |= {
            f"{name}_{figure}": value for figure, value in _saved(keeping, memory, made).items()
        }
    files = sum(path.stat().st_size for path in shelf._folder.iterdir())
    report.figures["files_gb"] = files / 1e9
    shelf.close()


def _saved(keeping: Shelving, memory: LoadedContexts, made: Rows) -> dict[str, float]:
    """Turns of a responder, each a step of saving and a question, until all is on the disk: the longest step,
    how long nothing could be taken in, and the questions' times."""
    text, vector = made.drawn(np.random.default_rng(4), 1)
    steps, questions = list[float](), list[float]()
    began = time.perf_counter()
    while not steps or keeping.shelf.is_saving or not keeping._known:
        steps.append(-time.perf_counter())
        keeping.step()
        asked = time.perf_counter()
        steps[-1] += asked
        context = memory.context(CONTEXT)
        next(iter(context.ranked(text, context.nearest(vector)))).top(5)
        questions.append(time.perf_counter() - asked)
    return {
        "s": time.perf_counter() - began,
        "longest_step_ms": 1000 * max(steps),
        "still_ms": 1000 * keeping._pause_s / PAUSE,
        "question_p50_ms": 1000 * quantile(questions, 0.5),
        "question_longest_ms": 1000 * max(questions),
    }


def _started(folder: Path, dimension: int) -> dict[str, float]:
    command = ["--start", str(folder), "--dimension", str(dimension)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.tiers", *command], check=True, capture_output=True, text=True
    )
    return {
        name: float(value) for name, value in (line.split("=") for line in done.stderr.split() if "=" in line)
    }


def _start(folder: Path, dimension: int) -> Report:
    """In a process of its own: prints its figures on standard error."""
    memory, wall, cpu = LoadedContexts(undivided(dimension)), time.perf_counter(), time.process_time()
    shelf = FolderShelf(folder)
    memory.lie_on(shelf)
    root = shelf.saved()
    if root is None:
        sys.exit("nothing was saved")
    memory.restore(root["memory"], shelf, check=False)
    ready_s, ready_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    memory.context(CONTEXT).nearest(memory.index(CONTEXT).vectors(np.array([5])).astype(np.int16))
    first_s = time.perf_counter() - wall
    print(f"ready_s={ready_s} ready_cpu_s={ready_cpu_s} first_answer_s={first_s}", file=sys.stderr)
    shelf.close()
    return Report()


def _major_faults() -> int:
    """How often this process had to wait until a page was read from the disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def _memory() -> tuple[int, int]:
    """Bytes of this process that are resident: anonymous, and mapped from files."""
    fields: dict[str, int] = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) * 1024
    return fields["Anonymous"], fields["Rss"] - fields["Anonymous"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int)
    parser.add_argument("--dimension", type=int)
    parser.add_argument("--folder", help="on the disk that is to be measured")
    parser.add_argument("--alone", action="store_true", help="without a peer in memory")
    parser.add_argument("--start", help=argparse.SUPPRESS)
    main(measure, rounds=5, parser=parser, into=OPTIONS)
