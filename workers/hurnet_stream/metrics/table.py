"""docs/metrics.md: every metric, what it means, and which roles have it.

python -m hurnet_stream.metrics.table > docs/metrics.md
"""

from __future__ import annotations

from hurnet_stream.metrics.registry import Described
from hurnet_stream.metrics.roles import ROLES

HEAD = """\
# Metrics

Every metric of every role, as its `/metrics` shows it. This page is written by
`python -m hurnet_stream.metrics.table` from the code that measures, and a test holds it to that.

A record is one Kafka message, a row is one entry of the store. Lag is in records or rows and is never turned
into time. A partition, a context or weights that are gone leave no gauge behind, and what was counted of them
stays. On Linux each role also has the `process_*` metrics of Prometheus' client: CPU seconds, resident bytes,
open files, start time.

| metric | type | labels | roles | meaning |
|---|---|---|---|---|
"""


def roles_by_metric() -> dict[Described, list[str]]:
    """Every metric, with the roles that have it."""
    found: dict[Described, list[str]] = {}
    for role, metrics in ROLES.items():
        for metric in metrics().described:
            found.setdefault(metric, []).append(role)
    return found


def table() -> str:
    """The whole page."""
    rows = sorted(roles_by_metric().items(), key=lambda row: row[0].name)
    return HEAD + "".join(
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} "
        f"| {'all' if len(roles) == len(ROLES) else ', '.join(roles)} | {metric.meaning} |\n"
        for metric, roles in rows
    )


if __name__ == "__main__":
    print(table(), end="")
