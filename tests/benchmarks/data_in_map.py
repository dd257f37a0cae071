"""What `hurnet map` takes for a sample of 1,000 records, and where the time goes: without brokers.

Tickets with a subject, one of some resolutions, and fields around them. CPU time, the best of all rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Final

from hurnet_stream.adapters.embedders import load
from hurnet_stream.operations.mapping.choosing import candidates
from hurnet_stream.operations.mapping.fields import fields_of
from hurnet_stream.operations.mapping.screening import Screen
from hurnet_stream.operations.mapping.survey import Tools, survey
from hurnet_stream.ports import Embedder, Record
from hurnet_stream.readers.making import Making
from hurnet_stream.settings.settings import Settings
from tests.benchmarks._report import Report, main
from tests.worlds.asking import ENGLISH, people

RECORDS: Final = 1_000
OPTIONS: Final = argparse.Namespace(embedder=["hash512", "use+hash512"])


def measure(rounds: int) -> Report:
    report, rows = Report(), []
    values = [
        {
            "id": person.number,
            "ticket": {"subject": f"{person.text} {person.number}", "resolution": person.subject.reply},
            "status": person.of("open", "closed", "new"),
            "customer": {"email": f"user{person.number}@example.com"},
        }
        for person in people(ENGLISH, RECORDS)
    ]
    records = [
        Record("tickets", 0, row, 0, str(row).encode(), json.dumps(value).encode())
        for row, value in enumerate(values)
    ]
    for name in OPTIONS.embedder:
        embedder = load(name)
        embedder.embed(["a warm-up"])
        choosing = min(_choosing(values) for _ in range(rounds))
        seconds = [_survey(records, embedder) for _ in range(rounds)]
        rows.append(
            [name, f"{choosing:.2f}", f"{min(cpu for cpu, _ in seconds):.2f}", f"{seconds[0][1]:.1%}"]
        )
        report.figures[f"map_cpu_s_{name}"] = min(cpu for cpu, _ in seconds)
    columns = ("embedder", ">fields, CPU s", ">all of it, CPU s", ">right if left out")
    report.table(f"{RECORDS:,} records", columns, rows)
    return report


def _choosing(values: list[dict[str, object]]) -> float:
    before = time.process_time()
    candidates(fields_of(values), Screen(load("hash512")).lift)
    return time.process_time() - before


def _survey(records: list[Record], embedder: Embedder) -> tuple[float, float]:
    settings = Settings()
    tools = Tools(Making(settings), None, load("hash512"), embedder, settings.solve)
    before = time.process_time()
    found = survey("tickets", records, {}, tools)
    return time.process_time() - before, found.tried[0].trial.accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", nargs="+")
    main(measure, 3, parser, OPTIONS)
