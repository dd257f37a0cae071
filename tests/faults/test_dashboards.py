"""Each query of each panel and rule gives data, from a real Prometheus that scrapes a busy real system."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from PIL import Image

from deploy.dashboards.make import BOARDS, panels
from deploy.dashboards.render import concrete, picture, prometheus
from tests.acceptance.system import Running, System
from tests.busy import busy, targets
from tests.prometheus import RULES, Prometheus, faster
from tests.unit.test_rules import ALL as EVERY_RULE

FACTOR = 60.0
"""By which rules are evaluated faster."""
INTERVAL = "5s"
"""What rates are taken over."""
PATIENCE_S = 240.0
ALERTS_TABLE = "Alerts, pending or firing"
ONLY_IN_TROUBLE = {
    "hurnet_held_records",
    "hurnet_oldest_deletion_timestamp_seconds",  # there for less than a scrape, if the solver is quick
    "hurnet_transactions_aborted_total",
    "hurnet_weights_refused_total",
}
"""Series that are not there while all is well, which rules read: the tests of the alerts make them."""


def queries() -> list[tuple[str, str]]:
    """Where each query of a panel stands, and its expression."""
    return [
        (f"{name}: {panel['title']} {target['refId']}", concrete(target["expr"], INTERVAL))
        for name in BOARDS
        for panel in panels(name)
        if panel["title"] != ALERTS_TABLE
        for target in panel.get("targets", ())
    ]


def sliced(system: System) -> list[Running]:
    """A slice, and a responder that asks it, beside the one that holds everything."""
    one = {"HURNET_SLICES_COUNT": "1", "HURNET_SLICES_NUMBER": "0"}
    started = [
        system.start("slice", **one),
        system.start("responder", HURNET_RESPONDER_INSTANCE="asks", **one),
    ]
    return [worker.wait_ready() for worker in started]


def without_data(server: Prometheus, wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that gave no finite value in the last half minute."""
    now = time.time()

    def has_data(expression: str) -> bool:
        found = server.query_range(expression, now - 30, now, 1)
        return any(math.isfinite(value) for _, points in found for _, value in points)

    return [(place, expression) for place, expression in wanted if not has_data(expression)]


def read_by_rules() -> list[tuple[str, str]]:
    """The series that rules read."""
    names: set[str] = set()

    def visit(node: Any) -> None:
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql_parser.VectorSelector):
            names.add(str(selector.name))

    for rule in EVERY_RULE:
        promql_parser.walk(promql_parser.parse(rule["expr"]), visit)
    return [(f"rules read {name}", f"count({name})") for name in sorted(names - ONLY_IN_TROUBLE)]


def recorded() -> list[tuple[str, str]]:
    names = sorted({rule["record"] for rule in EVERY_RULE if "record" in rule})
    return [(f"recorded {name}", name) for name in names]


@pytest.mark.timeout(700)
def test_every_query_gives_data_and_the_first_dashboard_can_be_drawn(system: System, tmp_path: Path) -> None:
    with Prometheus(faster(RULES.read_text("utf-8"), FACTOR)) as server, busy(system) as workers:
        server.scrape(targets([*workers, *sliced(system)]))
        server.wait_scraped()
        left = [*queries(), *read_by_rules(), *recorded()]
        deadline = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline:
            time.sleep(2)
            left = without_data(server, left)
        assert not left, "\n".join(map(str, left))
        assert server.unhealthy_rules() == []

        solver = next(worker for worker in workers if worker.name == "solver")
        solver.kill()
        (table,) = (panel for panel in panels("service") if panel["title"] == ALERTS_TABLE)
        expression = table["targets"][0]["expr"]
        server.wait_for(lambda: server.query(expression), PATIENCE_S, "an alert is in the table")

        picture("service", prometheus(server.url, 1, INTERVAL), tmp_path / "service.png")
        with Image.open(tmp_path / "service.png") as image:
            assert image.width > 1_000
            assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 20
