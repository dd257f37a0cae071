"""What a responder takes for so many rows of so many dimensions: memory, and processor time of a question.

`measured(rows, dimension)` asks a process of its own, so that its memory is what these rows add to it. Texts
are the demo's and the same as typed in a hurry; every question is answered by the responder's own code, from
the bytes of the query to those of the answer, without brokers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from hurnet_schemas import Query
from hurnet_stream.adapters.embedders import load
from hurnet_stream.adapters.shelf import FolderShelf
from hurnet_stream.core.rule.halves import halves
from hurnet_stream.core.stored.batch import Batch, Entry
from hurnet_stream.ports import Embedder, Record
from hurnet_stream.responder.loaded_contexts import LoadedContexts
from hurnet_stream.responder.pending_queries import PendingQueries
from hurnet_stream.responder.replies import Replies
from hurnet_stream.settings.settings import ResponderSettings
from tests.benchmarks._system import pairs, questions

AT_ONCE: Final = 4_096
BLOCK: Final = 16_384
WARM_ROWS: Final = 2 * BLOCK
"""Held before memory is counted: what a process takes once is not the rows'. It is of whole blocks, as the
number of rows should be: a block that is not full is larger than its rows."""
TOGETHER: Final = ResponderSettings().batch
SECONDS: Final = 1.5


def measured(rows: int, dimension: int, tiers: bool = False) -> dict[str, float]:
    """Resident bytes a row that no file stands behind, and µs of processor time: of a row to take in, and of
    a question alone and of many together. With `tiers` vectors and texts lie in files."""
    child = [sys.executable, "-m", __spec__.name, str(rows), str(dimension), "tiers" if tiers else ""]
    found = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(found)
    return figures


def _measure(rows: int, dimension: int, shelf: FolderShelf | None) -> dict[str, float]:
    embedder = load(f"hash{dimension}")
    memory = LoadedContexts(halves(embedder.identity.name, dimension))
    if shelf:
        memory.lie_on(shelf)
    before = spent = 0.0
    for batch in _batches(embedder, rows):
        began = time.process_time()
        memory.append(batch)
        if batch.watermark < WARM_ROWS:
            before = _anonymous_bytes()
        else:
            spent += time.process_time() - began
    replies = Replies(memory, embedder, ResponderSettings())
    held = _anonymous_bytes() - before
    return {
        "bytes_a_row": held / (rows - WARM_ROWS),
        "take_in_us": spent / (rows - WARM_ROWS) * 1e6,
        "alone_us": _question_us(replies, 1),
        "together_us": _question_us(replies, TOGETHER),
    }


def _batches(embedder: Embedder, rows: int) -> Iterator[Batch]:
    taught = pairs(rows)
    for first in range(0, rows, AT_ONCE):
        part = taught[first : first + AT_ONCE]
        entries = [
            Entry(first + i, 1_700_000_000_000, "default", pair.text, pair.answer)
            for i, pair in enumerate(part)
        ]
        yield Batch(0, first + len(part) - 1, entries, embedder.embed([pair.text for pair in part]))


def _question_us(replies: Replies, together: int) -> float:
    """The least of several rounds: what else the machine does only adds to it."""
    values = cycle([Query(text=text).encode() for text in questions()])
    rounds: list[float] = []
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until or len(rounds) < 3:
        asked = list(islice(values, 2 * together))
        began = time.process_time()
        for first in range(0, len(asked), together):
            _answer(replies, asked[first : first + together])
        rounds.append((time.process_time() - began) / len(asked))
    return sorted(rounds)[len(rounds) // 4] * 1e6


def _answer(replies: Replies, asked: Sequence[bytes]) -> None:
    pending = PendingQueries(wait_s=0.0)
    pending.add([Record("-", 0, i, 0, None, value) for i, value in enumerate(asked)], time.monotonic())
    assert len(replies.answer(pending.take({}, time.monotonic(), len(asked)))) == len(asked)


def _anonymous_bytes() -> float:
    """Of this process: what no file stands behind."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(1_024.0 * int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def _main(rows: int, dimension: int, tiers: bool) -> dict[str, float]:
    if not tiers:
        return _measure(rows, dimension, None)
    with tempfile.TemporaryDirectory(prefix="hurnet-bench-") as folder:
        shelf = FolderShelf(Path(folder, "shelf"))
        try:
            return _measure(rows, dimension, shelf)
        finally:
            shelf.close()


if __name__ == "__main__":
    print(json.dumps(_main(int(sys.argv[1]), int(sys.argv[2]), bool(sys.argv[3]))))
