"""Files of short texts into Kafka by `hurnet produce`, beside what the broker takes and what others send.

    limit            batches that were made before, each of thousands of texts: what the broker takes here
    confluent-kafka  librdkafka in C, the quickest client that Python has: the file's lines as they are, in no
                     transaction, without a key, unchecked
    hurnet FORMAT    the whole command: reading, checking, keys, transactions, notes

Every round measures all of them once, one after the other; the figures are the best of the rounds, since all
share two cores with the broker. The texts are 40 to 60 characters long; their hash is printed.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from hurnet_stream.adapters.kafka import KafkaBackfill, ensure_topics
from hurnet_stream.local import KafkaServer
from hurnet_stream.ports import Texts
from hurnet_stream.settings.settings import KafkaSettings
from tests.benchmarks._report import Report, main

TEXTS: Final = 500_000
PARTITIONS: Final = 4
BLOCK: Final = 20_000
SIZE: Final = 110
"""Bytes of a record, about those of a text's message."""


def measure(rounds: int) -> Report:
    best: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as name, KafkaServer() as kafka:
        folder = Path(name)
        digest = _files(folder)
        for _ in range(rounds):
            for what, run in _runs(kafka, folder).items():
                began = time.perf_counter()
                texts = run()
                best[what] = max(best[what], texts / (time.perf_counter() - began))
        bare = _startup_s()
    report = Report()
    report.table(
        f"{TEXTS:,} texts into {PARTITIONS} partitions (sha256 of the CSV {digest[:16]}); a command starts in"
        f" {bare:.1f} s, which is part of its time",
        ("", ">texts/s", ">of the limit", ">of confluent-kafka"),
        [
            (what, f"{rate:,.0f}", f"{rate / best['limit']:.2f}", f"{rate / best['confluent-kafka']:.2f}")
            for what, rate in best.items()
        ],
    )
    report.figures |= {f"produce_{what.replace(' ', '_')}_texts_per_s": rate for what, rate in best.items()}
    return report


def _runs(kafka: KafkaServer, folder: Path) -> dict[str, Callable[[], int]]:
    names = {"csv": "csv", "csv, keyed": "keyed.csv", "jsonl": "jsonl", "jsonl.gz": "jsonl.gz"}
    names |= {"parquet": "parquet", "lines": "txt"}
    return {
        "limit": lambda: _limit(kafka),
        "confluent-kafka": lambda: _confluent(kafka, folder / "texts.jsonl"),
        **{f"hurnet {what}": _produce(kafka, folder / f"texts.{ending}") for what, ending in names.items()},
    }


def _files(folder: Path) -> str:
    """The same texts in each format; returns the digest of the CSV."""
    import pyarrow as pa
    from pyarrow import parquet

    pairs = [(f"how do I reset the password of account {n}", f"answer {n % 500}") for n in range(TEXTS)]
    table = "text,answer\n" + "".join(f"{text},{answer}\n" for text, answer in pairs)
    (folder / "texts.csv").write_text(table)
    keyed = "".join(f"{text},{answer},order-{n}\n" for n, (text, answer) in enumerate(pairs))
    (folder / "texts.keyed.csv").write_text("text,answer,key\n" + keyed)
    lines = "".join(json.dumps({"text": text, "answer": answer}) + "\n" for text, answer in pairs)
    (folder / "texts.jsonl").write_text(lines)
    (folder / "texts.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 3))
    (folder / "texts.txt").write_text("".join(f"{text}\t{answer}\n" for text, answer in pairs))
    columns = {"text": [text for text, _ in pairs], "answer": [answer for _, answer in pairs]}
    parquet.write_table(pa.table(columns), folder / "texts.parquet")
    return sha256(table.encode()).hexdigest()


@contextmanager
def _topic(kafka: KafkaServer) -> Iterator[KafkaSettings]:
    """A topic of its own for each run."""
    name = f"texts-{time.monotonic_ns()}"
    settings = KafkaSettings(bootstrap=kafka.bootstrap, texts=name, partitions=PARTITIONS)
    ensure_topics(settings, create=True)
    yield settings


def _limit(kafka: KafkaServer) -> int:
    texts = Texts([b"x" * SIZE] * BLOCK)
    with _topic(kafka) as settings:
        backfill = KafkaBackfill(settings)
        backfill.resume()
        for _ in range(TEXTS // BLOCK):
            backfill.write(texts, lambda _: "")
        backfill.close()
    return TEXTS


def _confluent(kafka: KafkaServer, file: Path) -> int:
    from confluent_kafka import Producer

    with _topic(kafka) as settings, file.open("rb") as lines:
        options = {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "batch.size": 400_000}
        producer = Producer({"bootstrap.servers": kafka.bootstrap, **options})
        for line in lines:
            while True:
                try:
                    producer.produce(settings.texts, line.rstrip())
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.flush(60)
    return TEXTS


def _produce(kafka: KafkaServer, file: Path) -> Callable[[], int]:
    def run() -> int:
        with _topic(kafka) as settings:
            own = {"HURNET_KAFKA_BOOTSTRAP": kafka.bootstrap, "HURNET_KAFKA_TEXTS": settings.texts}
            command = [sys.executable, "-m", "hurnet_stream", "produce", str(file), "--json"]
            done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, check=True)
        return int(json.loads(done.stdout)["sent"])

    return run


def _startup_s() -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "hurnet_stream", "produce", "--help"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(measure, rounds=2)
