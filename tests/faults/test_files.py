"""Files into a real system, and contexts out of it: each text once, whatever is killed, and equal again."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from kafka import TopicPartition
from pyarrow import parquet

from hurnet_stream.adapters.kafka.reading.consumer import make_consumer
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import Entry
from tests.acceptance.system import System, wait_for

ROWS = 70_000


def produced(system: System, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = system.run("produce", *arguments, "--json")
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


@contextmanager
def reader(system: System) -> Iterator[Any]:
    """Of all partitions of texts, from their beginning, as ingest reads them."""
    kafka = system.settings.kafka
    consumer = make_consumer(kafka)
    consumer.assign([TopicPartition(kafka.texts, p) for p in consumer.partitions_for_topic(kafka.texts)])
    consumer.seek_to_beginning()
    yield consumer
    consumer.close()


def committed(consumer: Any) -> list[bytes]:
    """The values up to the end."""
    ends, found = consumer.end_offsets(consumer.assignment()), []
    while any(consumer.position(at) < end for at, end in ends.items()):
        found += [record.value for batch in consumer.poll(200).values() for record in batch]
    return found


def reached(consumer: Any) -> int:
    """How far the topic goes."""
    return int(sum(consumer.end_offsets(consumer.assignment()).values()))


def test_a_file_whose_producer_is_killed_again_and_again_is_there_once(
    system: System, tmp_path: Path
) -> None:
    file = tmp_path / "many.csv.gz"
    with gzip.open(file, "wt") as out:
        out.write("text,answer,key\n" + "".join(f"text {n},answer {n % 7},k{n % 999}\n" for n in range(ROWS)))
    command = [sys.executable, "-m", "hurnet_stream", "produce", str(file), "--json"]
    chance = random.Random(5)
    with reader(system) as consumer:
        for _ in range(3):
            before, environment = reached(consumer), {**os.environ, **system.variables}
            with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as run:
                while run.poll() is None and reached(consumer) == before:
                    time.sleep(0.02)
                time.sleep(chance.uniform(0, 0.2))
                run.kill()
        told = produced(system, str(file))
        counted = Counter(committed(consumer))
        while counted.total() < ROWS:  # Kafka acknowledges a commit a moment before it can be read
            counted.update(committed(consumer))
    assert told["sent"] + told["sent_before"] == ROWS
    assert len(counted) == ROWS
    assert set(counted.values()) == {1}
    with gzip.open(file, "at") as out:
        out.write("one more,answer,k\n")
    assert produced(system, str(file))["sent"] == 1
    with gzip.open(file, "wt") as out:
        out.write("text,answer\nanother file,answer\n")
    changed = system.run("produce", str(file))
    assert (changed.returncode, "--again" in changed.stderr) == (2, True)


def given(folder: Path) -> int:
    """Files of each format in a folder; returns how many texts they hold."""
    rows = [(f"question {n} of {n * n}", f"answer {n % 5}", n) for n in range(50)]
    with (folder / "a.csv").open("w", newline="") as out:
        table = csv.writer(out, delimiter=";")
        table.writerows([("Question", "Answer", "lang"), *((f"csv {q}", a, "en") for q, a, _ in rows)])
    lines = [
        {"text": f"json {q}", "answer": a, "weight": 1 + n, "metadata": {"n": str(n)}} for q, a, n in rows
    ]
    (folder / "b.jsonl.zst").write_bytes(zstd("".join(json.dumps(line) + "\n" for line in lines).encode()))
    table_of: dict[str, list[Any]] = {
        "text": [f"parquet {q}" for q, _, _ in rows],
        "answer": [a for _, a, _ in rows],
    }
    table_of |= {"n": [n for _, _, n in rows]}
    parquet.write_table(pa.table(table_of), folder / "c.parquet")
    (folder / "docs").mkdir()
    (folder / "docs" / "refunds.md").write_text("# Refunds\n\n  Within 30 days.  \n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "loop").symlink_to(folder)
    return 3 * len(rows) + 1


def zstd(content: bytes) -> bytes:
    import zstandard

    return zstandard.compress(content)


def held(system: System) -> list[tuple[Any, ...]]:
    """What the entries of a store say, without where they stand."""
    entries = (entry for batch in system.batches() for entry in batch.entries)
    return sorted(map(_said, entries))


def _said(entry: Entry) -> tuple[Any, ...]:
    metadata = tuple(sorted(entry.metadata.items()))
    return entry.context, entry.text, entry.answer or "", metadata, entry.copies, entry.timestamp_ms


def statistics(system: System, without: str = "") -> str:
    """The digest of what a solver has after all pairs."""
    batches = system.batches()
    made = Statistics(batches[0].vectors.shape[1])
    for batch in batches:
        rows = [i for i, e in enumerate(batch.entries) if e.answer is not None and e.text != without]
        if rows:
            made.add(batch.vectors[rows], [batch.entries[i].answer or "" for i in rows])
    return made.digest()


@pytest.fixture
def others(kafka_bootstrap: str, valkey_url: str, unique: str, tmp_path: Path) -> Iterator[dict[str, System]]:
    with ExitStack() as stack:
        yield {
            form: stack.enter_context(System(kafka_bootstrap, valkey_url, f"{unique}{form}", tmp_path))
            for form in ("parquet", "jsonl", "csv")
        }


def test_what_was_taken_in_comes_out_and_makes_an_equal_context(
    system: System, others: dict[str, System], tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    count = given(folder)
    told = produced(system, str(folder), "--context", "support")
    assert (told["sent"], told["files"], told["passed_over"]) == (count, 4, 1)
    system.start("ingest")
    wait_for(lambda: len(system.texts_in_store()) == count)
    gone = next((b.partition, e.offset) for b in system.batches() for e in b.entries if "csv" in e.text)
    text = next(e.text for b in system.batches() for e in b.entries if (b.partition, e.offset) == gone)
    system.run("forget", "--entry", f"{gone[0]}/{gone[1]}", "--wait", "0.1")  # no solver runs that ends it

    def held_out() -> str:
        done = system.run("export", "--context", "support", "-")
        assert done.returncode == 0, done.stderr
        return done.stdout

    wait_for(lambda: text not in held_out())
    expected = [entry for entry in held(system) if entry[1] != text]
    for form, other in others.items():
        file = tmp_path / f"out.{form}"
        more = ["--vectors", "int16"] if form == "parquet" else []
        done = system.run("export", "--context", "support", str(file), "--json", *more)
        assert (done.returncode, json.loads(done.stdout)["rows"]) == (0, count - 1), done.stderr
        assert not list(tmp_path.glob("*.part"))
        other.create_topics()
        assert produced(other, str(file))["sent"] == count - 1
        other.start("ingest")
        wait_for(lambda: len(other.texts_in_store()) == count - 1)  # noqa: B023 - of this turn
        assert held(other) == expected
        assert statistics(other) == statistics(system, without=text)
    exported = parquet.ParquetFile(tmp_path / "out.parquet")
    about = json.loads(exported.schema_arrow.metadata[b"hurnet"])
    assert (about["scale"], about["dimension"], about["context"]) == (16_384, 128, "support")
    vectors = exported.read()["vector"].to_pylist()
    assert abs(sum(x * x for x in vectors[0]) / 16_384**2 - 1) < 1e-3
    assert system.run("export", "--context", "nobody", "-").returncode == 3
